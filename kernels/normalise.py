"""What the host works out once, so that every executor of a plan gets the same numbers.

All arithmetic is float32 in MXNet's order, one rounding an operation.
"""

from __future__ import annotations

import numpy as np

__all__ = ["DTYPES", "bfloat16", "round_half_away", "storage", "terms"]

DTYPES = ("float32", "float16", "bfloat16", "uint8", "int8")


def storage(dtype):
    """Return the NumPy dtype that holds an output dtype: uint16 bit patterns for the halves."""
    return np.dtype({"float16": np.uint16, "bfloat16": np.uint16}.get(dtype, dtype))


def terms(mean, std, scale, gain=1.0, shift=0.0):
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
    scale = np.float32(scale)
    return np.stack([mean, np.float32(gain) * scale / std, np.float32(shift) * scale / std]).astype(
        np.float32
    )


def round_half_away(values):
    """Round float32 values to whole numbers, halves away from zero, as C's ``round``."""
    values = np.asarray(values, np.float32)
    whole = np.trunc(values)
    return (whole + np.sign(values) * (np.abs(values - whole) >= 0.5)).astype(np.int32)


def bfloat16(values):
    """Return float32 values as bfloat16 bit patterns (uint16), rounded half to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) >> 16).astype(np.uint16)
