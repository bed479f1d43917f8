"""Images of extreme sizes: one pixel, one line, and smaller than what is cut from them."""

import numpy as np
import pytest

from gpuio.errors import RecordError
from gpuio.io import ImageRecordIter, ImageRecordUInt8Iter
from support.making import flat, jpeg, png, write_rec

RAMP = (np.arange(65535) % 251).astype(np.uint8)


def first(rec, cls=ImageRecordUInt8Iter, **options):
    options = {"batch_size": 1, "verbose": False, "ctx": "cpu", **options}
    with cls(path_imgrec=rec, **options) as it:
        batch = next(it)
        return batch.data[0].asnumpy()[0], it.stats()["failed_records"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"resize": 20},
        {"rand_crop": True, "rand_mirror": True},
        {"random_resized_crop": True, "min_random_area": 0.1},
        {"max_rotate_angle": 10, "fill_value": 77},
        {"pad": 4, "fill_value": 77},
        {"min_crop_size": 1, "max_crop_size": 1},
        {"inter_method": 2},
        {"inter_method": 3},
        {"inter_method": 4},
        {"antialias": True},
    ],
    ids="-".join,
)
@pytest.mark.parametrize("encode", [png, jpeg])
def test_one_pixel_fills_any_batch(tmp_path, options, encode):
    rec, _ = write_rec(tmp_path, [encode(np.full((1, 1, 3), 77, np.uint8))])
    image, failed = first(rec, data_shape=(3, 12, 10), **options)
    assert failed == []
    assert (np.abs(image.astype(int) - 77) <= 1).all()


@pytest.mark.parametrize("upright", [False, True])
def test_a_line_of_65535_pixels_is_read_whole(tmp_path, upright):
    line = np.repeat(RAMP[None, :, None], 3, axis=2)
    line = line.swapaxes(0, 1) if upright else line
    rec, _ = write_rec(tmp_path, [png(np.ascontiguousarray(line))])
    image, _ = first(rec, data_shape=(3, *line.shape[:2]))
    assert np.array_equal(image, line.transpose(2, 0, 1))


def test_a_line_is_stretched_to_the_crop_and_cut_in_its_middle(tmp_path):
    line = np.repeat(RAMP[None, :, None], 3, axis=2)
    rec, _ = write_rec(tmp_path, [png(line)])
    image, failed = first(rec, data_shape=(3, 4, 64))
    assert failed == []
    left = (4 * 65535 - 64) // 2  # four times as high, so four times as wide
    at = (left + np.arange(64) + 0.5) / 4 - 0.5
    expected = np.interp(at, np.arange(65535), RAMP)
    assert (np.abs(image - expected) <= 1).all()


def test_a_jpeg_wider_than_libjpeg_takes_is_a_decode_error(tmp_path):
    wide = jpeg(np.zeros((1, 60000, 3), np.uint8))
    at = wide.index(b"\xff\xc0")
    wide = wide[: at + 7] + (65535).to_bytes(2, "big") + wide[at + 9 :]
    rec, _ = write_rec(tmp_path, [wide])
    image, failed = first(rec, data_shape=(3, 1, 64), on_error="zero")
    assert "DecodeError" in failed[0]["reason"]
    assert not image.any()


@pytest.mark.parametrize(("height", "width"), [(1, 40), (40, 1), (7, 9), (2, 2)])
def test_an_image_smaller_than_the_crop_is_enlarged_to_it(tmp_path, height, width):
    rec, _ = write_rec(tmp_path, [flat(130, height, width)])
    for options in ({}, {"rand_crop": True}, {"resize": 3}, {"inter_method": 3}):
        image, failed = first(rec, data_shape=(3, 33, 35), **options)
        assert failed == []
        assert (image == 130).all()


def test_enlarging_beyond_the_limit_is_refused_before_it_happens(tmp_path):
    rec, _ = write_rec(tmp_path, [flat(1, 1, 200)])
    with pytest.raises(RecordError, match="max_pixels"):
        first(rec, ImageRecordIter, data_shape=(3, 8, 8), resize=600, max_pixels=10_000)
