"""What a warp is said to read of an image is all that it reads, and no more than it needs."""

import numpy as np
import pytest

from gpuio.backend.warp_region import warp_reach, warp_regions
from gpuio.kernels.cpu.augment import Normalisation, Scratch, augment
from support.plans import plain

SIZE = 20  # of the output
NORMALISATION = Normalisation("uint8", np.zeros(3, np.float32), np.ones(3, np.float32), 1.0, "NHWC")


def warped(rng, height, width, inter):
    """Return PLAN[1] of a crop of a warp."""
    row = plain(height, width)
    row["warp_h"], row["warp_w"] = high, wide = rng.integers(40, 160, 2).tolist()
    h, w = rng.integers(1, high + 1), rng.integers(1, wide + 1)
    if rng.random() < 0.4:
        h = w = SIZE
    row["crop_h"], row["crop_w"], row["crop_inter"] = h, w, 1
    row["crop_y"], row["crop_x"] = rng.integers(0, high - h + 1), rng.integers(0, wide - w + 1)
    angle, size = rng.uniform(-4, 4), rng.uniform(0.3, 1.6)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) * size
    turn[0, 1] += rng.uniform(-0.4, 0.4)
    at = np.array([width, height]) / 2 - turn @ (np.array([wide, high]) / 2)
    at += rng.uniform(-40, 40, 2)
    row["warp"] = [*turn[0], at[0], *turn[1], at[1]]
    row["warp_inter"], row["fill"], row["mirror"] = inter, rng.integers(0, 256), rng.integers(0, 2)
    return row


def made(pixels, row):
    """Return the output of a plan."""
    out = np.empty((SIZE, SIZE, 3), np.uint8)
    augment(pixels, row, NORMALISATION, out, Scratch())
    return out


@pytest.mark.parametrize("inter", [0, 1, 2, 4])
def test_a_warp_reads_nothing_else(inter):
    less = 0
    for case in range(60):
        rng = np.random.default_rng((inter, case))
        height, width = rng.integers(20, 130, 2).tolist()
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        row = warped(rng, height, width, inter)
        (top, left, right), reach = warp_regions(row)[0].tolist(), int(warp_reach(row)[0])
        assert 0 <= top < height
        assert 0 <= left < right <= width
        noise = rng.integers(0, 256, pixels.shape, np.uint8)
        kept = np.s_[top : max(reach, top), left:right]
        noise[kept] = pixels[kept]
        assert np.array_equal(made(noise, row), made(pixels, row)), case
        less += 2 * (right - left) < width
    assert less > 8


def test_the_region_is_hardly_larger_than_what_is_read():
    row = plain(100, 100)
    row["warp_h"] = row["warp_w"] = 100
    row["warp"] = [1, 0, 0, 0, 1, 0]
    row["crop_y"], row["crop_x"], row["crop_h"], row["crop_w"] = 40, 30, 20, 10
    assert warp_regions(row)[0].tolist() == [35, 25, 45]
    assert warp_reach(row).tolist() == [65]


@pytest.mark.parametrize(
    "field", ["resize_h", "pad", "upscale1_h", "expand_h", "letterbox_h", "pre_colour", "flip"]
)
def test_of_other_plans_all_is_decoded(field):
    row = plain(100, 100)
    assert not warp_regions(row).any()
    row["warp_h"] = row["warp_w"] = 100
    row["warp"] = [1, 0, 0, 0, 1, 0]
    assert warp_regions(row).any()
    turned = row.copy()
    turned["orient"] = 6
    assert not warp_regions(turned).any()
    row[field] = 1
    assert not warp_regions(row).any()
