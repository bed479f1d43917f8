"""Eight pixels of a bilinear warp at a time are those of OpenCV's sums of four, to the bit."""

import numpy as np
import pytest

from gpuio.kernels.cpu.warp import warp, warp_weights
from gpuio.kernels.plan.layout import BILINEAR
from support import reference

SPARE = 64


def warped(image, matrix, h, w):
    """Warp an image; the bytes behind its pixels must stay as they are."""
    src_h, src_w, C = image.shape
    out = np.full(4 * h * w + SPARE, 170, np.uint8)
    flat, matrix = image.reshape(-1), np.array(matrix, np.float64)
    warp(flat, C, src_h, src_w, matrix, BILINEAR, 93, 0, 0, False, h, w, out[:-SPARE])
    assert (out[-SPARE:] == 170).all()
    return out[:-SPARE].reshape(h, w, 4)


@pytest.mark.parametrize("C", [1, 3, 4])
def test_every_fraction_of_a_pixel_weighs_as_the_table_of_weights_says(C):
    rng = np.random.default_rng(C)
    image = rng.integers(0, 256, (4, 40, C), np.uint8)
    image[:, :20] = rng.choice([0, 1, 254, 255], (4, 20, C))
    taps = [image[v : v + 3, u : u + 24].astype(np.int64) for v in (0, 1) for u in (0, 1)]
    for y in range(32):
        for x in range(32):
            got = warped(image, [1, 0, x / 32, 0, 1, y / 32], 3, 24)
            weights = warp_weights(BILINEAR)[32 * y + x].astype(np.int64)
            total = sum(tap * weight for tap, weight in zip(taps, weights, strict=True))
            assert np.array_equal(got[..., :C], (total + (1 << 14)) >> 15)
            assert not got[..., C:].any()


@pytest.mark.parametrize("C", [1, 3, 4])
def test_rows_of_any_length_equal_the_reference(C):
    rng = np.random.default_rng(C)
    image = rng.integers(0, 256, (30, 50, C), np.uint8)
    for w in range(1, 35):
        angle, h = rng.uniform(-0.4, 0.4), 9
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = cos, -sin, rng.uniform(-6, 20), sin, cos, rng.uniform(-3, 15)
        want = reference.warp(image, matrix, h, w, BILINEAR, 93)
        assert np.array_equal(warped(image, matrix, h, w)[..., :C], want), w
