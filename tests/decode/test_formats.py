"""Headers are read right, and refused where they lie or end too soon."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuio.decode.formats import HEADER, engine_takes, probe
from gpuio.decode.limits import check_size
from gpuio.errors import DecodeError

RNG = np.random.default_rng(7)
PHOTO = cv2.GaussianBlur(RNG.integers(0, 256, (37, 53, 3), np.uint8), (5, 5), 2)


def encoded(suffix, image=PHOTO, *flags):
    done, data = cv2.imencode(suffix, image, list(flags))
    assert done
    return data.tobytes()


def row(info):
    """Return the facts as a backend is told them."""
    return np.array([tuple(info)], HEADER)


def exif(jpeg, orientation, order="<", entries_before=3):
    """Put an EXIF segment in front of a JPEG's first segment."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = b"".join(
        struct.pack(order + "HHII", 0x0100 + i, 4, 1, 99) for i in range(entries_before)
    )
    entries += struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    body = mark + struct.pack(order + "IH", 8, entries_before + 1) + entries + bytes(4)
    segment = b"Exif\0\0" + body
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        (".jpg", "jpeg"),
        (".png", "png"),
        (".bmp", "bmp"),
        (".webp", "webp"),
        (".tiff", "tiff"),
        (".ppm", "pnm"),
        (".jp2", "jp2"),
        (".gif", "gif"),
    ],
)
def test_size_of_every_format_is_read_from_the_header(suffix, name):
    info = probe(encoded(suffix))
    assert (info.format, info.height, info.width) == (name, 37, 53)


@pytest.mark.parametrize(
    ("factor", "name"),
    [
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, "4:4:4"),
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422, "4:2:2"),
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, "4:2:0"),
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, "4:4:0"),
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411, "4:1:1"),
    ],
)
def test_subsampling_decides_whether_the_engine_takes_a_jpeg(factor, name):
    info = probe(encoded(".jpg", PHOTO, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor))
    assert info.subsampling == name
    assert engine_takes(row(info)) == (name != "4:1:1")


def test_a_progressive_jpeg_is_not_for_the_engine():
    info = probe(encoded(".jpg", PHOTO, cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
    assert info.process == "progressive"
    assert not engine_takes(row(info))


def test_a_gray_jpeg_has_one_channel():
    info = probe(encoded(".jpg", PHOTO[:, :, 0]))
    assert (info.channels, info.subsampling) == (1, "gray")
    assert engine_takes(row(info))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_read_in_both_byte_orders(orientation, order):
    info = probe(exif(encoded(".jpg"), orientation, order))
    assert info.orientation == orientation
    assert info.oriented == ((53, 37) if orientation >= 5 else (37, 53))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_outside_its_range_means_none(orientation):
    assert probe(exif(encoded(".jpg"), orientation)).orientation == 1


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_a_header_cut_short_is_refused(suffix):
    whole = encoded(suffix)
    with pytest.raises(DecodeError):
        probe(whole[:20])


def test_a_jpeg_without_frame_header_names_the_byte():
    with pytest.raises(DecodeError, match="no frame header before its end, at byte 2"):
        probe(b"\xff\xd8\xff\xd9\0\0\0\0")


def test_bytes_that_are_no_image_are_unknown():
    assert probe(b"hello, world, this is text").format == "unknown"
    assert probe(b"").format == "unknown"


def test_a_tiffs_offset_beyond_any_file_is_damage():
    with pytest.raises(DecodeError, match="cut short or damaged"):
        probe(b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(20))


def test_a_bomb_is_refused_by_its_header_alone():
    small = bytearray(encoded(".jpg"))
    at = small.index(b"\xff\xc0")
    small[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    info = probe(bytes(small))
    with pytest.raises(DecodeError, match="65500x65500 pixels, more than the limit of 64,000,000"):
        check_size(info, 64_000_000)


def test_an_image_without_pixels_is_refused():
    zero = bytearray(encoded(".jpg"))
    at = zero.index(b"\xff\xc0")
    zero[at + 5 : at + 7] = b"\0\0"
    with pytest.raises(DecodeError, match="53x0 pixels: expected at least 1x1"):
        check_size(probe(bytes(zero)), 64_000_000)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from(
        [
            b"",
            b"\xff\xd8",
            b"\x89PNG\r\n\x1a\n",
            b"BM",
            b"GIF8",
            b"RIFF",
            b"II*\0",
            b"MM\0*",
            b"II+\0\x08\0\0\0",
            b"\0\0\0\x0cjP  ",
            b"P6",
            b"\xff\x4f\xff\x51",
        ]
    ),
)
def test_any_bytes_give_facts_or_a_decode_error(rest, start):
    try:
        info = probe(start + rest)
    except DecodeError:
        return
    assert info.format
