"""The shape that MXNet's `reshape` means: its codes 0, -1, -2, -3 and -4."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpuio.errors import OptionError

__all__ = ["flat_shape", "new_shape"]


def new_shape(shape: Sequence[int], codes: Sequence[int], *, reverse: bool = False) -> list[int]:
    """Return the shape that codes ask for.

    Parameters
    ----------
    shape : sequence of int         of the array, n axes
    codes : sequence of int
        A length, > 0; 0: this axis as it is; -1: what is left; -2: all further axes as they are;
        -3: the product of two axes; -4: one axis as two, whose lengths follow, one of them may
        be -1
    reverse : bool                  read both from the right

    Returns
    -------
    list of int                     may hold one -1, for `reshape` to work out

    Raises
    ------
    OptionError                     the codes do not fit the shape
    """
    if reverse:
        return new_shape(shape[::-1], codes[::-1])[::-1]
    made: list[int] = []
    at = 0  # the axis that the next code is about
    left = iter(codes)
    for code in left:
        taken = {-2: len(shape) - at, -3: 2}.get(code, 1)
        if code < -4 or (code in (0, -3, -4) and at + taken > len(shape)):
            raise OptionError(f"reshape {tuple(codes)}: code {code} does not fit {tuple(shape)}")
        if code in (0, -2):
            made += shape[at : at + taken]
        elif code == -3:
            made.append(shape[at] * shape[at + 1])
        elif code == -4:
            made += _parted(shape[at], next(left, 0), next(left, 0))
        else:
            made.append(code)
        at += taken
    return made


def _parted(length: int, first: int, second: int) -> list[int]:
    """Return the two lengths that one axis becomes."""
    if first == -1 and second > 0:
        first = length // second
    elif second == -1 and first > 0:
        second = length // first
    if first < 1 or second < 1 or first * second != length:
        raise OptionError(f"reshape: -4 cannot part an axis of {length} into {first} x {second}")
    return [first, second]


def flat_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Return the shape of MXNet's `flatten`, which keeps the first axis."""
    return (shape[0], math.prod(shape[1:])) if shape else (1, 1)
