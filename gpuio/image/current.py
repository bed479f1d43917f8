"""The getters of an iterator whose `next()` makes whole batches."""

from __future__ import annotations

from typing import Any

from gpuio.io.base import DataBatch, DataIter

__all__ = ["CurrentBatch"]


class CurrentBatch(DataIter):
    """Return parts of the batch that `next()` returned last; a subclass gives `next()`.

    Attributes
    ----------
    current_batch : DataBatch or None       set by `next()`; None before the first batch
    """

    current_batch: DataBatch | None = None

    def iter_next(self) -> bool:
        """Move to the next batch; false at the end of the epoch."""
        try:
            self.current_batch = self.next()
        except StopIteration:
            self.current_batch = None
            return False
        return True

    def getdata(self) -> Any:
        """Return the current batch's data; None before the first batch."""
        return None if self.current_batch is None else self.current_batch.data

    def getlabel(self) -> Any:
        """Return the current batch's labels; None before the first batch."""
        return None if self.current_batch is None else self.current_batch.label

    def getpad(self) -> Any:
        """Return how many rows of the current batch are padding."""
        return None if self.current_batch is None else self.current_batch.pad
