"""A compiled Feistel network is the one of its definition, and finds its way back."""

import numpy as np
import pytest

from gpuio.kernels.plan.feistel import walk

KEYS = np.array([0x12345678, 0xFFFFFFFF, 0, 0x9ABCDEF0, 7, 0x80000000], np.uint64)
LOW = 0xFFFFFFFF


def mixed(word, key):
    word = (word ^ key) * 0x9E3779B1 & LOW
    word ^= word >> 15
    word = word * 0x85EBCA77 & LOW
    return word ^ word >> 13


def defined(value, half, count):
    mask = (1 << half) - 1
    while True:
        left, right = value >> half, value & mask
        for key in KEYS.tolist():
            left, right = right, left ^ (mixed(right, key) & mask)
        value = left << half | right
        if value < count:
            return value


@pytest.mark.parametrize(
    ("half", "count"), [(1, 3), (3, 50), (17, 10**10), (31, 2**62), (32, 7**21)]
)
def test_every_number_is_that_of_the_definition_and_comes_back(half, count):
    values = np.unique([i * (count - 1) // 49 for i in range(50)])
    found, back = np.empty_like(values), np.empty_like(values)
    walk(values, KEYS, half, count, True, found)
    assert found.tolist() == [defined(value, half, count) for value in values.tolist()]
    walk(found, KEYS, half, count, False, back)
    assert back.tolist() == values.tolist()
