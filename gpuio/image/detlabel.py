"""The numbers of a detection label: parsed from a record, checked after augmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import RecordError

__all__ = ["MIN_WIDTH", "check_valid_label", "parse_label"]

MIN_WIDTH = 5  # id, xmin, ymin, xmax, ymax


def parse_label(label: Any) -> npt.NDArray[np.float32]:
    """Return the valid objects of a stored label.

    Parameters
    ----------
    label : array of float          ``[A, B, (A - 2 further numbers), objects of B numbers...]``

    Returns
    -------
    float32[objects, B]             those with xmax > xmin and ymax > ymin

    Raises
    ------
    RecordError                     the label is malformed or holds no valid box
    """
    raw = np.asarray(label, np.float32).ravel()
    if raw.size < 7:
        raise RecordError(f"Label shape is invalid: {raw.size} numbers, expected 7 or more")
    header, width = int(raw[0]), int(raw[1])
    if width < MIN_WIDTH or header < 2 or (raw.size - header) % width != 0:
        raise RecordError(
            f"Label shape {raw.shape} inconsistent with annotation width {width} behind a "
            f"header of {header}"
        )
    objects = raw[header:].reshape(-1, width)
    valid = (objects[:, 3] > objects[:, 1]) & (objects[:, 4] > objects[:, 2])
    if not valid.any():
        raise RecordError("Encounter sample with no valid label.")
    return objects[valid]


def check_valid_label(label: npt.NDArray[Any]) -> None:
    """Refuse an augmented label without a valid object.

    Raises
    ------
    RecordError                     no row has an id >= 0 and a positive size, or it is no
                                    (objects, 5 or more) array
    """
    if label.ndim != 2 or label.shape[1] < MIN_WIDTH:
        raise RecordError(
            f"Label with shape (1+, 5+) required, {label.shape} received after augmentation"
        )
    valid = (label[:, 0] >= 0) & (label[:, 3] > label[:, 1]) & (label[:, 4] > label[:, 2])
    if not valid.any():
        raise RecordError("Invalid label occurs after augmentation: no box is left")
