"""What the warps of plans read of their images.

A warp moves along both axes evenly, so the corners of what is made read the furthest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["warp_reach", "warp_regions"]

_BEFORE, _BEHIND = 5, 6  # pixels: Lanczos' taps, one for what is rounded, and one more
_FAR = 32_000  # pixels: a warp has 16 bits for a place in an image

_Int64 = npt.NDArray[np.int64]


def warp_reach(rows: npt.NDArray[np.void]) -> _Int64:
    """Return how many rows of each decoded image the crop of its warp reads, from the top."""
    found: _Int64 = np.maximum(_span(rows, 3)[1], 1)
    return found


def warp_regions(rows: npt.NDArray[np.void]) -> _Int64:
    """Return what rows read of their decoded images, if a warp is the first step and crops.

    Parameters
    ----------
    rows : PLAN[n]

    Returns
    -------
    int64[n, 3]     top, left, right: rows from `top` on, columns [left, right); 0, 0, 0 of rows
                    that may read all, or do not warp
    """
    height, width = rows["src_h"].astype(np.int64), rows["src_w"].astype(np.int64)
    top, (left, right) = _span(rows, 3)[0], _span(rows, 0)
    left = np.clip(left, 0, width - 1)
    found = np.stack([np.clip(top, 0, height - 1), left, np.clip(right, left + 1, width)], 1)
    other = rows["resize_h"] | rows["pad"] | rows["upscale1_h"] | rows["expand_h"]
    other |= rows["letterbox_h"] | rows["pre_colour"] | rows["flip"]
    use = (rows["warp_h"] > 0) & (other == 0) & (rows["orient"] == 1)
    use &= (height < _FAR) & (width < _FAR)
    found[~use] = 0
    return found


def _span(rows: npt.NDArray[np.void], first: int) -> tuple[_Int64, _Int64]:
    """Return the pixels [start, stop) of an axis that crops read; `first` of its three numbers."""
    left, top = rows["crop_x"], rows["crop_y"]
    right, bottom = left + rows["crop_w"] - 1, top + rows["crop_h"] - 1
    by_x, by_y, at = (rows["warp"][:, first + k] for k in range(3))
    ends = np.stack([by_x * left, by_x * right]), np.stack([by_y * top, by_y * bottom])
    least, most = (pick(ends[0], 0) + pick(ends[1], 0) + at for pick in (np.min, np.max))
    start, stop = (np.floor(np.clip(one, -1e6, 1e6)).astype(np.int64) for one in (least, most))
    return start - _BEFORE, np.maximum(stop, -1) + _BEHIND
