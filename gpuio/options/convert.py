"""Turn an option's value, or MXNet's text for it, into its Python type.

MXNet passes every option to C++ as `str(value)`; saved configurations therefore hold texts such as
"(3, 224, 224)" or "True". Each function takes both, and raises ValueError saying what it expected;
the options class adds the option's name.
"""

from __future__ import annotations

import ast
import math
import numbers
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuio.storage.paths import absolute, absolute_uri, divide

__all__ = [
    "choice",
    "each_path",
    "integer",
    "integer_list",
    "mxnet_float32",
    "number",
    "numbers_of",
    "optional",
    "pair",
    "path",
    "path_or_switch",
    "positive",
    "shape",
    "switch",
    "switch_or",
    "text",
    "within",
    "word_or",
]

_TRUE = frozenset({"true", "1", "t"})
_FALSE = frozenset({"false", "0", "f"})


def switch(value: Any) -> bool:
    """Return a bool from True/False, 1/0, or their texts."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(f"expected True or False, got {value!r}")


def switch_or(*words: str) -> Callable[[Any], bool | str]:
    """Return a converter to one of some words, or to a bool as `switch` has it."""
    named = " or ".join(map(repr, words))

    def convert(value: Any) -> bool | str:
        if isinstance(value, str) and value in words:
            return value
        try:
            return switch(value)
        except ValueError as error:
            raise ValueError(f"{error}; or {named}") from None

    return convert


def integer(low: int | None = None, high: int | None = None) -> Callable[[Any], int]:
    """Return a converter to an int in [low, high]; floats are refused, as MXNet refuses them."""

    def convert(value: Any) -> int:
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Integral, str)):
            raise ValueError(f"expected a whole number, got {value!r}")  # noqa: TRY004
        try:
            made = int(value)
        except ValueError:
            raise ValueError(f"expected a whole number, got {value!r}") from None
        if (low is not None and made < low) or (high is not None and made > high):
            span = f"{'' if low is None else low}..{'' if high is None else high}"
            raise ValueError(f"expected a whole number in {span}, got {made}")
        return made

    return convert


positive = integer(1)


def number(low: float | None = None, *, finite: bool = True) -> Callable[[Any], float]:
    """Return a converter to a finite float, also as float32, at least `low`."""

    def convert(value: Any) -> float:
        if isinstance(value, (bool, np.bool_)):
            raise ValueError(f"expected a number, got {value!r}")  # noqa: TRY004
        try:
            made = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"expected a number, got {value!r}") from None
        if finite and not math.isfinite(made):
            raise ValueError(f"expected a finite number, got {value!r}")
        if finite and not np.isfinite(mxnet_float32(made)):
            raise ValueError(f"expected a number that float32 holds, got {value!r}")
        if low is not None and made < low:
            raise ValueError(f"expected a number of at least {low}, got {made}")
        return made

    return convert


def within(low: float, high: float) -> Callable[[Any], float]:
    """Return a converter to a float in [low, high]."""

    def convert(value: Any) -> float:
        made = number()(value)
        if not low <= made <= high:
            raise ValueError(f"expected a number in {low:g}..{high:g}, got {made:g}")
        return made

    return convert


def word_or(word: str, convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a converter that takes one word as it is, and else is `convert`."""

    def converted(value: Any) -> Any:
        if isinstance(value, str) and value.strip().lower() == word:
            return word
        try:
            return convert(value)
        except ValueError as error:
            raise ValueError(f"{error}; or {word!r}") from None

    return converted


def pair(low: float, high: float) -> Callable[[Any], tuple[float, float]]:
    """Return a converter to two floats a and b, low <= a <= b <= high, from a pair or its text."""

    def convert(value: Any) -> tuple[float, float]:
        items: Any = value
        if isinstance(value, str):
            items = [item for item in value.strip("()[] ").split(",") if item.strip()]
        if not isinstance(items, (Sequence, np.ndarray)) or len(items) != 2:
            raise ValueError(f"expected two numbers, got {value!r}")
        first, last = (within(low, high)(item) for item in items)
        if first > last:
            raise ValueError(f"expected the smaller number first, got {value!r}")
        return first, last

    return convert


