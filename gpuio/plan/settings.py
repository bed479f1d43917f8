"""Fill a row of settings from options, every field of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["fill", "of_options", "seed_bits"]


def of_options(
    options: Any, fields: Iterable[tuple[str, Any]], real: Callable[[float], np.float32]
) -> dict[str, Any]:
    """Return the fields that are options of their name.

    Parameters
    ----------
    options : RecordOptions
    fields : (name, int64 or float32), ...
    real : callable                 a float option to its float32

    Raises
    ------
    AttributeError                  no option has the name of a field
    """
    return {
        name: real(getattr(options, name)) if kind is np.float32 else int(getattr(options, name))
        for name, kind in fields
    }


def seed_bits(seed: int) -> np.int64:
    """Return a seed of any size and sign, modulo 2^64, as the kernels take it.

    That is a key of Philox; mt19937 takes the low 32 bits.
    """
    return np.uint64(seed % (1 << 64)).astype(np.int64)


def fill(dtype: np.dtype[np.void], values: dict[str, Any]) -> npt.NDArray[np.void]:
    """Return a row of settings, dtype[1], from a value for each of its fields.

    Raises
    ------
    TypeError                       a field has no value, or a value has no field
    """
    odd = set(values).symmetric_difference(dtype.names or ())
    if odd:
        raise TypeError(f"fields of the settings and values differ in {', '.join(sorted(odd))}")
    made = np.zeros(1, dtype)
    for name, value in values.items():
        made[name] = value
    return made
