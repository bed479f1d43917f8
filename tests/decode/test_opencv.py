"""OpenCV decodes what it should, as uint8, and says what is wrong with the rest."""

import cv2
import numpy as np
import pytest

from gpuio.decode.opencv import decode
from gpuio.errors import DecodeError

RNG = np.random.default_rng(3)
PHOTO = cv2.GaussianBlur(RNG.integers(0, 256, (40, 56, 3), np.uint8), (7, 7), 2)


def encoded(suffix, image=PHOTO):
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_lossless_formats_come_back_as_they_went_in(suffix):
    assert np.array_equal(decode(encoded(suffix), 3), PHOTO)


def test_gray_is_replicated_for_three_channels_and_kept_for_one():
    gray = encoded(".png", PHOTO[:, :, 1])
    assert np.array_equal(decode(gray, 3), np.repeat(PHOTO[:, :, 1:2], 3, axis=2))
    assert np.array_equal(decode(gray, 1), PHOTO[:, :, 1:2])


def test_alpha_is_dropped_for_three_channels_and_kept_for_four():
    alpha = np.dstack([PHOTO, PHOTO[:, :, :1]])
    assert np.array_equal(decode(encoded(".png", alpha), 3), PHOTO)
    assert np.array_equal(decode(encoded(".png", alpha), 4), alpha)


def test_four_channels_are_asked_of_an_image_with_three():
    with pytest.raises(DecodeError, match="image has 3 channels of uint8, data_shape asks for 4"):
        decode(encoded(".png"), 4)


def test_sixteen_bits_keep_their_high_byte():
    deep = PHOTO.astype(np.uint16) * 256 + 200
    assert np.array_equal(decode(encoded(".png", deep), 3), PHOTO)


def test_orientation_is_left_to_the_plan():
    rotated = bytearray(encoded(".jpg"))
    segment = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    rotated[2:2] = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    assert decode(bytes(rotated), 3).shape == (40, 56, 3)
    assert cv2.imdecode(np.frombuffer(rotated, np.uint8), 1).shape == (56, 40, 3)


@pytest.mark.parametrize(
    ("blob", "text"),
    [
        (b"", "image is empty"),
        (b"not an image at all", "not a readable image: 19 bytes starting 6e6f7420616e2069"),
        (encoded(".jpg")[:600], "not a readable image"),
        (encoded(".png")[:300], "PNG is cut short"),
    ],
)
def test_what_is_no_whole_image_is_a_decode_error(blob, text, capfd):
    with pytest.raises(DecodeError, match=text):
        decode(blob, 3)
    capfd.readouterr()


def test_a_good_image_decodes_after_rubbish(capfd):
    for _ in range(10):
        with pytest.raises(DecodeError):
            decode(RNG.bytes(100), 3)
    capfd.readouterr()
    assert np.array_equal(decode(encoded(".png"), 3), PHOTO)
