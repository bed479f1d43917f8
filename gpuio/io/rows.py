"""RowIter: CSVIter, LibSVMIter, MNISTIter and VerificationPairIter, but for their rows.

Invariant: a batch is a function of the rows it holds, and the rows of (start, number), so threads
may make batches ahead, and a state is two numbers.
"""

from __future__ import annotations

import ast
import os
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gpuio.errors import ClosedError, OptionError, StateError
from gpuio.finalizing import finalize
from gpuio.forking import lock, working
from gpuio.io.base import DataBatch, DataDesc, DataIter, check_worker
from gpuio.nd import Context
from gpuio.options import convert
from gpuio.options.declare import convert_option
from gpuio.order.epochs import EpochShape, epoch_shape, last_start
from gpuio.order.state import check_state, whole
from gpuio.pipeline.prefetch import Prefetcher

__all__ = ["RowIter", "RowSource", "row_shape"]

_STATE_VERSION = 2
_SINCE = {"digest": 2}  # fields of `source` that the first version lacks


class RowSource(Protocol):
    """Where rows come from; used by one thread at a time."""

    def __len__(self) -> int: ...

    def make(self, rows: npt.NDArray[np.int64], size: int) -> tuple[Any, Any, Any]:
        """Return data, label and index of a batch of `size`, whose rows may be fewer.

        `data` is a list where a batch has several arrays of it. The rows behind the last one are
        zero. `index` is uint64[size].
        """
        ...

    def digest(self) -> list[int | None]:
        """Return what a state knows the source again by, as JSON types."""
        ...

    def check_unchanged(self) -> None:
        """Raise StorageError if a file is no longer what was opened."""
        ...

    def close(self) -> None:
        """Close files; may be called twice."""
        ...


