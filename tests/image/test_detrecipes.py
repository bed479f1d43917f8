from __future__ import annotations

import numpy as np
import pytest

from gpuio import image


def test_lists_are_aligned_to_the_longest():
    made = image.CreateMultiRandCropAugmenter([0.1, 0.5], max_attempts=[9], skip_prob=0.25)
    assert [aug.min_object_covered for aug in made.aug_list] == [0.1, 0.5]
    assert [aug.max_attempts for aug in made.aug_list] == [9, 9]
    assert made.skip_prob == 0.25
    with pytest.raises(AssertionError, match="lengths"):
        image.CreateMultiRandCropAugmenter([0.1, 0.5], max_attempts=[1, 2, 3])


def test_one_rng_serves_all_augmenters():
    src = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    label = np.array([[1, 0.1, 0.2, 0.5, 0.6]])

    def run():
        made, moved = src, label.copy()
        options = {"rand_crop": 0.9, "rand_pad": 0.9, "rand_mirror": True, "brightness": 0.3}
        for aug in image.CreateDetAugmenter((3, 20, 24), rng=7, **options):
            made, moved = aug(made, moved)
        return made, moved

    first, again = run(), run()
    assert first[0].shape == (20, 24, 3)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])


def test_statistics_are_none_true_or_an_array():
    with pytest.raises(AssertionError, match="mean"):
        image.CreateDetAugmenter((3, 20, 24), mean=[1, 2, 3])
