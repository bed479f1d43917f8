"""strtof rounds once."""

import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuio.io.number import strtof

C = ctypes.CDLL(None)
C.strtof.restype = ctypes.c_float


def bits(value):
    return np.float32(value).view(np.uint32)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_every_float32_comes_back_from_its_own_text(value):
    for text in (repr(value), f"{value:.60e}", value.hex()):
        assert bits(strtof(text.encode())) == bits(value)


@pytest.mark.parametrize(
    "text",
    [
        "1e999999999",
        "-1e999999999",
        "1e-999999999",
        "-1e-999999999",
        "0e999999999",
        "3.4028235677973366e38",
        "3.4028235677973365e38",
        "3.5e38",
        "7.0064923216240853546186479164495e-46",
        "7.0064923216240854e-46",
        "1.00000005960464477539062500000000001",
        "1.000000178813934326171875",
        "0x1.000001p0",
        "0x1.000001000001p0",
        "0x1.000003p0",
        "0x1p-149",
        "0x1p-150",
        "0x1.8p-150",
        "0x1p9999",
        "-0x0p99",
        "0x.8",
        "0X1P4",
        "0x1p",
        "0xg",
        "1.5e",
        "+.5e1x",
    ],
)
def test_ends_ties_and_prefixes_are_as_in_c(text):
    assert bits(strtof(text.encode())) == bits(C.strtof(text.encode(), None))


@pytest.mark.parametrize("text", [b"", b"x", b".", b"-", b"e5", b" 1"])
def test_no_number_is_an_error(text):
    with pytest.raises(ValueError, match="no number"):
        strtof(text)
