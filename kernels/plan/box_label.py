"""How the numbers of a detection label lie: header, objects, and the row of a batch that holds one.

A label is a header of A numbers, A and B first, and objects of B numbers: id, left, top, right,
bottom, in shares of the image's width and height, and what else an object has. A label that is the
header alone is that of an image without objects, background. A row of labels is
``[channels, height, width, n, label of n numbers, padding]``; the first three are the augmented
image's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "LARGEST_OBJECT",
    "LEAST_HEADER",
    "LEAST_OBJECT",
    "ONE_OBJECT",
    "ROW_HEAD",
    "ROW_SIZE",
    "are_padding",
    "have_area",
    "header_of",
    "label_of",
    "objects_of",
]

LEAST_HEADER = 2  # A and B
LEAST_OBJECT = 5  # id, left, top, right, bottom
LARGEST_OBJECT = 1 << 30  # no label has as many numbers
ONE_OBJECT = LEAST_HEADER + LEAST_OBJECT  # numbers of a label of one object, at least

ROW_SIZE = 3  # where n stands in a row
ROW_HEAD = 4  # where the label begins in a row


def header_of(label: npt.NDArray[np.float32]) -> tuple[int, int] | None:
    """Return A and B of a label, float32[n]; None if it is not a header and whole objects."""
    if len(label) < LEAST_HEADER:
        return None
    head, width = float(label[0]), float(label[1])
    if not (LEAST_HEADER <= head <= len(label) and LEAST_OBJECT <= width <= LARGEST_OBJECT):
        return None
    if (len(label) - int(head)) % int(width):
        return None
    return int(head), int(width)


def label_of(row: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the label that a row holds, float32[n]."""
    return row[ROW_HEAD : ROW_HEAD + int(row[ROW_SIZE])]


def objects_of(label: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the objects of a whole label, float32[objects, B], a view."""
    return label[int(label[0]) :].reshape(-1, int(label[1]))


def are_padding(objects: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Say which objects, float[n, B], are no objects, bool[n]: -1 five times, as labels are padded.

    Stored labels have such rows where they were padded to one width before they were packed.
    """
    found: npt.NDArray[np.bool_] = (objects[:, :LEAST_OBJECT] == -1).all(1)
    return found


def have_area(objects: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Say which objects, float[n, B], have an area, bool[n]."""
    found: npt.NDArray[np.bool_] = (objects[:, 3] > objects[:, 1]) & (objects[:, 4] > objects[:, 2])
    return found
