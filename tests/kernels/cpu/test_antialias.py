"""The resize that averages where it shrinks: Pillow's, the same from every executor."""

import numpy as np
import pytest

from gpuio.kernels.cpu import augment
from gpuio.kernels.cpu.antialias import triangle_table
from gpuio.kernels.plan.interpolation import CODES
from gpuio.kernels.taps import triangle_taps
from support import reference
from support.plans import plain

TRIANGLE = CODES["TRIANGLE"]


def on_cpu(image, height, width, **fields):
    """Return uint8[height, width, C] of a plan that resizes the whole image."""
    row = plain(*image.shape[:2])
    row["crop_inter"] = TRIANGLE
    for name, value in fields.items():
        row[name] = value
    C = image.shape[2]
    made = augment.Normalisation("uint8", [0] * C, [1] * C, 1.0, "NHWC")
    out = np.zeros((height, width, C), np.uint8)
    augment.augment(image, row, made, out, augment.Scratch())
    return out[..., [2, 1, 0, 3][:C] if C > 1 else [0]]


def cases(count=60, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        h, w, C = int(rng.integers(1, 200)), int(rng.integers(1, 200)), int(rng.choice([1, 3, 4]))
        yield rng.integers(0, 256, (h, w, C), dtype=np.uint8), *map(int, rng.integers(1, 90, 2))


def test_it_is_pillows_within_one_level():
    pillow = pytest.importorskip("PIL.Image")
    for image, height, width in cases():
        ours = reference.resize(image, height, width, TRIANGLE).astype(int)
        for c in range(image.shape[2]):
            plane = pillow.fromarray(np.ascontiguousarray(image[..., c]))
            theirs = np.asarray(plane.resize((width, height), pillow.Resampling.BILINEAR))
            assert np.abs(ours[..., c] - theirs).max() <= 1


@pytest.mark.parametrize("size", [(37, 120), (11, 120), (90, 16), (90, 333)])
def test_along_one_axis_it_is_pillows_to_the_bit(size):
    pillow = pytest.importorskip("PIL.Image")
    image = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    theirs = pillow.fromarray(image).resize(size[::-1], pillow.Resampling.BILINEAR)
    assert np.array_equal(reference.resize(image, *size, TRIANGLE), np.asarray(theirs))


def test_the_cpu_kernel_gives_the_bits_of_the_reference():
    for image, height, width in cases(seed=2):
        theirs = reference.resize(image, height, width, TRIANGLE)
        assert np.array_equal(on_cpu(image, height, width), theirs)
        assert np.array_equal(on_cpu(image, height, width, mirror=1), theirs[:, ::-1])


def test_a_crop_is_made_of_its_own_pixels_only():
    image = np.zeros((60, 60, 3), np.uint8)
    image[10:50, 20:60] = 200
    fields = {"crop_y": 10, "crop_x": 20, "crop_h": 40, "crop_w": 40}
    assert (on_cpu(image, 7, 9, **fields) == 200).all()


def test_taps_cover_every_source_pixel_and_sum_to_one():
    for dst, src in ((7, 100), (100, 7), (1, 50), (50, 1), (64, 64)):
        first, count, weight = triangle_taps(dst, src)
        assert (first >= 0).all()
        assert (first + count <= src).all()
        assert np.abs(weight.sum(1) - (1 << 22)).max() <= weight.shape[1]
        used = {i for a, n in zip(first, count, strict=True) for i in range(a, a + n)}
        assert used == set(range(src)) or dst > src


def test_averaging_keeps_a_fine_pattern_gray():
    image = np.indices((200, 200)).sum(0)[..., None] % 2 * 255
    assert np.abs(on_cpu(image.astype(np.uint8), 40, 40).astype(int) - 127.5).max() < 12


def test_a_warp_has_no_such_interpolation():
    image = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(ValueError, match="interpolation 5 of a warp"):
        on_cpu(image, 20, 20, warp_h=20, warp_w=20, warp_inter=TRIANGLE)


def test_compiled_taps_are_those_of_numpy():
    rng = np.random.default_rng(4)
    for dst, src in [(224, 224), (1, 1), *rng.integers(1, 700, (300, 2)).tolist()]:
        first, count, weight = triangle_taps(dst, src)
        table = triangle_table(dst, src)
        assert np.array_equal(table[:, 0], first)
        assert np.array_equal(table[:, 1], count)
        assert np.array_equal(table[:, 2 : 2 + weight.shape[1]], weight)
        assert not table[:, 2 + weight.shape[1] :].any()
