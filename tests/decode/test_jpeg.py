"""The walk over a JPEG's segments; where a JPEG ends, and an end for one that does not."""

import cv2
import numpy as np
import pytest

from gpuio.decode.jpeg import Completed, completed, has_end, walk
from gpuio.errors import DecodeError
from support.making import flat, jpeg, photo

WHOLE = jpeg(photo(60, 80))


@pytest.mark.parametrize("behind", [0, 1, 40, 1000])
def test_an_end_is_found_in_the_last_kib(behind):
    assert has_end(WHOLE + bytes(behind))
    assert has_end(memoryview(WHOLE + bytes(behind)))
    assert not has_end(WHOLE[:-1] + bytes(behind))
    assert not has_end(WHOLE[:-2])


def test_the_end_of_a_preview_in_the_headers_is_not_the_images():
    preview = b"Exif\0\0" + jpeg(photo(8, 8))
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    blob = WHOLE[:2] + segment + WHOLE[2:]
    start = blob.rindex(b"\xff\xda")
    for cut in (start + 14, start + 60, len(blob) - 2):
        assert not has_end(blob[:cut])
        assert has_end(blob[:cut] + b"\xff\xd9")
    assert has_end(blob)


def test_only_a_jpeg_without_its_end_is_completed():
    for blob in (WHOLE, flat(3), b"", b"no image", memoryview(WHOLE)):
        assert completed(blob) is blob
    made = completed(memoryview(WHOLE[:-5]))
    assert isinstance(made, Completed)
    assert made == WHOLE[:-5] + b"\xff\xd9"
    assert completed(made) is made


FRAME = WHOLE.index(b"\xff\xc0")
SCAN = WHOLE.index(b"\xff\xda")


def test_the_walk_gives_what_stands_in_the_header():
    header = walk(WHOLE)
    assert header[:6] == (60, 80, 3, 8, 1, 0xC0)
    assert header.sampling == 0x221111
    assert header.frame_at == FRAME
    assert (header.scans, header.shortens) == (1, 1)
    assert [WHOLE[at : at + 2] for at in header.tables_at] == [b"\xff\xdb"] * 2
    assert walk(memoryview(WHOLE)) == header


@pytest.mark.parametrize("at", [2, FRAME, SCAN])
@pytest.mark.parametrize(
    ("between", "shortens"),
    [
        (b"\xff", 1),
        (b"\xff\xff", 1),
        (b"\xff\x01", 1),
        (b"\xff\xd3", 1),
        (b"\xff\xfe\0\x04no", 1),
        (b"\xff\xe2\0\x06MPF\1", 1),
        (b"\xff\xe2\0\x06MPF\0", 0),
        (b"\xff\xdd\0\x04\0\x08", 0),
        (b"\0", 0),
        (b"\xff\0", 0),
    ],
)
def test_what_stands_between_segments_is_passed_over(at, between, shortens):
    """As libjpeg does: the pixels are the same; what is odd is not decoded in part."""
    blob = WHOLE[:at] + between + WHOLE[at:]
    header = walk(blob)
    assert header[:7] == walk(WHOLE)[:7]
    assert header.frame_at == FRAME + (len(between) if at <= FRAME else 0)
    assert (header.scans, header.shortens) == (1, shortens)
    # a restart interval changes what the scan means; OpenCV wants a marker behind the start
    if b"\xdd" not in between and blob[2] == 0xFF:
        pixels = [cv2.imdecode(np.frombuffer(each, np.uint8), 1) for each in (blob, WHOLE)]
        assert np.array_equal(*pixels)


@pytest.mark.parametrize(
    "segment", [b"\xff\xe5\0\1", b"\xff\xd9\0\2", b"\xff\xc1" + WHOLE[FRAME + 2 :]]
)
def test_behind_the_frame_header_the_decoder_says_what_damage_is(segment):
    header = walk(WHOLE[:SCAN] + segment + WHOLE[SCAN:])
    assert header[:7] == walk(WHOLE)[:7]
    assert header.frame_at == FRAME
    assert header.shortens == (segment[1] == 0xD9)


@pytest.mark.parametrize(
    ("segment", "says"),
    [
        (b"\xff\xe5\0\1", "JPEG segment of length 1 at byte 2"),
        (b"\xff\xd9", "no frame header before its end, at byte 2"),
        (b"\xff\xda", "no frame header before its scan, at byte 2"),
        (WHOLE[FRAME : FRAME + 9] + b"\2" + WHOLE[FRAME + 10 :], "says 2 components"),
    ],
)
def test_damage_in_front_of_the_frame_header_is_named(segment, says):
    with pytest.raises(DecodeError, match=says):
        walk(WHOLE[:2] + segment + WHOLE[2:])


@pytest.mark.parametrize("size", [0, 2, 5, FRAME, FRAME + 9, FRAME + 12])
def test_a_header_without_its_frame_is_damage(size):
    with pytest.raises(DecodeError, match=f"ends inside its headers: {size} bytes"):
        walk(WHOLE[:size])


def test_a_jpeg_that_ends_before_its_scan_has_none():
    header = walk(WHOLE[:SCAN])
    assert (header.scans, header.shortens) == (0, 0)
    assert len(header.tables_at) == 2
