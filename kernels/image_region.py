"""REGION: what is read of an encoded image, as a row of an array."""

from __future__ import annotations

import numpy as np

__all__ = ["REGION"]

REGION = np.dtype(
    [
        ("top", np.int64),  # rows read, [top, stop); stop 0: all from `top` on
        ("stop", np.int64),
        ("left", np.int64),  # columns read, [left, right)
        ("right", np.int64),
        ("first", np.int64),  # rows [first, last) that a decoder writes
        ("last", np.int64),
    ]
)
