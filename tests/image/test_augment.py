from __future__ import annotations

import random

import numpy as np
import pytest

from gpuio import image
from gpuio.errors import OptionError
from gpuio.image.augment import draw_all, in_two_steps
from gpuio.image.draws import GLOBAL, as_draws

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def every_augmenter(rng=None):
    vectors = np.eye(3)
    return [
        image.ResizeAug(20, 10, rng=rng),
        image.ForceResizeAug((20, 25), 10, rng=rng),
        image.RandomCropAug((20, 15), 1, rng=rng),
        image.CenterCropAug((20, 15), 1, rng=rng),
        image.RandomSizedCropAug((20, 15), 0.2, (0.5, 2), 1, rng=rng),
        image.HorizontalFlipAug(0.5, rng=rng),
        image.CastAug(),
        image.BrightnessJitterAug(0.3, rng=rng),
        image.ContrastJitterAug(0.3, rng=rng),
        image.SaturationJitterAug(0.3, rng=rng),
        image.HueJitterAug(0.3, rng=rng),
        image.ColorJitterAug(0.3, 0.3, 0.3, rng=rng),
        image.LightingAug(0.1, np.array([1.0, 2.0, 3.0]), vectors, rng=rng),
        image.ColorNormalizeAug(np.array([1.0, 2.0, 3.0]), None),
        image.RandomGrayAug(0.5, rng=rng),
        image.SequentialAug([image.RandomCropAug((20, 15), 1, rng=rng)]),
        image.RandomOrderAug([image.HorizontalFlipAug(1.0), image.CastAug()], rng=rng),
    ]


@pytest.mark.parametrize("number", range(17))
def test_drawing_then_applying_is_calling(number):
    for seed in range(5):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        called = every_augmenter()[number](IMAGE.astype(np.float32))
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        aug = every_augmenter()[number]
        assert in_two_steps(aug)
        plan, shape = aug.draw(IMAGE.shape, GLOBAL)
        applied = aug.apply(IMAGE.astype(np.float32), plan)
        assert np.array_equal(called, applied)
        assert applied.shape == tuple(shape)


@pytest.mark.parametrize("number", range(17))
def test_an_augmenters_own_rng_repeats_and_touches_no_other(number):
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    one, other = every_augmenter(rng=9)[number], every_augmenter(rng=9)[number]
    for _ in range(3):
        assert np.array_equal(one(IMAGE.astype(np.float32)), other(IMAGE.astype(np.float32)))
    if number != 16:  # its members have no generator of their own
        assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # noqa: NPY002


@pytest.mark.parametrize("number", range(17))
def test_only_what_draws_calls_itself_random(number):
    class Counting:
        def __init__(self):
            self.draws, self.count = as_draws(1), 0

        def __getattr__(self, name):
            self.count += 1
            return getattr(self.draws, name)

    aug, counting = every_augmenter()[number], Counting()
    aug.draw(IMAGE.shape, counting)
    assert aug.is_random == (counting.count > 0)


def test_a_sequence_draws_in_order_with_the_shapes_that_will_be():
    augs = [image.ResizeAug(60, 1), image.RandomCropAug((50, 50), 1), image.HorizontalFlipAug(0.5)]
    plan, shape = draw_all(augs, IMAGE.shape, as_draws(3))
    assert shape == (50, 50, 3)
    src = IMAGE
    for aug, part in plan:
        src = aug.apply(src, part)
    assert src.shape == shape


def test_a_random_order_persists_from_call_to_call():
    aug = image.RandomOrderAug([image.CastAug(name) for name in ("float32", "uint8", "float64")])
    members = list(aug.ts)
    random.seed(1)
    aug(IMAGE)
    expected = list(members)
    random.seed(1)
    random.shuffle(expected)
    assert aug.ts == expected


def test_the_base_class_wants_an_implementation():
    with pytest.raises(NotImplementedError, match="Must override implementation"):
        image.Augmenter()(IMAGE)


def test_callables_of_the_users_are_not_taken_apart():
    class Own(image.Augmenter):
        def __call__(self, src):
            return src

    class OwnFlip(image.HorizontalFlipAug):
        def __call__(self, src):
            return src

    class TwoSteps(image.Augmenter):
        def draw(self, shape, draws):
            return draws.random(), shape

        def apply(self, src, plan):
            return src

    class OwnSequence(image.SequentialAug):
        def __call__(self, src):
            return src

    assert not in_two_steps(Own())
    assert not in_two_steps(OwnSequence([]))
    assert not in_two_steps(OwnFlip(0.5))
    assert not in_two_steps(image.SequentialAug([Own()]))
    assert not in_two_steps(lambda src: src)
    assert in_two_steps(TwoSteps())
    assert TwoSteps()(IMAGE) is IMAGE


def test_dumps_turns_arrays_into_lists():
    aug = image.Augmenter(a=np.arange(3), b=np.float32(0.5), c="x")
    assert aug.dumps() == '["augmenter", {"a": [0, 1, 2], "b": 0.5, "c": "x"}]'


def test_flips_of_every_dtype_are_copies():
    for dtype in (np.uint8, np.float32, np.int64):
        source = IMAGE.astype(dtype)
        made = image.HorizontalFlipAug(1.0)(source)
        assert np.array_equal(made, source[:, ::-1])
        assert not np.shares_memory(made, source)


def test_an_unknown_dtype_to_cast_to_is_an_option_error():
    with pytest.raises(OptionError, match="CastAug"):
        image.CastAug("fancy")(IMAGE)
