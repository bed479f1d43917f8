"""A finished batch, and its position among all batches."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.backend import Fault
from gpuio.order.epochs import BatchOrder
from gpuio.pipeline.error_policy import Accepted
from gpuio.plan.mix import Mix

__all__ = ["BatchPosition", "FinishedBatch"]


@attrs.frozen
class BatchPosition:
    """Which pass over the records, where in it the epoch starts, which batch of the epoch."""

    pass_index: int
    start: int
    number: int


@attrs.define(eq=False)
class FinishedBatch:
    """A finished batch.

    Attributes
    ----------
    position : BatchPosition
    order : BatchOrder                          as drawn; a replaced row keeps its old place here
    data : array[B, C, H, W] or [B, H, W, C]    on the backend's device
    label : float32[B, label_width]             host
    index : uint64[B]                           host
    pad : int                                   rows at the end that are not this epoch's
    no_label : float32[label_width]             of a row without a record
    plan : PLAN[B]                              host
    faults : list of Fault                      rows that could not be made, zero-filled
    mix : Mix or None                           how rows were mixed
    mixed : bool                                whether mix and soft labels are done
    cut_short : int                             JPEGs without their end that were accepted
    warned : bool[B] or None                    rows whose images a decoder warned of; None where
                                                there are none
    accepted : list of Accepted                 records whose labels are wrong, that are used
    """

    position: BatchPosition
    order: BatchOrder
    data: Any
    label: npt.NDArray[np.float32]
    index: npt.NDArray[np.uint64]
    pad: int
    no_label: npt.NDArray[np.float32]
    plan: npt.NDArray[np.void]
    faults: list[Fault]
    mix: Mix | None = None
    mixed: bool = False
    cut_short: int = 0
    warned: npt.NDArray[np.bool_] | None = None
    accepted: list[Accepted] = attrs.field(factory=list)

    def __len__(self) -> int:
        return len(self.plan)

    def move_up(self, keep: npt.NDArray[np.int64]) -> None:
        """Move the rows `keep` (ascending) to the front and zero the rest."""
        for array in (self.data, self.label, self.index, self.plan):
            for row, source in enumerate(keep.tolist()):
                if row != source:  # row by row: a gather copies the batch, a tenth of its work
                    array[row] = array[source]
            array[len(keep) :] = np.zeros((), array.dtype) if array is self.plan else 0
        self.label[len(keep) :] = self.no_label
