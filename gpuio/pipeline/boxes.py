"""Detection labels, as the commands look at them: whether a file holds some, and what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, RecordError
from gpuio.recordio.framing import unframe
from gpuio.recordio.header import parse_image_record
from gpuio.recordio.sniff import spread
from gpuio.storage.stored import StoredFile
from gpuio.tasks.box_check import check_form, look_like_boxes, wrong_boxes

__all__ = ["box_problem", "boxes_text", "count_boxes", "holds_boxes"]

_Label = npt.NDArray[np.float32]

_LOOKED_AT = 100  # records of a file that tell what its labels are


def box_problem(label: _Label) -> str:
    """Return what is wrong with a detection label, float32[n]; "" where nothing is."""
    try:
        check_form(label)
    except RecordError as error:
        return error.message
    wrong = wrong_boxes(label)
    return "" if wrong is None else str(wrong)


def holds_boxes(
    file: StoredFile, offset: npt.NDArray[np.int64], length: npt.NDArray[np.int64]
) -> bool:
    """Say whether the records at some bytes of a file are those of a detection set.

    Raises
    ------
    StorageError            the file cannot be read
    """
    labels = []
    rows = np.unique(spread(0, len(offset), min(_LOOKED_AT, len(offset))))
    for framed in file.read_each(offset[rows], length[rows]):
        try:
            _, label, *_ = parse_image_record(unframe(framed))
        except (FormatError, RecordError):  # damage says nothing of labels
            continue
        labels.append(np.atleast_1d(np.asarray(label, np.float32)))
    return look_like_boxes(labels)


def count_boxes(labels: Sequence[_Label]) -> dict[str, Any] | None:
    """Count the boxes of some records of one file; None if it is not a detection set.

    Parameters
    ----------
    labels : sequence of float32[n]

    Returns
    -------
    dict of JSON types      "objects"; "background", images without an object; "malformed", labels
                            that are not a header and whole objects; "wrong", boxes by what is wrong
                            with them; "images_with_wrong"
    """
    if not look_like_boxes(labels):
        return None
    kinds: Counter[str] = Counter()
    objects = background = malformed = images = 0
    for label in labels:
        try:
            check_form(label)
        except RecordError:
            malformed += 1
            continue
        count = (len(label) - int(label[0])) // int(label[1])
        objects, background = objects + count, background + (count == 0)
        wrong = wrong_boxes(label)
        if wrong is not None:
            kinds.update(wrong.kinds)
            images += 1
    return {
        "objects": objects,
        "background": background,
        "malformed": malformed,
        "wrong": dict(kinds),
        "images_with_wrong": images,
    }


def boxes_text(counted: dict[str, Any]) -> list[str]:
    """Return what `count_boxes` found as lines."""
    said = f"detection labels: {counted['objects']:,} boxes"
    lines = [f"{said}, {counted['background']:,} images without one"]
    if counted["malformed"]:
        lines.append(
            f"labels that are not a header and whole objects: {counted['malformed']:,} records"
        )
    if counted["wrong"]:
        number = sum(counted["wrong"].values())
        lines.append(f"wrong boxes: {number:,} in {counted['images_with_wrong']:,} images")
        lines += [f"  {count:,}: {kind}" for kind, count in counted["wrong"].items()]
    return lines
