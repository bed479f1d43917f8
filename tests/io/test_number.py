"""strtof rounds once."""

import ctypes
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuio.io.number import strtof, strtof_at

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


MILLION = 10**6


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0." + b"1" * MILLION, "0.11111111"),
        (b"1.000000059604644775390625" + b"0" * MILLION, "1.0"),
        (b"1.000000059604644775390625" + b"0" * MILLION + b"1", "1.0000001"),
        (b"0x0." + b"1" * MILLION, "0.06666667"),
        (b"0x" + b"1" * MILLION + b"p-4000000", "0.06666667"),
        (b"0x1.000001" + b"0" * MILLION, "1.0"),
        (b"0x1.000001" + b"0" * MILLION + b"1", "1.0000001"),
        (b"1e" + b"9" * MILLION, "inf"),
        (b"-1e-" + b"9" * MILLION, "-0.0"),
        (b"0x1p" + b"9" * 5000, "inf"),
        (b"0x0p" + b"9" * 5000, "0.0"),
        (b"0." + b"0" * MILLION + b"1e1000001", "1.0"),
    ],
    ids=range(12),
)
def test_a_number_of_a_million_digits_takes_no_time(text, value):
    begun = time.process_time()
    assert str(strtof(text)) == value
    assert time.process_time() - begun < 1


def test_a_number_in_a_text_is_read_from_its_first_character_on():
    text = np.frombuffer(b"7,0x1p4,1.5\n2 3", np.uint8)
    assert [float(strtof_at(text, at)) for at in (0, 2, 8, 12, 14)] == [7, 16, 1.5, 2, 3]
