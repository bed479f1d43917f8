from __future__ import annotations

import random

import numpy as np
import pytest

from gpuio import image

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def test_all_options_come_in_mxnets_order():
    augs = image.CreateAugmenter(
        (3, 20, 24),
        resize=28,
        rand_crop=True,
        rand_resize=True,
        rand_mirror=True,
        mean=True,
        std=True,
        brightness=0.1,
        hue=0.1,
        pca_noise=0.1,
        rand_gray=0.1,
    )
    assert [type(aug) for aug in augs] == [
        image.ResizeAug,
        image.RandomSizedCropAug,
        image.HorizontalFlipAug,
        image.CastAug,
        image.ColorJitterAug,
        image.HueJitterAug,
        image.LightingAug,
        image.RandomGrayAug,
        image.ColorNormalizeAug,
    ]


def test_one_rng_serves_all_augmenters():
    options = {"rand_crop": True, "rand_mirror": True, "brightness": 0.3, "pca_noise": 0.1}

    def run():
        src = IMAGE
        for aug in image.CreateAugmenter((3, 20, 24), rng=random.Random(3), **options):
            src = aug(src)
        return src

    assert np.array_equal(run(), run())


@pytest.mark.parametrize("name", ["mean", "std"])
@pytest.mark.parametrize("value", [[1, 2, 3], False, np.zeros(4), 5.0])
def test_statistics_are_none_true_or_an_array(name, value):
    with pytest.raises(AssertionError, match=name):
        image.CreateAugmenter((3, 20, 24), **{name: value})


def test_random_resize_needs_random_crop():
    with pytest.raises(AssertionError, match="rand_crop"):
        image.CreateAugmenter((3, 20, 24), rand_resize=True)
