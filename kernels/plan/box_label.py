"""How the numbers of a detection label lie: header, objects, and the row of a batch that holds one.

A label is a header of A numbers, A and B first, and objects of B numbers: id, left, top, right,
bottom, in shares of the image's width and height, and what else an object has. A row of labels is
``[channels, height, width, n, label of n numbers, padding]``; the first three are the augmented
image's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "LEAST_HEADER",
    "LEAST_LABEL",
    "LEAST_OBJECT",
    "ROW_HEAD",
    "ROW_SIZE",
    "have_area",
    "label_of",
    "objects_of",
]

LEAST_HEADER = 2  # A and B
LEAST_OBJECT = 5  # id, left, top, right, bottom
LEAST_LABEL = LEAST_HEADER + LEAST_OBJECT

ROW_SIZE = 3  # where n stands in a row
ROW_HEAD = 4  # where the label begins in a row


def label_of(row: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the label that a row holds, float32[n]."""
    return row[ROW_HEAD : ROW_HEAD + int(row[ROW_SIZE])]


def objects_of(label: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the objects of a whole label, float32[objects, B], a view."""
    return label[int(label[0]) :].reshape(-1, int(label[1]))


def have_area(objects: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Say which objects, float[n, B], have an area, bool[n]."""
    found: npt.NDArray[np.bool_] = (objects[:, 3] > objects[:, 1]) & (objects[:, 4] > objects[:, 2])
    return found
