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
    "BOX_FAULTS",
    "LARGEST_OBJECT",
    "LEAST_HEADER",
    "LEAST_OBJECT",
    "ONE_OBJECT",
    "ROW_HEAD",
    "ROW_SIZE",
    "are_padding",
    "box_fault",
    "have_area",
    "header_of",
    "label_of",
    "objects_of",
    "surely_right",
]

LEAST_HEADER = 2  # A and B
LEAST_OBJECT = 5  # id, left, top, right, bottom
LARGEST_OBJECT = 1 << 30  # no label has as many numbers
ONE_OBJECT = LEAST_HEADER + LEAST_OBJECT  # numbers of a label of one object, at least

_LARGEST_SHARE = 2.0  # a box that ends beyond twice the image is one in pixels
_BEYOND = 0.01  # share of the image that a box may lie outside: annotations round to whole pixels
_ALL_WHOLE = 1 << 24  # from here on every float32 is a whole number
_INFINITE = float("inf")

# what is wrong with a box, by the number that `box_fault` returns
BOX_FAULTS = (
    "",
    "a number is NaN or infinite",
    "right is not above left, or bottom not above top",
    "in pixels? expected shares of the image's width and height, 0 to 1",
    "outside of the image: expected shares of its width and height, 0 to 1",
    "the id is negative or not a whole number",
)

ROW_SIZE = 3  # where n stands in a row
ROW_HEAD = 4  # where the label begins in a row


def header_of(label: npt.NDArray[np.float32]) -> tuple[int, int] | None:
    """Return A and B of a label, float32[n]; None if it is not a header and whole objects."""
    if len(label) < LEAST_HEADER:
        return None
    head, width = label[:LEAST_HEADER].tolist()
    if not (LEAST_HEADER <= head <= len(label) and LEAST_OBJECT <= width <= LARGEST_OBJECT):
        return None
    first, step = int(head), int(width)
    if first != head or step != width or (len(label) - first) % step:
        return None
    return first, step


def label_of(row: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the label that a row holds, float32[n]."""
    return row[ROW_HEAD : ROW_HEAD + int(row[ROW_SIZE])]


def objects_of(label: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the objects of a whole label, float32[objects, B], a view."""
    head, width = label[:LEAST_HEADER].tolist()
    return label[int(head) :].reshape(-1, int(width))


def are_padding(objects: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Say which objects, float[n, B], are no objects, bool[n]: -1 five times, as labels are padded.

    Stored labels have such rows where they were padded to one width before they were packed.
    """
    found: npt.NDArray[np.bool_] = (objects[:, :LEAST_OBJECT] == -1).all(1)
    return found


def box_fault(identity: Any, left: Any, top: Any, right: Any, bottom: Any) -> int:
    """Return what is wrong with one box, the number of an entry of `BOX_FAULTS`; 0 for nothing.

    Python runs it, and `gpuio.kernels.record_boxes` compiles it. Padding is not wrong.
    """
    if identity == left == top == right == bottom == -1:
        return 0
    for value in (identity, left, top, right, bottom):
        if not -_INFINITE < value < _INFINITE:
            return 1
    if not (right > left and bottom > top):
        return 2
    if right > _LARGEST_SHARE or bottom > _LARGEST_SHARE:
        return 3
    if min(left, top) < -_BEYOND or max(right, bottom) > 1 + _BEYOND:
        return 4
    if identity < 0 or (identity < _ALL_WHOLE and identity != int(identity)):
        return 5
    return 0


def surely_right(objects: npt.NDArray[np.float32]) -> bool:
    """Say whether all boxes of many objects, float32[n, B], are strictly inside, ids whole numbers.

    Then `box_fault` finds nothing; else it may, or may not.
    """
    identity, left, top, right, bottom = objects[:, :LEAST_OBJECT].T
    inside = (left >= 0) & (top >= 0) & (right <= 1) & (bottom <= 1)
    found = inside & (identity >= 0) & (identity < _ALL_WHOLE) & (identity == np.floor(identity))
    return bool((found & have_area(objects)).all())


def have_area(objects: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Say which objects, float[n, B], have an area, bool[n]."""
    found: npt.NDArray[np.bool_] = (objects[:, 3] > objects[:, 1]) & (objects[:, 4] > objects[:, 2])
    return found
