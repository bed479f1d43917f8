"""What the host works out once, so that every executor of a plan gets the same numbers.

All arithmetic is float32 in MXNet's order, one rounding an operation.
"""

from __future__ import annotations

import numpy as np

__all__ = ["DTYPES", "bfloat16", "normalisation", "round_half_away", "storage", "terms"]

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


def normalisation(dtype, mean, std, scale, gain=1.0, shift=0.0, ratio=False):
    """Return the output value of each byte of each channel.

    Parameters
    ----------
    dtype : {"float32", "float16", "bfloat16", "uint8", "int8"}
    mean, std, scale, gain, shift : as in `terms`
    ratio : bool                ``(p - mean) / std * scale``, without gain and shift

    Returns
    -------
    storage(dtype)[C, 256]      host

    Notes
    -----
    uint8 is the byte itself and int8 is ``clamp(p - round(mean))``: as in MXNet, they ignore std,
    scale, gain and shift. The halves are the float32 value rounded half to even.
    """
    mean = np.asarray(mean, np.float32)
    p = np.arange(256)
    if dtype == "uint8":
        return np.tile(p.astype(np.uint8), (len(mean), 1))
    if dtype == "int8":
        return np.clip(p - round_half_away(mean)[:, None], -128, 127).astype(np.int8)
    less, factor, plus = terms(mean, std, scale, gain, shift)[:, :, None]
    value = p.astype(np.float32) - less
    if ratio:
        value = value / np.asarray(std, np.float32)[:, None] * np.float32(scale)
    else:
        value = value * factor + plus
    if dtype == "bfloat16":
        return bfloat16(value)
    if dtype == "float16":
        with np.errstate(over="ignore"):
            return value.astype(np.float16).view(np.uint16)
    return value
