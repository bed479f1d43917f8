"""Tables hold MXNet's values: float32 in its order, halves rounded to even, int8 clamped."""

import numpy as np
import pytest

from gpuio.kernels import normalise
from support.reference import normalisation

MEAN = np.array([123.68, -7.5, 0.5, 255], np.float32)
STD = np.array([58.393, 1, 0.25, 3], np.float32)


def test_float32_follows_the_order_of_operations_one_rounding_each():
    table = normalisation("float32", MEAN, STD, 1 / 255, 0.7, -12.5)
    f = np.float32
    for c in range(4):
        factor = f(f(0.7) * f(1 / 255)) / STD[c]
        shift = f(f(-12.5) * f(1 / 255)) / STD[c]
        for p in range(256):
            assert table[c, p] == f(f(f(p) - MEAN[c]) * factor) + shift
    assert table.dtype == np.float32
    assert table.shape == (4, 256)


def test_uint8_is_the_byte_itself():
    assert np.array_equal(normalisation("uint8", MEAN, STD, 3), [np.arange(256)] * 4)


def test_int8_subtracts_the_mean_rounded_away_from_zero_and_clamps():
    table = normalisation("int8", MEAN, STD, 3, 2, 1)
    for c, mean in enumerate((124, -8, 1, 255)):
        assert np.array_equal(table[c], np.clip(np.arange(256) - mean, -128, 127))


@pytest.mark.parametrize(
    ("value", "whole"),
    [(0.5, 1), (-0.5, -1), (2.5, 3), (1.4999, 1), (0, 0), (-3.2, -3), (0.49999997, 0)],
)
def test_halves_are_rounded_away_from_zero(value, whole):
    assert normalise.round_half_away([value]) == whole


def test_bfloat16_rounds_half_to_even():
    bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF, 0xBF818000], np.uint32)
    want = [0x3F80, 0x3F82, 0x3F81, 0x3F80, 0xBF82]
    assert normalise.bfloat16(bits.view(np.float32)).tolist() == want


def test_float16_overflows_to_infinity():
    table = normalisation("float16", [0], [1], 1000)
    assert table[0, [0, 65, 66]].tolist() == [0, np.float16(65000).view(np.uint16), 0x7C00]


@pytest.mark.parametrize("dtype", normalise.DTYPES)
def test_a_table_is_of_the_dtype_that_stores_its_values(dtype):
    table = normalisation(dtype, MEAN, STD, 1)
    assert table.dtype == normalise.storage(dtype)
