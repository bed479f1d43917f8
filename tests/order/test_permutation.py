"""Permutations are whole, unbiased, their own inverse's, and the same for ever."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuio.order import permutation as module
from gpuio.order.permutation import RECORDS, FullPasses, _Feistel, permutation

# saved states name a place in these: they never change
GOLDEN = {
    7: [1, 3, 4, 2, 6, 0, 5],
    1000: [
        *(22, 434, 56, 893, 59, 587, 715, 653, 274, 488, 783, 636, 126, 430, 862, 457),
        *(887, 940, 657, 764, 945, 616, 773, 253, 9, 704, 930, 200, 473, 710, 74, 252),
    ],
    2**24 + 1: [
        *(1428440, 3898509, 14911839, 3008821, 10198731, 11472835, 8755586, 2459014),
        *(14874546, 6587111, 8287318, 12201205, 10609420, 12341874, 11219459, 9643418),
        *(11053355, 3376886, 6211938, 5377009, 6146043, 2226567, 5271430, 11620307),
        *(11108227, 8665579, 15183700, 11243718, 16742400, 2228833, 10121576, 2022156),
    ],
    10**10: [
        *(4084939997, 9811464808, 5002232978, 9169897112, 7125255450, 1029817561, 3916962735),
        *(8439640808, 443018132, 4586445954, 9407147224, 5248472539, 1211864554, 3424627297),
        *(870709538, 4975994464, 3822505551, 9315039856, 406299650, 3351316554, 4203704765),
        *(1860696319, 7580509167, 1401408648, 6742332696, 8764515195, 3413912853, 4022871597),
        *(5354553740, 7971950619, 6502037890, 5962605304),
    ],
}


def numbers(count, *key):
    made = permutation(count, *key)
    return made.at(np.arange(count)).tolist()


@pytest.mark.parametrize("count", GOLDEN)
def test_the_first_numbers_are_those_of_every_version(count):
    made = permutation(count, 0, RECORDS, 0).at(np.arange(min(count, 32)))
    assert made.tolist() == GOLDEN[count]


def test_other_keys_are_frozen_as_well():
    key = (9, -3, RECORDS, 2**40 + 1, 7)
    assert numbers(*key) == [3, 6, 1, 4, 2, 5, 8, 7, 0]
    high = _Feistel(10**10, [3, 4, 5, 6]).at(np.array([0, 1, 10**10 - 1]))
    assert high.tolist() == [4737231146, 5007634720, 5014179413]


@given(st.integers(1, 5000), st.integers(-(2**70), 2**70), st.integers(0, 2**40))
def test_every_number_comes_once(count, seed, pass_index):
    for made in (
        permutation(count, seed, 1, pass_index),
        _Feistel(count, [seed % 2**64, 1, pass_index, 0]),
    ):
        found = made.at(np.arange(count))
        assert np.array_equal(np.sort(found), np.arange(count))
        assert made.place_of(int(found[count // 2])) == count // 2


def test_each_part_of_the_key_makes_another_order():
    keys = [(0, 1, 0, 0), (1, 1, 0, 0), (0, 2, 0, 0), (0, 1, 1, 0), (0, 1, 0, 1), (-1, 1, 0, 0)]
    for one, other in itertools.combinations(keys, 2):
        assert numbers(50, *one) != numbers(50, *other)
        some = np.arange(50)
        assert (_Feistel(2**30, [v % 2**64 for v in one]).at(some)
                != _Feistel(2**30, [v % 2**64 for v in other]).at(some)).any()  # fmt: skip


@pytest.mark.parametrize("count", [2, 3, 4, 5, 10])
def test_few_numbers_come_at_every_place_equally_often(count):
    """Chi-square of (place, number) below its 99.9 % limit; an order of one key has no chance."""
    passes = 1500
    seen = np.zeros((count, count))
    for pass_index in range(passes):
        seen[np.arange(count), numbers(count, 7, 1, pass_index)] += 1
    expected = passes / count
    freedom = (count - 1) ** 2
    limit = freedom * (1 - 2 / (9 * freedom) + 3.09 * (2 / (9 * freedom)) ** 0.5) ** 3
    assert ((seen - expected) ** 2 / expected).sum() < limit


def test_all_orders_of_four_come_equally_often():
    seen = {}
    for pass_index in range(2400):
        key = tuple(numbers(4, 9, 1, pass_index))
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 24
    assert sum((n - 100) ** 2 / 100 for n in seen.values()) < 49.7  # 23 degrees, 99.9 %


def test_a_large_one_moves_records_as_far_as_chance_does():
    n = 10**5
    found = _Feistel(n, [3, 1, 1, 0]).at(np.arange(n))
    assert abs(np.abs(found - np.arange(n)).mean() / (n / 3) - 1) < 0.01
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.01


def test_words_are_drawn_in_pieces_without_a_seam(monkeypatch):
    whole = numbers(1000, 0, RECORDS, 0)
    monkeypatch.setattr(module, "_DRAWN_AT_ONCE", 7)
    assert numbers(1000, 0, RECORDS, 0) == whole


def test_passes_are_found_in_any_order_and_number_their_samples():
    walking, jumping = FullPasses(100, 20, 5), FullPasses(100, 20, 5)
    walked = [walking.rows(p, 0, 20, 0, 4)[0].tolist() for p in range(10)]
    for pass_index in (9, 0, 7, 8, 0):
        position, sample = jumping.rows(pass_index, 3, 11, 0, 4)
        assert position.tolist() == walked[pass_index][3:11]
        assert sample.tolist() == list(range(20 * pass_index + 3, 20 * pass_index + 11))
    assert sorted(walked[3]) == list(range(100, 120))
    assert len({tuple(one) for one in walked}) == 10
    assert len(jumping._kept) == 2  # memory of a large one counts
    assert FullPasses(5, 0, 1).rows(0, 0, 0, 0, 4)[0].tolist() == []
