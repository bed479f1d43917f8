"""A detection's labels in a record, checked and written as the row of a batch.

Compiled when a job first reads boxes. It follows `tasks.box_labels`, as `records` says.
"""

from __future__ import annotations

import numpy as np

from gpuio.kernels.addresses import read_f32
from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.plan.box_label import (
    LARGEST_OBJECT,
    LEAST_HEADER,
    LEAST_OBJECT,
    ROW_HEAD,
    ROW_SIZE,
    box_fault,
)
from gpuio.kernels.record_labels import BOXES, REFUSED, TAKEN, WRONG

__all__ = ["take_boxes"]

_box_fault = inner(box_fault)


@kernel(BOXES, "addresses", "plan/box_label", "record_labels")
def take_boxes(labels, count, width, accepts, out):
    """Write a detection's label row.

    Parameters
    ----------
    labels, count : int     address of the float32[count], at any alignment
    width : int             how many numbers are asked for; 0: any
    accepts : int           not 0: objects may be wrong
    out : float32[n]

    Returns
    -------
    int                     REFUSED if it is not a header and objects, or does not fit, or objects
                            are wrong and not accepted; TAKEN; WRONG
    """
    if count < LEAST_HEADER or (width > 0 and count != width) or count > out.size - ROW_HEAD:
        return REFUSED
    head, object_width = read_f32(labels, 0), read_f32(labels, 4)
    if not (LEAST_HEADER <= head <= count and LEAST_OBJECT <= object_width <= LARGEST_OBJECT):
        return REFUSED
    first, step = np.int64(head), np.int64(object_width)
    if first != head or step != object_width or (count - first) % step != 0:
        return REFUSED
    taken = TAKEN
    for at in range(4 * first, 4 * count, 4 * step):
        place = read_f32(labels, at + 4), read_f32(labels, at + 8)
        end = read_f32(labels, at + 12), read_f32(labels, at + 16)
        if _box_fault(read_f32(labels, at), place[0], place[1], end[0], end[1]) != 0:
            if not accepts:
                return REFUSED
            taken = WRONG
            break
    out[ROW_SIZE] = count
    for k in range(count):
        out[ROW_HEAD + k] = read_f32(labels, 4 * k)
    return taken
