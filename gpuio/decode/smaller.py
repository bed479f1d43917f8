"""Images made smaller once, as they are decoded, for a cache that is to hold more of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["smaller", "smaller_sizes"]


def smaller_sizes(height: Any, width: Any, edge: int) -> tuple[Any, Any]:
    """Return the sizes of images whose shorter edge is to have `edge` pixels at most.

    The longer one keeps its ratio to it, rounded.

    Parameters
    ----------
    height, width : int32[n]    pixels; 0 where there is no image
    edge : int                  0: as they are
    """
    if edge == 0:
        return height, width
    shorter = np.minimum(height, width).astype(np.int64)
    if not (shorter > edge).any():
        return height, width
    found = []
    for size in (height, width):
        scaled = (2 * size.astype(np.int64) * edge + shorter) // np.maximum(2 * shorter, 1)
        found.append(np.where(shorter > edge, scaled, size).astype(size.dtype))
    return found[0], found[1]


def smaller(image: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Return an image of that size, each pixel the mean of what it covers.

    Parameters
    ----------
    image : uint8[h, w, C]      larger, or as large
    height, width : int         pixels

    Returns
    -------
    uint8[height, width, C]     C order
    """
    import cv2

    if image.shape[:2] == (height, width):
        return image
    made: Any = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(made).reshape(height, width, image.shape[2])
