from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuio.errors import OptionError
from gpuio.image.draws import GLOBAL, Draws, as_draws, keyed


def sequence(draws):
    items = list(range(6))
    return [
        draws.random(),
        draws.uniform(-2, 3),
        draws.randint(1, 100),
        draws.shuffle(items),
        draws.normals(0.5, 3).tolist(),
        draws.uniforms(2, 4, 2).tolist(),
    ]


def test_an_int_gives_what_seeding_the_global_generators_gives():
    random.seed(11)
    np.random.seed(11)  # noqa: NPY002
    assert sequence(as_draws(11)) == sequence(GLOBAL)


def test_none_is_the_global_generators_at_the_time_of_the_draw():
    draws = as_draws(None)
    random.seed(4)
    first = draws.random()
    random.seed(4)
    assert random.random() == first


@pytest.mark.parametrize("make", [lambda: random.Random(5), lambda: np.random.default_rng(5)])
def test_a_generator_of_the_callers_is_repeatable_and_leaves_the_global_ones_alone(make):
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    first = sequence(as_draws(make()))
    assert first == sequence(as_draws(make()))
    assert random.random() == random.Random(0).random()
    assert np.random.random() == np.random.RandomState(0).random()  # noqa: NPY002


@pytest.mark.parametrize("rng", ["5", 1.5, True, [1]])
def test_another_kind_of_rng_is_refused(rng):
    with pytest.raises(OptionError, match="rng of type"):
        as_draws(rng)


def test_draws_pass_through():
    draws = as_draws(3)
    assert as_draws(draws) is draws
    assert isinstance(draws, Draws)


@given(st.integers(), st.integers(0, 10**6), st.integers(0, 10**9))
def test_a_keyed_generator_depends_on_its_three_numbers_alone(seed, epoch, position):
    assert sequence(keyed(seed, epoch, position)) == sequence(keyed(seed, epoch, position))


def test_keyed_generators_of_neighbours_differ():
    places = [(s, e, p) for s in range(4) for e in range(4) for p in range(-1, 8)]
    assert len({keyed(*place).random() for place in places}) == len(places)


def test_a_keyed_generator_leaves_the_list_it_shuffles_as_it_was():
    items = list(range(10))
    shuffled = keyed(1, 2, 3).shuffle(items)
    assert items == list(range(10))
    assert sorted(shuffled) == items
    assert shuffled != items


@pytest.mark.parametrize("rng", [1, random.Random(1), np.random.default_rng(1)])
def test_randint_reaches_both_ends(rng):
    draws = as_draws(rng)
    assert {draws.randint(2, 4) for _ in range(200)} == {2, 3, 4}
    with pytest.raises(ValueError, match="empty range"):
        draws.randint(4, 2)
