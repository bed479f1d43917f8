"""A DataIter as the loader that a training loop expects, for any framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gpuio.io.base import DataIter

__all__ = ["Loader", "check_dense"]


def check_dense(array: Any) -> None:
    """Raise TypeError for a CSR batch: it has no memory that a dense array could share."""
    if getattr(array, "stype", "default") != "default":
        raise TypeError(
            f"a batch of storage type {array.stype!r} cannot be handed over as it is: hand over "
            "its dense copy, array.asnumpy(), or build a sparse tensor from its data, indices and "
            "indptr"
        )


class Loader:
    """Loop over the epochs of an iterator, each batch converted.

    The first ``for`` starts at the iterator's position (also after `load_state_dict`). Every later
    one starts a new epoch, also if the loop before it was left early.

    Parameters
    ----------
    iterator : DataIter     closed by the caller
    convert : callable      turns one array of a batch into the framework's
    cut_pad : bool          leave out the rows that pad the last batch. Leave it False for training
                            with last_batch='borrow': then those rows are records of the next epoch,
                            which starts after them.

    Notes
    -----
    A batch is a tuple: the data arrays, then the label arrays.
    """

    def __init__(
        self, iterator: DataIter, convert: Callable[[Any], Any], *, cut_pad: bool = False
    ) -> None:
        self.iterator = iterator
        self.batch_size = iterator.batch_size
        self._convert, self._cut_pad = convert, cut_pad
        self._begun = self._loaded = False

    def __len__(self) -> int:
        """Return the exact number of batches of the current epoch; TypeError if it is unknown."""
        count: int = len(self.iterator)  # type: ignore[arg-type]
        return count

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        if self._begun:
            self.iterator.reset()
        loaded, self._begun, self._loaded = self._loaded, True, False
        return self._batches(loaded=loaded)

    def _batches(self, *, loaded: bool) -> Iterator[tuple[Any, ...]]:
        """Yield the rest of the epoch; the next epoch if a loaded state leaves no rest."""
        for batch in self.iterator:
            loaded = False
            arrays = [*batch.data, *(batch.label or ())]
            if self._cut_pad and batch.pad:
                arrays = [array[: len(array) - batch.pad] for array in arrays]
            yield tuple(self._convert(array) for array in arrays)
        if loaded:
            self.iterator.reset()
            yield from self._batches(loaded=False)

    def state_dict(self) -> dict[str, Any]:
        """Return the iterator's state; the next batch of a loop continues there."""
        state: dict[str, Any] = self.iterator.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at a saved state, with the next loop.

        After a state that was saved after an epoch's last batch, the next loop is the next epoch.

        Raises
        ------
        StateError          from the iterator, if the state belongs to another one
        """
        self.iterator.load_state_dict(state)
        self._begun, self._loaded = False, True
