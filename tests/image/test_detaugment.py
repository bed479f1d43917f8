from __future__ import annotations

import random

import numpy as np
import pytest

from gpuio import image
from gpuio.image.detaugment import det_in_two_steps, draw_all_det
from gpuio.image.draws import GLOBAL, as_draws

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
LABEL = np.array([[1, 0.1, 0.2, 0.5, 0.6], [2, 0.4, 0.4, 0.9, 0.8]])


def every_augmenter(rng=None):
    crop, pad = image.DetRandomCropAug(rng=rng), image.DetRandomPadAug(rng=rng)
    return [
        crop,
        pad,
        image.DetHorizontalFlipAug(0.5, rng=rng),
        image.DetBorrowAug(image.ForceResizeAug((20, 20), 1, rng=rng)),
        image.DetRandomSelectAug([crop, pad], 0.3, rng=rng),
        image.DetRandomSelectAug([], rng=rng),
    ]


@pytest.mark.parametrize("number", range(6))
def test_drawing_then_applying_is_calling(number):
    for seed in range(8):
        random.seed(seed)
        called, label = every_augmenter()[number](IMAGE, LABEL.copy())
        random.seed(seed)
        aug = every_augmenter()[number]
        plan, shape, moved = aug.draw(IMAGE.shape, LABEL.copy(), GLOBAL)
        applied = aug.apply(IMAGE, plan)
        assert np.array_equal(called, applied)
        assert np.array_equal(label, moved)
        assert applied.shape == tuple(shape)
        assert det_in_two_steps(aug)


def test_a_chain_with_an_own_rng_repeats():
    first = draw_all_det(every_augmenter(rng=4)[:4], IMAGE.shape, LABEL.copy(), as_draws(0))
    again = draw_all_det(every_augmenter(rng=4)[:4], IMAGE.shape, LABEL.copy(), as_draws(1))
    assert first[1] == again[1]
    assert np.array_equal(first[2], again[2])


def test_a_flip_moves_the_label_in_place_and_twice_is_none():
    label, flip = LABEL.copy(), image.DetHorizontalFlipAug(1.0)
    flipped, moved = flip(IMAGE, label)
    assert moved is label
    assert np.allclose(moved[0, 1:], [0.5, 0.2, 0.9, 0.6])
    back, moved = flip(flipped, moved)
    assert np.array_equal(back, IMAGE)
    assert np.allclose(moved, LABEL)


def test_callables_of_the_users_are_not_taken_apart():
    class Own(image.DetAugmenter):
        def __call__(self, src, label):
            return src, label

    class OwnImage(image.Augmenter):
        def __call__(self, src):
            return src

    assert not det_in_two_steps(Own())
    assert not det_in_two_steps(image.DetRandomSelectAug([Own()]))
    assert not det_in_two_steps(image.DetBorrowAug(OwnImage()))
    assert not det_in_two_steps(lambda src, label: (src, label))
    assert image.DetRandomSelectAug([Own()])(IMAGE, LABEL)[0] is IMAGE


def test_only_augmenters_of_the_right_kind_are_taken():
    with pytest.raises(TypeError, match="Borrowing from invalid"):
        image.DetBorrowAug(image.DetHorizontalFlipAug(0.5))
    with pytest.raises(ValueError, match="Allow DetAugmenter"):
        image.DetRandomSelectAug([image.CastAug()])
    with pytest.raises(NotImplementedError, match="Must override"):
        image.DetAugmenter()(IMAGE, LABEL)
