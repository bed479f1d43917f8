"""ResizeIter and PrefetchingIter: iterators around iterators.

Invariant: they own only the order of calls. While a PrefetchingIter is open, only its one thread
uses its inner iterators; when that thread is stopped, the caller does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from gpuio.errors import ClosedError, StateError
from gpuio.forking import lock, working
from gpuio.io.base import DataBatch, DataDesc, DataIter, check_worker
from gpuio.order.state import check_state, flag, items, whole
from gpuio.pipeline.prefetch import Prefetcher

__all__ = ["PrefetchingIter", "ResizeIter"]

_STATE_VERSION = 1
_RESIZE_VERSION = 2  # the first one has no epoch


class ResizeIter(DataIter):
    """Make an epoch exactly `size` batches of another iterator.

    If the inner iterator ends earlier, it is reset and continues.

    Parameters
    ----------
    data_iter : DataIter
    size : int                      batches per epoch
    reset_internal : bool           `reset()` also resets the inner iterator; if false, an epoch
                                    continues where the last one stopped

    Notes
    -----
    An inner iterator that is empty even after a reset ends the epoch. `close()` closes it.
    """

    def __init__(self, data_iter: DataIter, size: int, reset_internal: bool = True) -> None:
        super().__init__(data_iter.batch_size)
        self.data_iter = data_iter
        self.size = size
        self.reset_internal = reset_internal
        self._turn = lock()  # several threads may share an iterator: one batch each
        self.cur = self._epoch = 0
        self.current_batch: DataBatch | None = None
        self.provide_data = data_iter.provide_data  # type: ignore[attr-defined]
        self.provide_label = data_iter.provide_label  # type: ignore[attr-defined]
        if hasattr(data_iter, "default_bucket_key"):
            self.default_bucket_key = data_iter.default_bucket_key

    def __len__(self) -> int:
        """Return `size`."""
        return self.size

    def reset(self) -> None:
        """Start the next epoch."""
        with self._turn:
            self.cur = 0
            self._epoch += 1
            if self.reset_internal:
                self.data_iter.reset()

    def iter_next(self) -> bool:
        """Move to the next batch; false at the end of the epoch."""
        check_worker(self)
        with self._turn, working:
            if self.cur >= self.size:
                return False
            batch = _next_or_none(self.data_iter)
            if batch is None:
                self.data_iter.reset()
                batch = _next_or_none(self.data_iter)
            if batch is None:
                return False
            self.current_batch = batch
            self.cur += 1
            return True

    def next(self) -> DataBatch:
        """Return the next batch; StopIteration at the end of the epoch."""
        with self._turn:
            if not self.iter_next():
                raise StopIteration
            return self._current()

    def _parts(self) -> int | None:
        return self.data_iter._parts()  # noqa: SLF001 -- of DataIter

    def _current(self) -> DataBatch:
        return _present(self.current_batch)

    def getdata(self) -> Any:
        """Return the current batch's data."""
        return self._current().data

    def getlabel(self) -> Any:
        """Return the current batch's labels."""
        return self._current().label

    def getindex(self) -> Any:
        """Return the current batch's record ids, or None."""
        return self._current().index

    def getpad(self) -> Any:
        """Return how many rows of the current batch are padding."""
        return self._current().pad

    def _source(self) -> dict[str, Any]:
        return {"size": self.size, "reset_internal": bool(self.reset_internal)}

    def state_dict(self) -> dict[str, Any]:
        """Return where the iterator stands, with the inner iterator's state, as JSON types."""
        return {
            "version": _RESIZE_VERSION,
            "epoch": self._epoch,
            "batches": self.cur,
            "inner": self.data_iter.state_dict(),
            "source": self._source(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at a saved state; StateError if it belongs to another iterator."""
        version = check_state(state, _RESIZE_VERSION, self._source(), oldest=1)
        batches = whole(state, "batches", self.size)
        epoch = whole(state, "epoch") if version > 1 else 0
        self.data_iter.load_state_dict(state.get("inner"))  # type: ignore[arg-type]
        self.cur, self._epoch, self.current_batch = batches, epoch, None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_turn"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._turn = lock()

    def close(self) -> None:
        """Close the inner iterator."""
        self.data_iter.close()


def _present(batch: DataBatch | None) -> DataBatch:
    if batch is None:
        raise AttributeError("there is no batch yet: call next() or iter_next() first")
    return batch


class PrefetchingIter(DataIter):
    """Fetch the batches of one or several iterators ahead, on a thread.

    Parameters
    ----------
    iters : DataIter or list of DataIter
        Their data and their labels are joined in this order into one batch; pad and index are the
        first one's. bucket_key, plan, mix and label_count are those of the first batch that has
        them, and provide_data and provide_label
        are the batches' own where they have some, for buckets differ in shape.
    rename_data, rename_label : list of dict, optional
        One dict per iterator: old name to new name, with an entry for every name.
    depth : int, default 1
        Ours: batches made ahead of the one asked for.

    Raises
    ------
    KeyError                        at construction: a name without an entry
    AssertionError                  at construction: no iterators, or not one dict for each. From
                                    ``next()``: the iterators disagree about pad, or one is shorter
    ClosedError                     after `close()`
    Exception                       from ``next()``: what an iterator raised, at its batch; after
                                    that the epoch is over until `reset()`

    Notes
    -----
    One thread serves all iterators, so their batches always belong together. It ends at the end of
    an epoch and starts again at `reset()`. `close()`, or dropping the iterator, joins it;
    `close()` closes the inner iterators as well. After an error in its thread MXNet hangs for ever;
    gpuio raises the error. Iterators of different lengths raise MXNet's AssertionError.
    A renamed plain tuple becomes a DataDesc with its old name, as in MXNet.

    The thread starts at construction. Use the inner iterators only after `close()`. A forked child
    sets the inner iterators back to the user's position, by their states, and goes on with a thread
    of its own; if one of them saves no state, it raises ClosedError there.
    """

    def __init__(
        self,
        iters: DataIter | Sequence[DataIter],
        rename_data: Sequence[Mapping[str, str]] | None = None,
        rename_label: Sequence[Mapping[str, str]] | None = None,
        *,
        depth: int = 1,
    ) -> None:
        super().__init__()
        self.iters: list[Any] = list(iters) if isinstance(iters, (list, tuple)) else [iters]
        self.n_iter = len(self.iters)
        assert self.n_iter > 0, "PrefetchingIter needs at least one iterator"
        for renames in (rename_data, rename_label):
            assert renames is None or len(renames) == self.n_iter, "one dict for each iterator"
        self.rename_data, self.rename_label = rename_data, rename_label
        self.provide_data = _renamed([i.provide_data for i in self.iters], rename_data)
        self.provide_label = _renamed([i.provide_label for i in self.iters], rename_label)
        self.batch_size = self.provide_data[0][1][0]
        for each in self.iters[::-1]:  # the first one's stays
            if hasattr(each, "default_bucket_key"):
                self.default_bucket_key = each.default_bucket_key
        self.current_batch: DataBatch | None = None
        self._depth = depth
        self._closed = False
        self._turn = lock()  # several threads may share an iterator: one batch each
        self._start()

    def _start(self) -> None:
        """Start to fetch at the current position of the inner iterators."""
        self._over, self._pid = False, os.getpid()
        fetch = _Fetch(self.iters)
        self._states = fetch.states()
        self._ahead: Prefetcher[None, _Fetched] = Prefetcher(
            fetch, fetch.turns(), depth=self._depth, workers=1, name="gpuio-fetch"
        )

    def __len__(self) -> int:
        """Return the number of batches of the current epoch, the first iterator's own count."""
        return len(self.iters[0])

    def _parts(self) -> int | None:
        parts: int | None = self.iters[0]._parts()  # noqa: SLF001 -- of DataIter
        return parts

    def _plan(self) -> Any:
        return self.iters[0]._plan()  # noqa: SLF001 -- of DataIter

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("PrefetchingIter was closed: make a new one")

    def _go_on_here(self) -> None:
        """In a forked child: go back to the user's position and start a thread."""
        if self._pid == os.getpid() or self._over:
            return
        if self._states is None:
            raise ClosedError(
                "an iterator inside this PrefetchingIter saves no state, so a forked child cannot "
                "continue it: make the iterators in this process"
            )
        for inner, saved in zip(self.iters, self._states, strict=True):
            inner.load_state_dict(saved)
        self._start()

    def iter_next(self) -> bool:
        """Move to the next batch; false at the end of the epoch."""
        check_worker(self)
        with self._turn, working:
            return self._move()

    def _move(self) -> bool:
        self._check_open()
        self._go_on_here()
        if self._over:
            return False
        try:
            fetched = next(self._ahead)
            batches = [batch for batch in fetched.batches if batch is not None]
            mismatch = "Number of entry mismatches between iterators"
            assert len(batches) in (0, self.n_iter), mismatch
            assert len({batch.pad for batch in batches}) < 2, mismatch
        except Exception:
            self._over = True
            self._ahead.close()
            raise
        self._states = fetched.states
        self._over = not batches
        if self._over:
            self._ahead.close()
        else:
            self.current_batch = DataBatch(
                [array for batch in batches for array in batch.data],
                [array for batch in batches for array in batch.label or ()],
                batches[0].pad,
                batches[0].index,
                _first(batches, "bucket_key"),
                self._described(batches, "provide_data", self.rename_data),
                self._described(batches, "provide_label", self.rename_label),
            )
            for name in ("plan", "mix", "label_count"):
                setattr(self.current_batch, name, _first(batches, name))
        return not self._over

    def _described(
        self, batches: list[DataBatch], what: str, renames: Sequence[Mapping[str, str]] | None
    ) -> list[Any]:
        """Return the batches' own descriptions where they have some, else the iterators'."""
        own = [getattr(batch, what) for batch in batches]
        if all(one is None for one in own):
            joined: list[Any] = getattr(self, what)
            return joined
        pairs = zip(own, self.iters, strict=True)
        return _renamed([getattr(i, what) if one is None else one for one, i in pairs], renames)

    def next(self) -> DataBatch:
        """Return the next batch; StopIteration at the end of the epoch."""
        with self._turn:
            if not self.iter_next():
                raise StopIteration
            return _present(self.current_batch)

    def reset(self) -> None:
        """Stop fetching, reset every iterator and start to fetch again."""
        with self._turn:
            self._check_open()
            self._ahead.close()
            for inner in self.iters:
                inner.reset()
            self._start()

    def getdata(self) -> Any:
        """Return the current batch's data."""
        return _present(self.current_batch).data

    def getlabel(self) -> Any:
        """Return the current batch's labels."""
        return _present(self.current_batch).label

    def getindex(self) -> Any:
        """Return the first iterator's record ids of the current batch, or None."""
        return _present(self.current_batch).index

    def getpad(self) -> Any:
        """Return how many rows of the current batch are padding."""
        return _present(self.current_batch).pad

    def _source(self) -> dict[str, Any]:
        return {"iterators": self.n_iter}

    def state_dict(self) -> dict[str, Any]:
        """Return the user's position, with every iterator's state, as JSON types.

        Batches fetched ahead do not count.

        Raises
        ------
        NotImplementedError         an inner iterator does not save its state
        """
        self._check_open()
        if self._states is None:
            raise NotImplementedError("an iterator inside this PrefetchingIter saves no state")
        return {
            "version": _STATE_VERSION,
            "over": self._over,
            "inner": self._states,
            "source": self._source(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at a saved state.

        Raises
        ------
        StateError                  from an inner iterator, or damaged. All stay where they were
        NotImplementedError         an inner iterator loads no state
        """
        self._check_open()
        check_state(state, _STATE_VERSION, self._source())
        over, saved = flag(state, "over"), items(state, "inner", self.n_iter)
        if len(saved) != self.n_iter:
            raise StateError(f"state: inner: expected {self.n_iter} states, found {len(saved)}")
        if self._states is None:
            raise NotImplementedError("an iterator inside this PrefetchingIter loads no state")
        with self._turn:
            self._ahead.close()
            before = self._states, self._over
            try:
                self._put(saved, over)
            except BaseException:
                self._put(*before)  # the first ones may have moved, and all stood ahead
                raise
            self.current_batch = None

    def _put(self, states: list[dict[str, Any]], over: bool) -> None:
        """Put every inner iterator somewhere and fetch from there."""
        for inner, saved in zip(self.iters, states, strict=True):
            inner.load_state_dict(saved)
        self._start()
        self._over = over

    def close(self) -> None:
        """Join the thread and close the inner iterators; may be called twice, and beside `next()`.

        A `next()` that waits in another thread raises ClosedError.
        """
        self._closed = True
        self._ahead.close()
        with self._turn:
            self._ahead.close()  # reset() may have started another one just now
            for inner in self.iters:
                inner.close()


@attrs.frozen(eq=False)
class _Fetched:
    """One round: a batch of each iterator, None if it has ended, and the states after it."""

    batches: list[DataBatch | None]
    states: list[dict[str, Any]] | None


class _Fetch:
    """Fetch one batch of each iterator; the thread's side of a PrefetchingIter."""

    def __init__(self, iters: list[Any]) -> None:
        self._iters = iters
        self._over = False

    def turns(self) -> Iterator[None]:
        """Yield once per round, until an iterator has ended."""
        while not self._over:
            yield None

    def states(self) -> list[dict[str, Any]] | None:
        """Return every iterator's state; None if one of them does not save its state."""
        try:
            return [inner.state_dict() for inner in self._iters]
        except (AttributeError, NotImplementedError):
            return None

    def __call__(self, _: None) -> _Fetched:
        batches = [_next_or_none(inner) for inner in self._iters]
        self._over = None in batches
        return _Fetched(batches, self.states())


def _first(batches: list[DataBatch], name: str) -> Any:
    """Return an attribute of the first batch that has it, None if none has."""
    return next((got for one in batches if (got := getattr(one, name, None)) is not None), None)


def _next_or_none(inner: DataIter) -> DataBatch | None:
    """Return an iterator's next batch, None at its end; an iterator of the user's may err."""
    try:
        batch: DataBatch | None = inner.next()
    except StopIteration:
        return None
    if batch is None:
        raise TypeError(
            f"{type(inner).__name__}.next() returned None: expected a DataBatch, or StopIteration "
            "at the end of the epoch"
        )
    return batch


def _renamed(provided: list[Any], renames: Sequence[Mapping[str, str]] | None) -> list[Any]:
    """Join the descriptions of several iterators, renamed as MXNet renames them."""
    if renames is None:
        return [one for each in provided for one in each]
    return [
        DataDesc(names[one.name], one.shape, one.dtype)
        if isinstance(one, DataDesc)
        else DataDesc(*one)
        for names, each in zip(renames, provided, strict=True)
        for one in each
    ]
