"""Compiled generators give the words of `gpuio.order.rng`, recipes libstdc++'s numbers."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest

from gpuio.kernels.plan import random_bits as compiled
from gpuio.order.rng import Mersenne
from support.philox import philox


def callable_from_python(function):
    """Return a function that only compiled code can call as one that Python can."""
    return numba.njit(lambda *args: function(*args))  # noqa: PLW0108 -- the call is compiled


NAMES = ("seed_mersenne", "seed_philox", "_word", "between", "whole", "coin", "normal3")
random_bits = SimpleNamespace(
    STATE_WORDS=compiled.STATE_WORDS,
    **{name: callable_from_python(getattr(compiled, name)) for name in NAMES},
)


def mersenne(seed):
    state = np.zeros(random_bits.STATE_WORDS, np.uint32)
    random_bits.seed_mersenne(state, seed)
    return state


def taken(state, count):
    return [int(random_bits._word(state)) for _ in range(count)]


@pytest.mark.parametrize("seed", [0, 111, 5489, -104, (1 << 40) + 9])
def test_mersenne_words_are_those_of_cpp_through_three_turns_of_the_state(seed):
    assert taken(mersenne(seed), 2000) == Mersenne(seed).words(2000).tolist()


def test_seeding_again_forgets_what_was_drawn():
    state = mersenne(3)
    taken(state, 700)
    random_bits.seed_mersenne(state, 111)
    assert taken(state, 1000) == Mersenne(111).words(1000).tolist()


@pytest.mark.parametrize(
    ("seed", "pass_index", "record"), [(0, 0, 0), (-1, 7, 1 << 33), (1 << 50, 2**32 - 1, 12)]
)
def test_philox_words_are_those_of_the_definition(seed, pass_index, record):
    state = mersenne(1)
    random_bits.seed_philox(state, seed, pass_index, record)
    assert taken(state, 23) == philox(seed, pass_index, record, 23)[0].tolist()


def test_reals_are_libstdcpps():
    state = mersenne(111)
    drawn = [random_bits.between(state, np.float32(0), np.float32(1)) for _ in range(3)]
    assert np.allclose(drawn, [0.6121701598, 0.1207577810, 0.1690697521], rtol=0, atol=1e-9)


def test_whole_numbers_are_libstdcpps():
    state = mersenne(111)
    assert [random_bits.whole(state, 0, 31) for _ in range(8)] == [19, 3, 5, 9, 13, 27, 24, 9]


def test_a_range_of_one_value_takes_a_word():
    state = mersenne(111)
    assert random_bits.whole(state, 4, 4) == 4
    assert taken(state, 1) == [518650732]


def test_coins_are_libstdcpps():
    state = mersenne(111)
    assert [int(random_bits.coin(state)) for _ in range(8)] == [1, 1, 0, 1, 1, 1, 0, 0]


def test_normal_numbers_are_libstdcpps():
    drawn = random_bits.normal3(mersenne(111), np.float32(0.1))
    expected = [-0.092873238, 0.027469531, -0.052342553]  # by the polar method in double
    assert np.allclose(drawn, expected, rtol=0, atol=4e-9)
