"""Records of a block shuffle, read block by block, waiting in memory for their batches.

A pool's blocks are read whole, once, in the order of the files. Each record that this part uses is
copied to its batch, which waits until its last record has come; a batch that is handed out makes
room for a block of the next pool. So memory holds this part's records of one pool, and a few
blocks. Of a block whose records need not all be read, because a cache has some of them decoded,
only the others are read, each by itself; those count as if they waited, too, so that reading is no
further ahead than without a cache.

Invariant: what is handed out is what the files hold at the batch's positions, whatever was asked
for before; asking for another batch than the next one begins anew.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import ClosedError, GpuioError
from gpuio.order.block import BlockPasses
from gpuio.order.epochs import BatchOrder
from gpuio.pipeline.finished_batch import BatchPosition
from gpuio.pipeline.parse import FramedRecords

__all__ = ["BlockFeed"]

_Int64 = npt.NDArray[np.int64]
_Key = tuple[int, int]  # pass, number of a pool in it

_AT_ONCE = 4  # blocks asked for together: far storage has several on their way at a time


class _Orders(Protocol):
    """What is used of an order."""

    def batch(self, pass_index: int, start: int, k: int) -> BatchOrder: ...


class _Reader(Protocol):
    """What is used of a reader."""

    def framed(self, positions: _Int64) -> FramedRecords: ...

    def lengths(self, positions: _Int64) -> _Int64: ...

    def spared(self, positions: _Int64) -> npt.NDArray[np.bool_]: ...


@attrs.define(eq=False)
class _Batch:
    """A batch that waits: `missing` of its records have not come yet."""

    position: BatchPosition
    order: BatchOrder
    length: _Int64  # [B]: bytes of each row's record; -1 where there is none
    start: _Int64  # [B]: where it lies in `memory`
    memory: npt.NDArray[np.uint8]
    missing: int
    spared: npt.NDArray[np.bool_]  # [B]: it was not read

    def framed(self) -> FramedRecords:
        length = np.where(self.spared, -1, self.length)
        return FramedRecords([self.memory], np.zeros_like(self.start), self.start, length)


@attrs.frozen(eq=False)
class _Wanted:
    """Records of one pool: what this part uses, ascending by row of the table."""

    position: _Int64
    batch: npt.NDArray[np.object_]
    row: _Int64  # of the batch
    length: _Int64
    target: _Int64  # address of each

    def between(self, low: int, high: int) -> _Wanted:
        """Return those in rows low .. high-1 of the table."""
        first, stop = np.searchsorted(self.position, [low, high])
        return self.at(slice(first, stop))

    def at(self, which: slice | _Int64) -> _Wanted:
        """Return some of them."""
        return _Wanted(
            self.position[which],
            self.batch[which],
            self.row[which],
            self.length[which],
            self.target[which],
        )


class BlockFeed:
    """Read batches of a block shuffle; used by one thread at a time.

    Parameters
    ----------
    blocks : BlockPasses
    order : Order               over these passes
    reader : RecordReader
    positions : callable        the batches from a position on, in the order of the asking
    """

    def __init__(
        self,
        blocks: BlockPasses,
        order: _Orders,
        reader: _Reader,
        positions: Callable[[BatchPosition], Iterator[BatchPosition]],
    ) -> None:
        self._blocks, self._order, self._reader = blocks, order, reader
        self._positions = positions
        self._halted = False
        self._clear()

    def _clear(self) -> None:
        """Forget everything that waits."""
        self._coming: Iterator[BatchPosition] = iter(())
        self._expected: BatchPosition | None = None
        self._next: _Batch | None = None  # the first batch behind `_ahead`
        self._ahead: deque[_Batch] = deque()
        self._waiting: dict[_Key, list[tuple[_Batch, _Int64]]] = {}  # batches and rows by pool
        self._wanted: dict[_Key, _Wanted] = {}
        self._loads: deque[tuple[_Key, int, int]] = deque()  # blocks of planned pools, not read
        # bytes that wait; the most of a pool; of a block
        self._held = self._room = self._per_load = 0

    @contextlib.contextmanager
    def halted(self) -> Iterator[None]:
        """Let a `take` in another thread end with ClosedError at its next block."""
        self._halted = True
        try:
            yield
        finally:
            self._halted = False
            self._clear()

    def take(self, position: BatchPosition) -> tuple[BatchOrder, FramedRecords]:
        """Return the batch at a position, and its records.

        Raises
        ------
        StorageError        a file could not be read
        ClosedError         see `halted`
        """
        try:
            if position != self._expected:
                self._clear()
                self._coming = self._positions(position)
                self._next = self._draw()
            if not self._ahead:
                self._plan()
            batch = self._ahead[0]
            while batch.missing:
                if not self._load():
                    raise AssertionError("a record is in no block of its pool")
            self._ahead.popleft()
            self._held -= len(batch.memory)
            while self._room - self._held >= self._lot() and self._load():
                pass
        except BaseException:
            self._clear()
            raise
        following = self._ahead[0] if self._ahead else self._next
        self._expected = None if following is None else following.position
        return batch.order, batch.framed()

    def _draw(self) -> _Batch | None:
        """Return the next batch of the sequence, without its records."""
        try:
            position = next(self._coming, None)
        except GpuioError:  # an epoch that cannot be made: whoever comes to it is told
            position = None
        if position is None:
            return None
        order = self._order.batch(position.pass_index, position.start, position.number)
        length = self._reader.lengths(order.position)
        taken = np.maximum(length, 0)
        start = np.cumsum(taken) - taken
        memory = np.empty(int(taken.sum()), np.uint8)  # costs no page until records come
        missing, spared = int((length >= 0).sum()), np.zeros(len(length), np.bool_)
        return _Batch(position, order, length, start, memory, missing, spared)

    def _pools_of(self, batch: _Batch) -> list[tuple[_Key, _Int64]]:
        """Return the pools of a batch's records in their order, and the rows of each."""
        found: list[tuple[_Key, _Int64]] = []
        rows = np.flatnonzero(batch.length >= 0)
        order, n = batch.order, self._blocks.n_records
        at = 0
        while at < len(rows):
            which = int(order.pass_index[rows[at]])
            place = order.mx_index[rows[at:]] - which * n  # samples are numbered through
            number = self._blocks.pool_at(which, int(place[0]))
            first, stop = self._blocks.span(which, number)
            same = (order.pass_index[rows[at:]] == which) & (place >= first) & (place < stop)
            count = int(np.count_nonzero(same))
            found.append(((which, number), rows[at : at + count]))
            at += count
        return found

    def _plan(self) -> bool:
        """Find the batches of the next pool, and the blocks to read; false at the very end."""
        key = min(self._waiting, default=None)
        while self._next is not None:
            pools = self._pools_of(self._next)
            if not pools and self._ahead and not (self._ahead[-1].length >= 0).any():
                break  # padding behind padding: this part may have no record in any epoch
            if key is not None and self._is_behind(self._next, pools, key):
                break
            for one, rows in pools:
                self._waiting.setdefault(one, []).append((self._next, rows))
                key = one if key is None else key
            self._ahead.append(self._next)
            self._next = self._draw()
        if key is None:
            return False
        taken = self._waiting.pop(key)
        position = np.concatenate([batch.order.position[rows] for batch, rows in taken])
        target = np.concatenate(
            [batch.start[rows] + batch.memory.ctypes.data for batch, rows in taken]
        )
        batches = np.empty(len(taken), np.object_)
        batches[:] = [batch for batch, _ in taken]
        of_batch = np.repeat(batches, [len(rows) for _, rows in taken])
        row = np.concatenate([rows for _, rows in taken])
        length = np.concatenate([batch.length[rows] for batch, rows in taken])
        by_row = np.argsort(position, kind="stable")
        wanted = self._wanted[key] = _Wanted(position, of_batch, row, length, target).at(by_row)
        for low, high in sorted(self._blocks.pool(*key).blocks):
            first, stop = np.searchsorted(wanted.position, [low, high])
            if first < stop:  # else it was used up before a resumed place, or is another part's
                self._loads.append((key, low, high))
        own = int(length.sum())
        self._room = max(self._room, own)
        self._per_load = own // len(self._loads)
        return True

    @staticmethod
    def _is_behind(batch: _Batch, pools: list[tuple[_Key, _Int64]], key: _Key) -> bool:
        """Say that neither a batch nor any after it has a record of a pool."""
        return batch.position.pass_index > key[0] or bool(pools and pools[0][0] > key)

    def _lot(self) -> int:
        """Return about how many of this part's bytes the next blocks bring; 0 if nobody knows."""
        return self._per_load * min(len(self._loads), _AT_ONCE)

    def _load(self) -> bool:
        """Read some blocks and give their records to their batches; false where none are left."""
        if self._halted:
            raise ClosedError("the iterator was stopped while it read a block")
        if not self._loads and not self._plan():
            return False
        some = [self._loads.popleft() for _ in range(min(_AT_ONCE, len(self._loads)))]
        blocks = [self._wanted[key].between(low, high) for key, low, high in some]
        spared = [self._reader.spared(block.position) for block in blocks]
        rows = [
            block.position[~known] if known.any() else np.arange(low, high, dtype=np.int64)
            for block, known, (_, low, high) in zip(blocks, spared, some, strict=True)
        ]
        every = np.concatenate(rows)
        framed = (
            self._reader.framed(every) if len(every) else FramedRecords([], every, every, every)
        )
        before = 0
        for block, known, read in zip(blocks, spared, rows, strict=True):
            self._give(block, known, framed, before, read)
            before += len(read)
        planned = {key for key, _, _ in self._loads}
        for key in [key for key in self._wanted if key not in planned]:
            del self._wanted[key]
        return True

    def _give(
        self,
        wanted: _Wanted,
        spared: npt.NDArray[np.bool_],
        framed: FramedRecords,
        before: int,
        read: _Int64,
    ) -> None:
        """Copy the records of a block, whose first is row `before` of what was read.

        Parameters
        ----------
        wanted : _Wanted            what this part uses of the block
        spared : bool[n]            those that need not be read
        framed : FramedRecords
        before : int
        read : int64[m]             rows of the table, ascending
        """
        from gpuio.kernels.ranges import scatter

        came = ~spared
        source = np.searchsorted(read, wanted.position[came]) + before
        scatter(framed.address[source], framed.length[source], wanted.target[came])
        self._held += int(wanted.length.sum())
        for batch, row in zip(
            wanted.batch[spared].tolist(), wanted.row[spared].tolist(), strict=True
        ):
            batch.spared[row] = True
        for batch in wanted.batch.tolist():
            batch.missing -= 1