def numbers_of(convert: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a converter to a tuple of at least one, from one value, several, or their text."""

    def converted(value: Any) -> tuple[Any, ...]:
        items: Any = value
        if isinstance(value, str):
            items = [item for item in value.strip("()[] ").split(",") if item.strip()]
        elif not isinstance(value, (Sequence, np.ndarray)):
            items = [value]
        made = tuple(convert(item) for item in items)
        if not made:
            raise ValueError(f"expected one number or more, got {value!r}")
        return made

    return converted


def optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a converter that also takes None and the text "None"."""

    def wrapped(value: Any) -> Any:
        return None if value is None or value == "None" else convert(value)

    return wrapped


def text(value: Any) -> str:
    """Return a str from a str or a path-like."""
    if value is None:
        return ""
    return str(value)


def path(value: Any) -> str:
    """Return an absolute path from a str or a path-like; "" stays ""."""
    return absolute(text(value))


def each_path(value: Any) -> str | tuple[str, ...]:
    """Return one text of absolute paths, or a tuple of them from a list or tuple of path-likes."""
    if isinstance(value, (list, tuple)):
        return tuple(absolute_uri(str(part)) for part in value)
    made = [absolute_uri(piece) for piece in divide(text(value))]
    # a folder's name may hold what separates paths
    return tuple(made) if len(made) > 1 and ";" in "".join(made) else ";".join(made)


def path_or_switch(value: Any) -> bool | str | tuple[str, ...]:
    """Return True, or paths as `each_path` does; "" where it is off."""
    word = str(value).strip().lower()
    if value is None or word in ("", "none", *_FALSE):
        return ""
    return True if word in _TRUE else each_path(value)


_ELSEWHERE = {"cuda": "gpu"}  # words of other libraries, and ours


def choice(*allowed: str) -> Callable[[Any], str]:
    """Return a converter to one of the allowed words."""

    def convert(value: Any) -> str:
        word = str(value)
        if word not in allowed:
            name, _, rest = word.partition("(")
            meant = _ELSEWHERE.get(word.partition(":")[0])
            hint = f"; did you mean {meant!r}?" if meant in allowed else ""
            if name in allowed and rest[:-1].isdecimal():  # a Context of MXNet's
                hint = f"; a device is named by {name!r} and device_id={rest[:-1]}"
            raise ValueError(
                f"expected one of {', '.join(map(repr, allowed))}, got {value!r}{hint}"
            )
        return word

    return convert


def shape(value: Any) -> tuple[int, int, int]:
    """Return (C, H, W), three whole numbers >= 1, C in {1, 3, 4}."""
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            raise ValueError(f"expected (channels, height, width), got {value!r}") from None
    if not isinstance(value, Sequence) and not isinstance(value, np.ndarray):
        raise ValueError(f"expected (channels, height, width), got {value!r}")  # noqa: TRY004
    made = tuple(integer(1)(item) for item in value)
    if len(made) != 3:
        raise ValueError(f"expected three numbers (channels, height, width), got {value!r}")
    if made[0] not in (1, 3, 4):
        meant = (made[2], *made[:2])
        hint = f": (channels, height, width) is {meant}" if meant[0] in (1, 3, 4) else ""
        raise ValueError(f"expected 1, 3 or 4 channels, got {made[0]} in {value!r}{hint}")
    return made


def integer_list(value: Any) -> tuple[int, ...]:
    """Return ints from "a,b,c", or from a list or tuple of whole numbers; "" gives ()."""
    if value is None or value == "":
        return ()
    items: Any = value
    if isinstance(value, str):
        items = [item for item in value.strip("()[] ").split(",") if item.strip()]
    if isinstance(items, numbers.Integral):
        items = [items]
    return tuple(integer()(item) for item in items)


_NUMBER_TEXT = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?")


def mxnet_float32(value: float) -> np.float32:
    """Return a number as MXNet's parser understands its text: whole and fraction rounded apart.

    MXNet takes every option as ``str(value)`` and adds float32(whole part) and float32(fraction);
    1.195 thereby becomes another float32 than the nearest one.
    """
    found = _NUMBER_TEXT.fullmatch(str(float(value)))
    if found is None:  # inf and nan
        return np.float32(value)
    sign, whole, fraction, exponent = found.groups()
    made = np.float32(int(whole or 0))
    if fraction:
        made += np.float32(int(fraction) / 10 ** len(fraction))
    power, scale = abs(int(exponent or 0)), np.float32(1)
    with np.errstate(over="ignore"):  # a divisor, too, of what then is 0
        for _ in range(power // 8):
            scale *= np.float32(1e8)
        for _ in range(power % 8):
            scale *= np.float32(10)
        made = made / scale if int(exponent or 0) < 0 else made * scale
    return np.float32(-made if sign == "-" else made)