class RowIter(DataIter):
    """Iterate over the rows of a source.

    Parameters
    ----------
    source : RowSource
    batch_size : int                >= 1
    last_batch : {"borrow", "pad", "discard"}
        "borrow" fills the last batch with the first rows, and the next epoch starts behind them;
        "pad" fills it with zeros; "discard" leaves it out
    prefetch_buffer : int           batches made ahead on a thread, >= 0
    ctx : str or Context
    data : DataDesc or list of DataDesc
    label : DataDesc
    identity : dict                 what a saved state must agree with
    given : dict                    the keywords with which a pickled copy is made again

    Raises
    ------
    OptionError                     batch_size or prefetch_buffer out of range
    ClosedError                     after `close()`
    """

    def __init__(
        self,
        source: RowSource,
        *,
        batch_size: int,
        last_batch: str,
        prefetch_buffer: int,
        ctx: str | Context,
        data: DataDesc | list[DataDesc],
        label: DataDesc,
        identity: dict[str, Any],
        given: dict[str, Any],
    ) -> None:
        super().__init__(batch_size)
        self._given = given
        self.ctx = Context(ctx)
        self.provide_data = data if isinstance(data, list) else [data]
        self.provide_label = [label]
        self._count, self._last_batch = len(source), last_batch
        self._identity = {
            **identity,
            "rows": self._count,
            "batch_size": batch_size,
            "digest": source.digest(),
        }
        self._start = self._number = self._epoch_index = 0
        self._batch: DataBatch | None = None
        self._turn = lock()  # several threads may share an iterator: one batch each
        self._maker = _Maker(
            source, batch_size, convert_option("prefetch_buffer", _depth, prefetch_buffer)
        )
        self._closer = finalize(self, self._maker.close)

    def _epoch(self) -> EpochShape:
        return self._epoch_from(self._start)

    def _epoch_from(self, start: int) -> EpochShape:
        left = self._count - start
        shape = epoch_shape(left, self.batch_size, self._last_batch)
        if shape.next_start > self._count:
            raise OptionError(
                f"batch_size={self.batch_size}: number of input must be bigger than batch size; "
                f"the {left} rows left and all {self._count} once more do not fill a batch"
            )
        return shape

    def __len__(self) -> int:
        """Return the exact number of batches of the current epoch."""
        return self._epoch().batches

    def _parts(self) -> int | None:
        parts = self._given.get("num_parts")
        return None if parts is None else int(parts)

    def _check_open(self) -> None:
        if not self._closer.alive:
            raise ClosedError(f"{type(self).__name__} was closed: make a new one")

    def iter_next(self) -> bool:
        """Move to the next batch; false at the end of the epoch."""
        check_worker(self)
        with self._turn, working:
            self._check_open()
            epoch = self._epoch()
            if self._number >= epoch.batches:
                return False
            stop = self._count * (2 if self._last_batch == "borrow" else 1)
            data, label, index = self._maker.next(self._start, self._number, epoch.batches, stop)
            arrays = data if isinstance(data, list) else [data]
            arrays = [array.as_in_context(self.ctx) for array in arrays]
            label = label.as_in_context(self.ctx)
            self._number += 1
            pad = epoch.pad if self._number == epoch.batches else 0
            self._batch = DataBatch(arrays, [label], pad, index)
            return True

    def next(self) -> DataBatch:
        """Return the next batch.

        Raises
        ------
        StopIteration               at the end of the epoch, until `reset()`
        FormatError, StorageError   a row of this batch cannot be read; asked again, it is tried
                                    again
        ClosedError                 after `close()`
        """
        with self._turn:
            if not self.iter_next():
                raise StopIteration
            assert self._batch is not None
            return self._batch

    def reset(self) -> None:
        """Go to the next epoch: after a finished one behind the rows it borrowed, else to row 0."""
        with self._turn:
            self._check_open()
            epoch = self._epoch()
            self._maker.stop()
            self._start = epoch.next_start if self._number >= epoch.batches else 0
            self._number, self._batch = 0, None
            self._epoch_index += 1

    def getdata(self) -> Any:
        """Return the current batch's data, one array or a list; None before the first batch."""
        if self._batch is None:
            return None
        return self._batch.data if len(self._batch.data) > 1 else self._batch.data[0]

    def getlabel(self) -> Any:
        """Return the current batch's labels, one array; None before the first batch."""
        return None if self._batch is None else self._batch.label[0]

    def getpad(self) -> Any:
        """Return how many rows at the current batch's end are not this epoch's."""
        return None if self._batch is None else self._batch.pad

    def getindex(self) -> Any:
        """Return the current batch's row numbers, uint64."""
        return None if self._batch is None else self._batch.index

    def state_dict(self) -> dict[str, Any]:
        """Return where the iterator stands, as JSON types; batches made ahead do not count."""
        return {
            "version": _STATE_VERSION,
            "epoch": self._epoch_index,
            "start": self._start,
            "samples": self._number * self.batch_size,
            "source": dict(self._identity),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where a saved state stood.

        Raises
        ------
        StateError          the state is damaged, or of other files, rows or options; names the
                            fields. The iterator stays where it was
        """
        self._check_open()
        check_state(state, _STATE_VERSION, self._identity, since=_SINCE, oldest=1)
        size = self.batch_size
        epoch = whole(state, "epoch")
        start = whole(state, "start", last_start(self._count, size, self._last_batch))
        try:
            batches = self._epoch_from(start).batches
        except OptionError as error:
            raise StateError(f"state: start: {start} is not the start of an epoch") from error
        number = whole(state, "samples", batches * size, step=size) // size
        with self._turn:
            self._maker.stop()
            self._epoch_index, self._start, self._number = epoch, start, number
            self._batch = None

    def __reduce__(self) -> tuple[Any, ...]:
        return (_again, (type(self), self._given, self.state_dict()))

    def close(self) -> None:
        """Stop the thread and close the files; may be called twice, and beside `next()`.

        A `next()` that waits in another thread raises ClosedError. Held batches stay valid.
        """
        self._maker.end()
        with self._turn:  # no next() uses the files any more
            self._closer()


def _again(cls: type[RowIter], given: dict[str, Any], state: dict[str, Any]) -> RowIter:
    """Unpickle an iterator: open its files again and go to where it stood."""
    made = cls(**given)
    made._made_in = None
    made.load_state_dict(state)
    return made


class _Maker:
    """Make batches, ahead if asked for in their order; knows nothing of the iterator in front."""

    def __init__(self, source: RowSource, size: int, depth: int) -> None:
        self._source, self._size, self._depth = source, size, depth
        self._ahead: Prefetcher[npt.NDArray[np.int64], tuple[Any, Any, Any]] | None = None
        self._at = (-1, -1)  # the start and number of the batch that `_ahead` gives next
        self._pid = os.getpid()
        self._opening, self._closed = lock(), False  # no thread is started after close()

    def next(self, start: int, number: int, batches: int, stop: int) -> tuple[Any, Any, Any]:
        """Return batch `number` of an epoch of `batches` that begins at row `start`.

        Rows are numbered on behind the source's last one, where they begin again, below `stop`.
        """
        if self._pid != os.getpid():  # forked: the thread stayed behind
            self._ahead, self._pid = None, os.getpid()
        ahead = self._ahead
        if ahead is None or self._at != (start, number):  # the last one was interrupted
            self.stop()
            if number == 0:  # an epoch begins with the files as opened
                self._source.check_unchanged()
            size, count = self._size, len(self._source)
            begins = range(start + number * size, start + batches * size, size)
            items = (np.arange(begin, min(begin + size, stop)) % count for begin in begins)
            if not self._depth:
                return self._make(next(items))
            with self._opening:
                if self._closed:
                    raise ClosedError("the iterator was closed: make a new one")
                ahead = self._ahead = Prefetcher(
                    self._make, items, depth=self._depth, workers=1, name="gpuio-rows"
                )
                self._at = (start, number)
                if self._closed:  # by a signal's handler, on this thread
                    self.stop()
        try:
            made = next(ahead)
        except BaseException:
            self.stop()
            raise
        self._at = (start, number + 1)
        return made

    def _make(self, rows: npt.NDArray[np.int64]) -> tuple[Any, Any, Any]:
        return self._source.make(rows, self._size)

    def stop(self) -> None:
        """Join the thread; `next` starts it again."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.close()

    def end(self) -> None:
        """Stop for good: a `next` that waits raises ClosedError."""
        with self._opening:
            self._closed = True
        self.stop()

    def close(self) -> None:
        """Join the thread and close the source; may be called twice."""
        self.end()
        self._source.close()


_depth = convert.integer(0)


def row_shape(value: Any) -> tuple[int, ...]:
    """Return a shape from a sequence of lengths >= 1, one length, or their text."""
    wrong = f"expected lengths such as (3,) or (3, 2), got {value!r}"
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            raise ValueError(wrong) from None
    try:
        lengths = tuple(value) if hasattr(value, "__iter__") else (value,)
        return tuple(convert.positive(length) for length in lengths)
    except TypeError:
        raise ValueError(wrong) from None
