"""Mix the images of a finished batch in place, on the host: a block of columns at a time.

A block of every row fits the cache, so that the batch goes through memory once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["paste", "weigh"]

_BLOCK_BYTES = 1 << 17  # of float32 copies, all rows together


def weigh(data: npt.NDArray[Any], partner: npt.NDArray[np.int64], share: float) -> None:
    """Make each row ``share * row + (1 - share) * partner``, in place; the partners' old values.

    Parameters
    ----------
    data : array[B, ...]            C order, of floats; float32 arithmetic, a rounding an operation
    partner : int64[B]              a row that is its own partner stays as it is
    share : float                   0 to 1
    """
    rows = np.flatnonzero(partner != np.arange(len(data)))
    if len(rows) == 0 or data.size == 0:
        return
    flat = np.asarray(data).reshape(len(data), -1)
    own, other = np.float32(share), np.float32(1) - np.float32(share)
    width = max(_BLOCK_BYTES // (4 * len(data)), 16)
    for start in range(0, flat.shape[1], width):
        block = flat[:, start : start + width]
        old = block.astype(np.float32)
        mixed = old[partner[rows]]
        mixed *= other
        kept = old[rows]
        kept *= own
        kept += mixed
        block[rows] = kept


def paste(
    data: npt.NDArray[Any],
    partner: npt.NDArray[np.int64],
    box: tuple[int, int, int, int],
    layout: str,
) -> None:
    """Give each row a rectangle of its partner, in place; the partners' old values.

    Parameters
    ----------
    data : array[B, C, H, W] or [B, H, W, C]
    partner : int64[B]
    box : (y, x, height, width)
    layout : {"NCHW", "NHWC"}
    """
    y, x, h, w = box
    array = np.asarray(data)
    rows, columns = slice(y, y + h), slice(x, x + w)
    part = array[:, rows, columns] if layout == "NHWC" else array[:, :, rows, columns]
    part[...] = part[partner]
