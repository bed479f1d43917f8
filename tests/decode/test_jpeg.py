"""Where a JPEG ends, and an end for one that does not."""

import pytest

from gpuio.decode.jpeg import Completed, completed, has_end
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
