"""Tap tables: weights sum to one, indices lie where OpenCV's do."""

import numpy as np
import pytest

from gpuio.kernels.plan.layout import AREA, BILINEAR, CUBIC, LANCZOS4, NEAREST
from gpuio.kernels.taps import area_taps, fraction_weights, rounded_values, taps


@pytest.mark.parametrize(("method", "k"), [(BILINEAR, 2), (CUBIC, 4), (AREA, 2), (LANCZOS4, 8)])
@pytest.mark.parametrize(("dst", "src"), [(1, 1), (7, 3), (3, 7), (341, 500), (200, 199)])
def test_weights_sum_to_2048_but_for_rounding(method, k, dst, src):
    index, weight = taps(dst, src, method, clamp=False)
    assert index.shape == weight.shape == (dst, k)
    assert np.abs(weight.sum(1) - 2048).max() <= k // 2
    assert np.array_equal(np.diff(index, axis=1), np.ones((dst, k - 1)))


def test_clamped_taps_lie_in_the_image():
    for dst, src in ((50, 7), (7, 50), (3, 1)):
        index, weight = taps(dst, src, BILINEAR, clamp=True)
        assert index[:, 0].min() >= 0
        assert index[:, 0].max() <= src - 1
        assert not weight[index[:, 1] == src, 1].any()


def test_a_row_between_two_pixels_takes_half_of_each():
    index, weight = taps(3, 6, BILINEAR, clamp=False)
    assert index.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert weight.tolist() == [[1024, 1024]] * 3


def test_nearest_has_no_taps():
    with pytest.raises(ValueError, match="nearest"):
        taps(3, 6, NEAREST, clamp=False)


@pytest.mark.parametrize(("dst", "src"), [(1, 1), (1, 9), (3, 7), (224, 375), (6, 6)])
def test_area_shares_of_a_pixel_sum_to_one_and_cover_the_source(dst, src):
    to, source, share = area_taps(dst, src)
    assert np.allclose(np.bincount(to, share, dst), 1, atol=1e-6)
    assert set(source) == set(range(src))
    assert (np.diff(to) >= 0).all()


def test_fractions_start_at_the_pixel_itself():
    for method, middle in ((BILINEAR, 0), (CUBIC, 1), (LANCZOS4, 3)):
        weight = fraction_weights(method)
        assert weight[0, middle] == 1
        assert np.abs(np.delete(weight[0], middle)).max() < 1e-6


def test_only_bicubic_sums_in_float32_and_only_whole_groups_of_eight():
    assert rounded_values(13, 3, CUBIC) == 32
    assert rounded_values(13, 3, LANCZOS4) == 0


def test_compiled_bicubic_taps_are_those_of_numpy():
    from gpuio.kernels.cpu.resize import cubic_taps

    rng = np.random.default_rng(5)
    for dst, src in [(1, 1), (1, 700), (700, 1), *rng.integers(1, 700, (200, 2)).tolist()]:
        index, weight = np.empty((2, dst, 4), np.int32)
        cubic_taps(dst, src, dst - 1, -1, index, weight)
        want_index, want_weight = taps(dst, src, 2, clamp=False)
        assert np.array_equal(index[::-1], want_index)
        assert np.array_equal(weight[::-1], want_weight)
