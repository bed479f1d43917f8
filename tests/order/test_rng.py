"""The generators give the published words, the recipes libstdc++'s numbers."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuio.kernels.plan.shuffle import swap_all
from gpuio.order import rng
from gpuio.order.rng import (
    Mersenne,
    draw_and_shuffle,
    draw_below,
    run_sizes,
    shuffle,
    skip_below,
)


def test_mersenne_words_are_those_of_cpp():
    assert Mersenne(111).words(5).tolist() == [
        2629250900, 518650732, 726149076, 1296175828, 1872859222,
    ]  # fmt: skip
    assert Mersenne(118).words(4).tolist() == [4048657664, 490041391, 2487378331, 843821021]
    # the C++ standard names the 10000th word of the default seed
    assert Mersenne(5489).words(10_000)[-1] == 4123659995


def test_mersenne_takes_any_seed_modulo_two_to_the_32():
    assert Mersenne(-1).words(3).tolist() == Mersenne(0xFFFFFFFF).words(3).tolist()
    assert Mersenne((1 << 32) + 7).words(3).tolist() == Mersenne(7).words(3).tolist()


def test_mersenne_goes_on_from_an_assigned_state():
    source = Mersenne(3)
    source.words(700)
    state = source.state
    after = source.words(5).tolist()
    source.words(1000)
    source.state = state
    assert source.words(5).tolist() == after


def test_whole_numbers_are_libstdcpps():
    drawn = draw_below(Mersenne(111), np.full(8, 32, np.uint32))
    assert drawn.tolist() == [19, 3, 5, 9, 13, 27, 24, 9]


@given(st.lists(st.sampled_from([1, 2, 3, 0x7FFFFFFF, 0x80000001, 0xFFFFFFFF]), max_size=50))
def test_rejected_words_are_skipped_one_by_one(sizes):
    source, plain, expected = Mersenne(5), Mersenne(5), []
    for size in sizes:
        scale = 0xFFFFFFFF // size
        word = int(plain.words(1)[0])
        while word >= size * scale:
            word = int(plain.words(1)[0])
        expected.append(word // scale)
    assert draw_below(source, np.array(sizes, np.uint32)).tolist() == expected
    assert source.words(1)[0] == plain.words(1)[0]


def test_numbers_passed_over_take_the_words_of_numbers_drawn():
    sizes = np.array([2, 3, 2**31 + 1, 7, 2**31 + 5, 5] * 50, np.uint32)  # some reject half
    one, other = Mersenne(5), Mersenne(5)
    for _ in range(9):
        draw_below(one, sizes)
    skip_below(other, sizes, 4)
    skip_below(other, sizes, 5)
    assert one.words(700).tolist() == other.words(700).tolist()


@pytest.mark.parametrize("lengths", [[300_000], [1], [70_000, 1, 2, 40_000]])
def test_drawn_and_shuffled_at_once_is_drawn_and_then_shuffled(lengths):
    runs = np.array(lengths, np.int64)
    one, other = Mersenne(7), Mersenne(7)
    assert (one.words(3) == other.words(3)).all()
    expected, values = (np.arange(runs.sum(), dtype=np.int32) for _ in range(2))
    drawn = draw_below(one, run_sizes(runs))
    shuffle(expected, drawn, runs)
    draw_and_shuffle(other, values, runs)
    assert (values == expected).all()
    assert (one.words(700) == other.words(700)).all()


def test_ten_items_are_shuffled_as_libstdcpp_shuffles_them():
    source = Mersenne(237)
    values = np.arange(11, dtype=np.int32)
    shuffle(values, draw_below(source, run_sizes(np.array([11]))))
    assert values.tolist() == [5, 9, 6, 4, 0, 8, 7, 10, 3, 2, 1]


def test_a_run_of_n_draws_from_sizes_2_to_n():
    assert run_sizes(np.array([4, 1, 2, 3])).tolist() == [2, 3, 4, 2, 2, 3]


def test_a_small_shuffle_loads_no_numba():
    code = (
        "import sys, numpy as np; from gpuio.order.rng import *; "
        "shuffle(np.arange(999, dtype=np.int32), "
        "draw_below(Mersenne(1), np.arange(2, 1000, dtype=np.uint32))); "
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_many_small_shuffles_are_compiled_in_the_end(monkeypatch):
    compiled = []
    monkeypatch.setattr(rng, "_in_python", [rng.COMPILED_FROM - 1500])
    monkeypatch.setattr(
        "gpuio.kernels.plan.shuffle.swap_all", lambda *a: compiled.append(len(a[0])) or swap_all(*a)
    )
    draws = draw_below(Mersenne(1), np.arange(2, 1001, dtype=np.uint32))
    made = []
    for _ in range(3):
        made.append(np.arange(1000, dtype=np.int32))
        shuffle(made[-1], draws)
    assert compiled == [1000, 1000]
    assert (made[0] == made[1]).all()
    assert (made[1] == made[2]).all()
