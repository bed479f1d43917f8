"""Pixels of any dtype, made into those that an encoder stores.

Invariant: an image never becomes white or black by its dtype: it keeps its look, or is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import RecordError

__all__ = ["storable"]

_16_BIT = (".png", ".tif", ".tiff", ".jp2", ".pgm", ".ppm", ".pnm", ".pam")
_FLOAT = (".tif", ".tiff", ".exr", ".hdr", ".pfm", ".pic")


def storable(pixels: npt.NDArray[Any], suffix: str) -> npt.NDArray[Any]:
    """Return pixels in a dtype that an image format holds, with the same look.

    Parameters
    ----------
    pixels : array[height, width] or [height, width, channels]
        uint8; uint16, of which a format of 8 bits keeps the high byte; other integers, 0 to 255; or
        floats, 0 to 255 or, if none is above 1, 0 to 1, which are multiplied by 255. They are
        rounded
    suffix : str            the format's extension, lower case, with its dot

    Returns
    -------
    uint8 of the same shape; `pixels` themselves where the format holds their dtype

    Raises
    ------
    RecordError             values outside these ranges, or not a number; values that may mean
                            either: uint16 below 256 for a format of 8 bits, booleans, and floats of
                            0 and 1 alone
    """
    kind = pixels.dtype
    if kind == np.uint8 or pixels.size == 0:
        return pixels
    if kind == np.uint16 and suffix in (*_16_BIT, *_FLOAT):
        return pixels
    if kind.kind == "f" and suffix in _FLOAT:
        return pixels
    if kind.kind not in "buif":
        raise RecordError(f"an image of {kind} cannot be stored: convert it to uint8")
    low, high = pixels.min(), pixels.max()
    if kind == np.uint16:
        if 0 < high < 256:
            raise _unclear(pixels, suffix, "8 or 16 bits")
        return np.asarray(pixels >> 8, np.uint8)
    if kind == np.bool_ and high:
        raise _unclear(pixels, suffix, "0 and 1 of 255, or black and white")
    if not 0 <= low <= high <= 255:
        raise RecordError(
            f"an image of {kind} holds values from {low:g} to {high:g}, of which {suffix} keeps "
            "0 to 255 (0 to 1 for floats): scale it and convert it to uint8"
        )
    if kind.kind != "f":
        return pixels.astype(np.uint8)
    if 0 < high <= 1:
        if np.isin(pixels, (0, 1)).all():
            raise _unclear(pixels, suffix, "0 and 1 of 255, or black and white")
        pixels = pixels * kind.type(255)
    return np.asarray(np.rint(pixels), np.uint8)


def _unclear(pixels: npt.NDArray[Any], suffix: str, meanings: str) -> RecordError:
    """Return the error of values that may mean either."""
    return RecordError(
        f"an image of {pixels.dtype} with values up to {pixels.max():g} may mean {meanings}: "
        f"convert it to uint8 for {suffix}"
    )
