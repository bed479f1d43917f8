"""What a batch's plan is drawn from, and what draws it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import RecordError

__all__ = ["Look", "PlanMaker", "PlanRequest"]

_Int32 = npt.NDArray[np.int32]
_Int64 = npt.NDArray[np.int64]
_Float32 = npt.NDArray[np.float32]

# positions, int64[n], to heights and widths, int32[n], and label rows, float32[n, W], of records
Look = Callable[[_Int64], tuple[_Int32, _Int32, _Float32]]


def _no_labels() -> _Float32:
    return np.zeros((0, 0), np.float32)


@attrs.frozen(eq=False)
class PlanRequest:
    """The rows of a batch, before anything is drawn.

    Attributes
    ----------
    heights, widths : int32[B]      of the decoded images, upright, pixels; 0 for a row without
    pass_index, record : int64[B]   pass and global position of each row's record
    mx_index : int64[B]             see `BatchOrder`
    labels : float32[B, W]          as stored; a planner whose labels are places in the images moves
                                    those of the rows that have one
    """

    heights: _Int32
    widths: _Int32
    pass_index: _Int64
    record: _Int64
    mx_index: _Int64
    labels: _Float32 = attrs.field(factory=_no_labels)


class PlanMaker(Protocol):
    """Draws the plans of batches."""

    def draw(self, request: PlanRequest) -> npt.NDArray[np.void]:
        """Return the plan of a batch, and move its labels where they are places in the images.

        Returns
        -------
        PLAN[B]     host; a row that cannot be planned holds no window: ask `faults`
        """
        ...

    def faults(self, plan: npt.NDArray[np.void]) -> list[tuple[int, RecordError]]:
        """Return each row that could not be planned, and why."""
        ...
