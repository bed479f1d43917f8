"""Reading ahead of the reader where files lie behind a network.

A request takes some 20 to 100 ms whatever it asks for. So batches are fetched in groups of some
MiB, a few groups on their way at once; the one thread that parses and draws finds their bytes in
memory.

Invariant: what is fetched is what the reader would read; nothing here decides anything of a batch.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import ClosedError, GpuioError
from gpuio.order.epochs import BatchOrder
from gpuio.pipeline.finished_batch import BatchPosition
from gpuio.pipeline.parse import FramedRecords
from gpuio.pipeline.prefetch import Prefetcher

__all__ = ["RemoteFeed"]

_Int64 = npt.NDArray[np.int64]

_GROUP_BYTES = 8 << 20  # of records that are fetched together
_GROUP_BATCHES = 64  # and no more batches than these
_GROUPS, _WORKERS = 8, 4  # groups fetched ahead, and on their way at once


class _Orders(Protocol):
    """What is used of an order."""

    def batch(self, pass_index: int, start: int, k: int) -> BatchOrder: ...


class _Reader(Protocol):
    """What is used of a reader."""

    def framed(self, positions: _Int64) -> FramedRecords: ...

    def lengths(self, positions: _Int64) -> _Int64: ...

    def spared(self, positions: _Int64) -> npt.NDArray[np.bool_]: ...


@attrs.frozen(eq=False)
class _Fetched:
    """A batch's records in memory, before anything is known of them."""

    position: BatchPosition
    order: BatchOrder
    framed: FramedRecords


_Group = list[tuple[BatchPosition, BatchOrder]]


class RemoteFeed:
    """Hand out batches that were fetched ahead; used by one thread at a time.

    Parameters
    ----------
    order : Order
    reader : RecordReader
    positions : callable        the batches from a position on, in the order of the asking
    fetching : callable         returns a context that each fetch happens in
    """

    def __init__(
        self,
        order: _Orders,
        reader: _Reader,
        positions: Callable[[BatchPosition], Iterator[BatchPosition]],
        fetching: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self._order, self._reader, self._positions = order, reader, positions
        self._fetching = fetching
        self._fetches: Prefetcher[_Group, list[_Fetched]] | None = None
        self._ready: deque[_Fetched] = deque()
        self._halted, self._pid = False, 0

    @contextlib.contextmanager
    def halted(self) -> Iterator[None]:
        """Let a `take` in another thread end with ClosedError."""
        self._halted = True
        try:
            self._forget()
            yield
        finally:
            self._halted = False
            self._forget()

    def _forget(self) -> None:
        """Stop fetching, and drop what came."""
        fetches, self._fetches = self._fetches, None
        self._ready.clear()
        if fetches is not None:
            fetches.close()

    def take(self, position: BatchPosition) -> tuple[BatchOrder, FramedRecords]:
        """Return the batch at a position, and its records.

        Raises
        ------
        StorageError        a file could not be read
        ClosedError         see `halted`
        """
        if self._pid != os.getpid():  # a fork of it: its threads are not here
            self._fetches, self._ready = None, deque()
        try:
            found = self._next() if self._fetches is not None else None
            if found is None or found.position != position:
                self._begin(position)
                found = self._next()
        except BaseException:
            self._forget()
            raise
        assert found is not None
        assert found.position == position
        return found.order, found.framed

    def _begin(self, position: BatchPosition) -> None:
        """Fetch from a position on."""
        self._forget()
        if self._halted:
            raise ClosedError("the iterator was stopped while it began to read")
        self._pid = os.getpid()
        self._fetches = Prefetcher(
            self._fetch,
            self._groups(position),
            depth=_GROUPS,
            workers=_WORKERS,
            name="gpuio-fetch",
        )

    def _next(self) -> _Fetched | None:
        """Return the next batch that was fetched; None at the end of what can be."""
        if not self._ready:
            fetches = self._fetches
            if fetches is None:
                raise ClosedError("the iterator was stopped while it read")
            self._ready.extend(next(fetches, ()))
        return self._ready.popleft() if self._ready else None

    def _groups(self, position: BatchPosition) -> Iterator[_Group]:
        """Gather batches until there are bytes enough; the first groups are small."""
        group: _Group = []
        size, wanted = 0, _GROUP_BYTES // 8
        for at, order in self._drawn(position):
            group.append((at, order))
            size += int(np.maximum(self._reader.lengths(order.position), 0).sum())
            if size >= wanted or len(group) >= _GROUP_BATCHES:
                yield group
                group, size, wanted = [], 0, min(2 * wanted, _GROUP_BYTES)
        if group:
            yield group

    def _drawn(self, position: BatchPosition) -> Iterator[tuple[BatchPosition, BatchOrder]]:
        """Yield the batches from a position on, up to one that cannot be made; errors of the first.

        Whoever comes to a later one is told.
        """
        positions = self._positions(position)
        for number in itertools.count():
            try:
                at = next(positions, None)
                if at is None:
                    return
                order = self._order.batch(at.pass_index, at.start, at.number)
            except GpuioError:
                if number:
                    return
                raise
            yield at, order

    def _fetch(self, group: _Group) -> list[_Fetched]:
        """Fetch the batches of a group together, but for records that a cache has decoded."""
        positions = np.concatenate([order.position for _, order in group])
        with self._fetching():
            framed = self._reader.framed(np.where(self._reader.spared(positions), -1, positions))
        made, first = [], 0
        for position, order in group:
            stop = first + len(order.position)
            made.append(_Fetched(position, order, framed.rows(first, stop)))
            first = stop
        return made
