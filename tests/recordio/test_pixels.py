"""An image of another dtype keeps its look in a record, or is refused."""

import cv2
import numpy as np
import pytest

from gpuio.errors import RecordError
from gpuio.recordio import pack_img, unpack_img
from gpuio.recordio.pixels import storable
from support.making import photo

PHOTO = photo(24, 32)
DEEP = PHOTO.astype(np.uint16) * 256 + 77


def packed(image, suffix=".png"):
    return unpack_img(pack_img((0, 0.0, 0, 0), image, img_fmt=suffix))[1]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_of_0_to_1_or_0_to_255(dtype):
    assert np.array_equal(packed((PHOTO / 255).astype(dtype)), PHOTO)
    assert np.array_equal(packed(PHOTO.astype(dtype)), PHOTO)
    assert packed(np.full((4, 4), 0.5, dtype)).max() == 128
    assert packed(np.full((4, 4), 99.6, dtype)).max() == 100
    assert packed(np.zeros((4, 4), dtype)).max() == 0


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint32, np.uint64])
def test_integers_keep_their_values(dtype):
    assert np.array_equal(packed(PHOTO.astype(dtype)), PHOTO)


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".jpeg", ".webp", ".bmp"])
def test_a_format_of_8_bits_keeps_the_high_byte_of_16(suffix):
    assert np.array_equal(packed(DEEP, suffix), packed(PHOTO, suffix))
    assert packed(np.zeros((4, 4), np.uint16), suffix).max() == 0


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm"])
def test_a_format_of_16_bits_keeps_them(suffix):
    assert np.array_equal(packed(DEEP[..., 0], suffix), DEEP[..., 0])


def test_tiff_keeps_floats():
    image = (PHOTO / 255).astype(np.float32)
    assert np.array_equal(packed(image, ".tiff"), image)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (PHOTO.astype(np.uint16), "8 or 16 bits"),
        (PHOTO > 99, "black and white"),
        ((PHOTO > 99).astype(np.float32), "black and white"),
        (PHOTO.astype(np.float32) * 256, "0 to 255"),
        (PHOTO.astype(np.float32) - 128, "values from -128"),
        (PHOTO.astype(np.int16) + 1, "to 256"),
        (np.full((4, 4), np.nan), "nan"),
        (np.full((4, 4), 1j), "complex128"),
    ],
)
def test_values_without_a_clear_meaning_are_refused(image, said):
    with pytest.raises(RecordError, match=said):
        pack_img((0, 0.0, 0, 0), image)


def test_uint8_is_what_opencv_encodes():
    assert storable(PHOTO, ".jpg") is PHOTO
    assert pack_img((0, 0.0, 0, 0), PHOTO)[24:] == (
        cv2.imencode(".jpg", PHOTO, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    )
