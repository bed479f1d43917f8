"""One number in text, read exactly as C's strtof reads it; slow, for the few that need this."""

from __future__ import annotations

import math
import re
from decimal import Context, Decimal
from fractions import Fraction

import numpy as np

__all__ = ["strtof"]

_HEX = re.compile(
    rb"([+-]?)0[xX](?:([0-9a-fA-F]+)\.?([0-9a-fA-F]*)|\.([0-9a-fA-F]+))(?:[pP]([+-]?\d+))?"
)
_DECIMAL = re.compile(rb"([+-]?)((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")
_EXACT = Context(prec=10**6, Emax=10**12, Emin=-(10**12))
_BEYOND = 60  # decimal (and 400 binary) places: beyond both ends of float32


def strtof(text: bytes) -> np.float32:
    """Return the number at the start of `text`, rounded once, to the nearest float32.

    Decimal and hexadecimal numbers; beyond float32's range infinity or 0. ValueError if there is
    no number.
    """
    if found := _HEX.match(text):
        sign, whole, part, only, power = found.groups()
        part = part or only or b""
        value = int((whole or b"") + part, 16)
        scale = int(power or 0) - 4 * len(part)
        if value and value.bit_length() + scale > 400:
            exact: Fraction | None = None
        elif not value or value.bit_length() + scale < -400:
            exact = Fraction(0)
        else:
            exact = Fraction(value) * Fraction(2) ** scale
    elif found := _DECIMAL.match(text):
        sign = found.group(1)
        number = _EXACT.create_decimal(found.group(2).decode())
        if number and number.adjusted() > _BEYOND:
            exact = None
        elif not number or number.adjusted() < -_BEYOND:
            exact = Fraction(0)
        else:
            exact = Fraction(Decimal(number))
    else:
        raise ValueError(f"no number: {text!r}")
    size = np.float32(math.inf) if exact is None else _nearest(exact)
    return np.float32(-size if sign == b"-" else size)


def _nearest(exact: Fraction) -> np.float32:
    """Return the float32 nearest to a number >= 0, the even one of two."""
    exponent = exact.numerator.bit_length() - exact.denominator.bit_length()
    if Fraction(2) ** exponent > exact:
        exponent -= 1
    step = max(exponent, -126) - 23  # 2^step is the distance between neighbours there
    value = math.ldexp(round(exact / Fraction(2) ** step), step)
    return np.float32(value if value < 2.0**128 else math.inf)
