"""The orientation of every format that states one is found, and followed as viewers do."""

import cv2
import numpy as np
import pytest

from gpuio.decode.exif import stated_orientation, upright
from support import coding
from support.making import jpeg, photo, png
from support.turned import turned_png, turned_webp

PHOTO = photo(16, 24)
KINDS = {
    "jpeg": lambda turn: coding.exif(jpeg(PHOTO), turn),
    "png": lambda turn: turned_png(PHOTO, turn),
    "webp": lambda turn: turned_webp(PHOTO, turn),
    "webp with Exif in front": lambda turn: turned_webp(PHOTO, turn, prefix=b"Exif\0\0"),
}


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_the_orientation_is_found(kind, turn):
    assert stated_orientation(KINDS[kind](turn)) == turn


@pytest.mark.parametrize(
    "blob",
    [jpeg(PHOTO), png(PHOTO), turned_png(PHOTO, 9), png(PHOTO)[:60], b"", b"RIFF\4\0\0\0WEBPVP8 "],
)
def test_without_one_it_is_1(blob):
    assert stated_orientation(blob) == 1


@pytest.mark.parametrize("turn", range(1, 9))
def test_pixels_are_turned_as_viewers_turn_them(turn):
    for image in (PHOTO, PHOTO[..., 0]):
        made = upright(image, turn)
        assert made.flags.c_contiguous
        assert np.array_equal(made, coding.upright(image, turn))
    shown = cv2.imdecode(np.frombuffer(turned_png(PHOTO, turn), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(upright(PHOTO, turn), shown)
