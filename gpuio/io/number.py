"""One number in text, read exactly as C's strtof reads it; slow, for the few that need this.

Invariant: the time grows with the number's length, not with its square: digits that cannot decide
the rounding are replaced by one that says whether any of them is not zero.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["strtof", "strtof_at"]

_HEX = re.compile(
    rb"([+-]?)0[xX](?:([0-9a-fA-F]+)\.?([0-9a-fA-F]*)|\.([0-9a-fA-F]+))(?:[pP]([+-]?\d+))?"
)
_DECIMAL = re.compile(rb"([+-]?)(?:(\d+)\.?(\d*)|\.(\d+))(?:[eE]([+-]?\d+))?")
_CHARACTERS = re.compile(rb"[0-9a-fA-FxXpP.+-]*")
_KEPT = 200  # digits; a number half-way between two float32 has 113 at most
_LONGEST = 12  # digits of an exponent: beyond what any digits can make up for
_BEYOND = {10: 60, 16: 100}  # places: beyond both ends of float32


def strtof_at(text: npt.NDArray[np.uint8], offset: int) -> np.float32:
    """Return the number at `offset` of a text uint8[n], as `strtof` does."""
    data: Any = text.data
    found = _CHARACTERS.match(data, offset)
    return strtof(found.group() if found else b"")


def strtof(text: bytes) -> np.float32:
    """Return the number at the start of `text`, rounded once, to the nearest float32.

    Decimal and hexadecimal numbers; beyond float32's range infinity or 0. ValueError if there is
    no number.
    """
    if found := _HEX.match(text):
        base, step, steps = 16, Fraction(2), 4
    elif found := _DECIMAL.match(text):
        base, step, steps = 10, Fraction(10), 1
    else:
        raise ValueError(f"no number: {text[:40]!r}")
    sign, whole, part, only, power = found.groups()
    whole, part = whole or b"", part or only or b""
    digits = (whole + part).lstrip(b"0")
    # the number is 0.DIGITS * base ** places * step ** exponent; step ** steps is base
    places, exponent = len(digits) - len(part), _exponent(power)
    reach = places + exponent / steps
    if not digits or reach < -_BEYOND[base]:
        size = np.float32(0)
    elif reach > _BEYOND[base]:
        size = np.float32(math.inf)
    else:
        kept, rest = digits[:_KEPT], digits[_KEPT:]
        if rest.strip(b"0"):
            kept += b"1"
        exponent += steps * (places - len(kept))
        size = _nearest(int(kept, base) * step**exponent)
    return np.float32(-size if sign == b"-" else size)


def _exponent(text: bytes | None) -> int:
    """Return an exponent of any number of digits, cut where it makes no difference."""
    digits = (text or b"").lstrip(b"+-").lstrip(b"0")
    size = int(digits or b"0") if len(digits) <= _LONGEST else 10**_LONGEST
    return -size if (text or b"").startswith(b"-") else size


def _nearest(exact: Fraction) -> np.float32:
    """Return the float32 nearest to a number >= 0, the even one of two."""
    exponent = exact.numerator.bit_length() - exact.denominator.bit_length()
    if Fraction(2) ** exponent > exact:
        exponent -= 1
    step = max(exponent, -126) - 23  # 2^step is the distance between neighbours there
    value = math.ldexp(round(exact / Fraction(2) ** step), step)
    return np.float32(value if value < 2.0**128 else math.inf)
