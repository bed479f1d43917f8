"""A detection label: parsed from a record, checked after augmentation, with MXNet's sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import RecordError, Where
from gpuio.kernels.plan.box_label import (
    LEAST_OBJECT,
    ONE_OBJECT,
    are_padding,
    have_area,
    header_of,
    objects_of,
    surely_right,
)
from gpuio.tasks.box_check import wrong_boxes

__all__ = ["WrongBoxCount", "check_valid_label", "parse_label"]

_AT_ONCE = 256  # labels


def parse_label(label: Any, bad_boxes: str = "accept") -> npt.NDArray[np.float32]:
    """Return the valid objects of a stored label.

    Parameters
    ----------
    label : array of float          ``[A, B, (A - 2 further numbers), objects of B numbers...]``
    bad_boxes : {"accept", "drop", "raise"}
                                    what becomes of wrong boxes: see `wrong_boxes`

    Returns
    -------
    float32[objects, B]             those with xmax > xmin and ymax > ymin; none of an image that
                                    shows only background: its label is the header alone, or holds
                                    nothing but rows of -1

    Raises
    ------
    RecordError                     the label is malformed, or no box of it is valid; a box is
                                    wrong, with "raise"
    """
    raw = np.asarray(label, np.float32).ravel()
    if header_of(raw) is None:
        if raw.size < ONE_OBJECT:
            raise RecordError(
                f"Label shape is invalid: {raw.size} numbers, expected {ONE_OBJECT} or more, or "
                "the header alone"
            )
        raise RecordError(
            f"Label shape {raw.shape} inconsistent with annotation width {raw[1]:g} behind a "
            f"header of {raw[0]:g}"
        )
    objects: npt.NDArray[np.float32] = objects_of(raw)
    if bad_boxes != "accept":
        wrong = wrong_boxes(raw)
        if wrong is not None and bad_boxes == "raise":
            raise RecordError(str(wrong))
        objects = objects if wrong is None else wrong.right
    valid: npt.NDArray[np.bool_] = have_area(objects)
    if not (valid.any() or are_padding(objects).all()):
        raise RecordError("Encounter sample with no valid label.")
    return objects[valid]


class WrongBoxCount:
    """Count the wrong boxes of many labels, some hundreds at a time: most have none.

    Attributes
    ----------
    boxes, images : int         wrong boxes, labels that hold them
    first : str                 the first of them, with its place; "" for none
    """

    def __init__(self) -> None:
        self.boxes, self.images, self.first = 0, 0, ""
        self._waiting: list[tuple[npt.NDArray[np.float32], Where]] = []

    def add(self, label: Any, where: Where) -> None:
        """Add a label of the right form, and its place."""
        self._waiting.append((np.asarray(label, np.float32).ravel(), where))
        if len(self._waiting) == _AT_ONCE:
            self.finish()

    def finish(self) -> None:
        """Look at what was added last."""
        objects = [objects_of(label)[:, :LEAST_OBJECT] for label, _ in self._waiting]
        if objects and not surely_right(np.concatenate(objects)):
            for label, where in self._waiting:
                wrong = wrong_boxes(label)
                if wrong is not None:
                    self.boxes, self.images = self.boxes + wrong.count, self.images + 1
                    self.first = self.first or str(RecordError(str(wrong)).at(where))
        self._waiting.clear()


def check_valid_label(label: npt.NDArray[Any]) -> None:
    """Refuse an augmented label without a valid object.

    Raises
    ------
    RecordError                     no row has an id >= 0 and a positive size, or it is not an
                                    array (objects, 5 or more)
    """
    if label.ndim != 2 or label.shape[1] < LEAST_OBJECT:
        raise RecordError(
            f"Label with shape (1+, 5+) required, {label.shape} received after augmentation"
        )
    valid = (label[:, 0] >= 0) & have_area(label)
    if not valid.any():
        raise RecordError("Invalid label occurs after augmentation: no box is left")
