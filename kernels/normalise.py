"""What the host works out once, so that every executor of a plan gets the same numbers.

All arithmetic is float32 in MXNet's order, one rounding an operation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["DTYPES", "bfloat16", "round_half_away", "storage", "terms"]

DTYPES = ("float32", "float16", "bfloat16", "uint8", "int8")


def storage(dtype: str) -> np.dtype[Any]:
    """Return the NumPy dtype that holds an output dtype: uint16 bit patterns for the halves."""
    return np.dtype({"float16": np.uint16, "bfloat16": np.uint16}.get(dtype, dtype))


def terms(
    mean: npt.ArrayLike, std: npt.ArrayLike, scale: float, gain: float = 1.0, shift: float = 0.0
) -> npt.NDArray[np.float32]:
    """Return mean, factor and shift of ``(p - mean) * factor + shift``.

    Parameters
    ----------
    mean, std : float32[C]
    scale : float
    gain, shift : float         one image's contrast and illumination, without `scale`

    Returns
    -------
    float32[3, C]               mean; ``gain * scale / std``; ``shift * scale / std``
    """
    mean, std = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    by = np.float32(scale)
    factors = np.float32(gain) * by / std, np.float32(shift) * by / std
    return np.stack([mean, *factors]).astype(np.float32)


def round_half_away(values: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Round float32 values to whole numbers, halves away from zero, as C's ``round``."""
    values = np.asarray(values, np.float32)
    whole = np.trunc(values)
    away = np.sign(values) * (np.abs(values - whole) >= 0.5)
    return np.asarray(whole + away).astype(np.int32)


def bfloat16(values: npt.ArrayLike) -> npt.NDArray[np.uint16]:
    """Return float32 values as bfloat16 bit patterns (uint16), rounded half to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) >> 16).astype(np.uint16)
