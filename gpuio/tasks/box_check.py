"""What is wrong with a detection label: its form, and each of its boxes.

How a label lies, and what makes a box wrong: `gpuio.kernels.plan.box_label`. Iterators, commands
and the packing of lists all ask here, so that they agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import RecordError
from gpuio.kernels.plan.box_label import (
    BOX_FAULTS,
    LARGEST_OBJECT,
    LEAST_HEADER,
    LEAST_OBJECT,
    ONE_OBJECT,
    box_fault,
    header_of,
    objects_of,
)

__all__ = ["LateWrongBoxes", "WrongBoxes", "check_form", "look_like_boxes", "wrong_boxes"]

_Label = npt.NDArray[np.float32]


@attrs.frozen(eq=False)
class WrongBoxes:
    """The boxes of a label that are wrong; `str` words the first of them.

    Attributes
    ----------
    objects : float32[n, B]     all objects of the label
    faults : list of n int      what is wrong with each: see `box_fault`
    """

    objects: _Label
    faults: list[int]

    @property
    def count(self) -> int:
        """Boxes that are wrong."""
        return len(self.faults) - self.faults.count(0)

    @property
    def kinds(self) -> dict[str, int]:
        """Number of boxes by what is wrong with them, in words."""
        return {
            BOX_FAULTS[kind]: self.faults.count(kind) for kind in sorted(set(self.faults) - {0})
        }

    @property
    def right(self) -> _Label:
        """The other objects, float32[k, B]."""
        return self.objects[[fault == 0 for fault in self.faults]]

    def __str__(self) -> str:
        number, fault = next((at, fault) for at, fault in enumerate(self.faults) if fault)
        box = ", ".join(f"{value:g}" for value in self.objects[number, :LEAST_OBJECT].tolist())
        return (
            f"{self.count} of {len(self.faults)} boxes are wrong; the first is number "
            f"{number + 1} (id, left, top, right, bottom: {box}): {BOX_FAULTS[fault]}"
        )


class LateWrongBoxes:
    """The wrong boxes of a label of the right form, found out when they are asked for.

    Parameters
    ----------
    label : float32[n]      some of its boxes are wrong
    """

    def __init__(self, label: _Label) -> None:
        self._label = label

    @property
    def count(self) -> int:
        """Boxes that are wrong."""
        return self._found.count

    @cached_property
    def _found(self) -> WrongBoxes:
        found = wrong_boxes(self._label)
        assert found is not None
        return found

    def __str__(self) -> str:
        return str(self._found)


def check_form(label: _Label) -> None:
    """Refuse a label that is not a header and whole objects.

    Parameters
    ----------
    label : float32[n]

    Raises
    ------
    RecordError                 says what was found and what was expected
    """
    if header_of(label) is not None:
        return
    size = len(label)
    if size < LEAST_HEADER:
        raise RecordError(
            f"label has {size} numbers, expected at least {LEAST_HEADER}: the header's length (2 "
            "or more), the objects' (5 or more), then objects of id, left, top, right, bottom"
        )
    head, width = float(label[0]), float(label[1])
    whole = head == np.floor(head) and width == np.floor(width)
    if not (whole and LEAST_HEADER <= head <= size and LEAST_OBJECT <= width <= LARGEST_OBJECT):
        raise RecordError(
            f"label begins with {head:g}, {width:g}; expected the header's length, 2 to {size}, "
            "and the objects', at least 5, both whole numbers"
        )
    raise RecordError(
        f"label has {size} numbers, a header of {int(head)} and then objects of {int(width)}: "
        f"{(size - int(head)) % int(width)} are left over"
    )


def wrong_boxes(label: _Label) -> WrongBoxes | None:
    """Return which boxes of a label of the right form, float32[n], are wrong; None if none is."""
    objects = objects_of(label)
    faults = [box_fault(*one) for one in objects[:, :LEAST_OBJECT].tolist()]
    return WrongBoxes(objects, faults) if any(faults) else None


def look_like_boxes(labels: Sequence[_Label]) -> bool:
    """Say whether the labels of some records, each float32[n], are those of a detection set.

    Most of those with room for an object must be a header and whole objects. A set of which none
    has that room is not taken for one.
    """
    long = [label for label in labels if len(label) >= ONE_OBJECT]
    formed = [label for label in long if header_of(label) is not None and label[0] < len(label)]
    return 2 * len(formed) > len(long)
