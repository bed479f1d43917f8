from __future__ import annotations

import numpy as np
import pytest

from gpuio import image
from gpuio.errors import MXNetError

IMAGE = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
JITTERS = [
    image.BrightnessJitterAug(0.4),
    image.ContrastJitterAug(0.4),
    image.SaturationJitterAug(0.4),
    image.HueJitterAug(0.4),
    image.LightingAug(0.1, np.ones(3), np.eye(3)),
    image.RandomGrayAug(1.0),
]


@pytest.mark.parametrize("aug", JITTERS, ids=lambda aug: type(aug).__name__)
def test_integers_are_refused_with_the_remedy(aug):
    with pytest.raises(MXNetError, match="cast first"):
        aug(IMAGE.copy())


@pytest.mark.parametrize("aug", JITTERS, ids=lambda aug: type(aug).__name__)
def test_dtype_and_shape_stay(aug):
    for dtype in (np.float32, np.float64):
        made = aug(IMAGE.astype(dtype))
        assert made.dtype == dtype
        assert made.shape == IMAGE.shape


@pytest.mark.parametrize("aug", [*JITTERS[:3], JITTERS[4]], ids=lambda aug: type(aug).__name__)
def test_jitters_but_hue_and_gray_work_in_place(aug):
    source = IMAGE.astype(np.float32)
    assert aug(source) is source


def test_contrast_keeps_the_mean_and_saturation_keeps_the_luma():
    luma = np.array([0.299, 0.587, 0.114])
    source = IMAGE.astype(np.float64)
    contrasted = image.ContrastJitterAug(0.4, rng=1)(source.copy())
    assert (contrasted @ luma).mean() == pytest.approx((source @ luma).mean())
    saturated = image.SaturationJitterAug(0.4, rng=1)(source.copy())
    assert np.allclose(saturated @ luma, source @ luma)
    assert not np.allclose(saturated, source)


def test_one_channel_is_its_own_luma():
    gray = IMAGE[:, :, :1].astype(np.float32)
    assert np.allclose(image.SaturationJitterAug(0.4)(gray.copy()), gray, atol=1e-4)
    with pytest.raises(MXNetError, match="height, width, 3"):
        image.HueJitterAug(0.3)(gray.copy())


def test_color_jitter_leaves_out_what_is_zero():
    assert [type(a).__name__ for a in image.ColorJitterAug(0, 0.1, 0).ts] == ["ContrastJitterAug"]


def test_normalising_takes_none_for_either():
    source = IMAGE.astype(np.float32)
    assert np.array_equal(image.ColorNormalizeAug(None, np.array([2.0]))(source.copy()), source / 2)
    assert np.array_equal(image.ColorNormalizeAug(np.array([2.0]), None)(source.copy()), source - 2)
