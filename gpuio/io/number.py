"""One number in text, read exactly as C's strtof reads it; slow, for the few that need it."""

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
_BEYOND = 60  # decimal (and 400 binary) places: past both ends of float32


def strtof(text: bytes) -> np.float32:
    """Return the number that `text` begins with, rounded once, to the nearest float32.

    Decimal and hexadecimal numbers; past float32's range infinity or 0. ValueError without one.
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
    near = float(exact)  # rounded once, to float64; again below, unless that meets a tie
    with np.errstate(over="ignore"):
        guess = np.float32(near)
    if not np.isfinite(guess):
        guess = np.finfo(np.float32).max
    below, above = np.nextafter(guess, np.float32(0)), np.nextafter(guess, np.float32(np.inf))
    if not np.isfinite(above):  # 2^128 would be the next one
        middle = (Fraction(float(guess)) + Fraction(2) ** 128) / 2
        return np.float32(np.inf) if exact >= middle else _pick(exact, below, guess)
    upper = _pick(exact, guess, above)
    return upper if upper != guess else _pick(exact, below, guess)


def _pick(exact: Fraction, low: np.float32, high: np.float32) -> np.float32:
    """Return the nearer of two neighbours, the even one when both are as near."""
    middle = (Fraction(float(low)) + Fraction(float(high))) / 2
    if exact == middle:
        return low if int(low.view(np.uint32)) % 2 == 0 else high
    return low if exact < middle else high
