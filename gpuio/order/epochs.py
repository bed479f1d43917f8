"""Which record stands where: parts, passes over a part, and the batches cut from them.

A *pass* is one visit of every record of the part; pass p's order is MXNet's p-th, shuffles
included. An *epoch* is what the user sees between two resets: with ``last_batch="borrow"`` it
starts inside a pass and ends inside the next one.

Invariant: a batch's positions are a pure function of (table, options, pass, start, number).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError
from gpuio.options.record import RecordOptions
from gpuio.order.block import BlockPasses, block_records
from gpuio.order.part import Table, part
from gpuio.order.passes import open_passes
from gpuio.order.permutation import FullPasses

__all__ = [
    "BatchOrder",
    "EpochShape",
    "Order",
    "PassOrder",
    "epoch_shape",
    "joined",
    "last_start",
    "part",
]

_Int64 = npt.NDArray[np.int64]


class PassOrder(Protocol):
    """In which order each pass visits its records; the methods are described in `Passes`."""

    n_records: int

    def rows(
        self, pass_index: int, first: int, stop: int, start: int, batch_size: int
    ) -> tuple[_Int64, _Int64]:
        """Return the table's rows at places first .. stop-1 of a pass, and seed_aug's numbers."""
        ...

    def chunks(self, pass_index: int) -> tuple[_Int64, _Int64]:
        """Return the chunks of a pass."""
        ...

    def reach(self, pass_index: int) -> None:
        """Draw what stands before a pass."""
        ...


@attrs.frozen
class EpochShape:
    """What an epoch consists of.

    Attributes
    ----------
    batches : int           how many it has; may be 0
    pad : int               rows of its last batch that are borrowed or padded
    next_start : int        place in the next pass at which the next epoch starts
    """

    batches: int
    pad: int
    next_start: int


def epoch_shape(rest: int, size: int, ending: str) -> EpochShape:
    """Return the shape of an epoch.

    Parameters
    ----------
    rest : int          records from the epoch's start to the end of its pass
    size : int          rows of a batch
    ending : {"borrow", "pad", "partial", "discard"}
                        what the short last batch becomes: see the option last_batch
    """
    if ending == "discard":
        return EpochShape(rest // size, 0, 0)
    batches = -(-rest // size)
    missing = batches * size - rest
    return EpochShape(
        batches, 0 if ending == "partial" else missing, missing if ending == "borrow" else 0
    )


def last_start(count: int, size: int, ending: str) -> int:
    """Return the last place of a pass of `count` records at which an epoch may start.

    Parameters
    ----------
    count, size, ending : as `epoch_shape` takes them
    """
    if ending != "borrow":
        return 0
    return size - 1 if size <= count else count


@attrs.frozen(eq=False)
class BatchOrder:
    """The records of one batch.

    Attributes
    ----------
    position : int64[B]     rows of the record table; -1 where a padded row has no record
    pass_index : int64[B]   the pass a row belongs to; borrowed rows belong to the next one
    mx_index : int64[B]     the number MXNet adds to seed_aug to seed the row's generator
    pad : int               rows at the end that are borrowed or padded
    """

    position: npt.NDArray[np.int64]
    pass_index: npt.NDArray[np.int64]
    mx_index: npt.NDArray[np.int64]
    pad: int


def joined(orders: Sequence[BatchOrder]) -> BatchOrder:
    """Return the rows of several batches, one behind the other; its `pad` says nothing."""
    return BatchOrder(
        np.concatenate([order.position for order in orders]),
        np.concatenate([order.pass_index for order in orders]),
        np.concatenate([order.mx_index for order in orders]),
        0,
    )


class Order:
    """The order of the records of one part, and the epochs and batches made of it.

    Parameters
    ----------
    table : RecordTable
    options : RecordOptions         batch_size, shuffle and what belongs to it, seed, num_parts,
                                    part_index, round_batch, last_batch

    Notes
    -----
    An epoch is named by the pass it starts in and its start, the number of that pass's records
    that the epoch before it has borrowed. Epoch e of an iterator that was only ever reset at an
    epoch's end is pass e, ``start(e)``. A reset in the middle, or before the first batch, goes to
    the next pass, start 0: it gives up the pass, and so the permutation, that was begun.
    """

    def __init__(self, table: Table, options: RecordOptions) -> None:
        self.batch_size = options.batch_size
        self._ending = options.ending
        self._passes = _open(table, options)
        self.n_records = self._passes.n_records

    def epoch(self, pass_index: int, start: int) -> EpochShape:
        """Return the shape of the epoch that starts at place `start` of pass `pass_index`.

        Raises
        ------
        OptionError     if a batch needs more than the rest of the pass and one further pass
        """
        size, rest = self.batch_size, self.n_records - start
        shape = epoch_shape(rest, size, self._ending)
        if shape.next_start > self.n_records:
            raise OptionError(
                f"batch_size: a batch of {size} needs more than the {rest} records left in "
                f"pass {pass_index} and the {self.n_records} of the next one: the number of "
                f"records must be bigger than the batch size, or choose last_batch='pad', "
                f"'partial' or 'discard'"
            )
        return shape

    def check(self) -> None:
        """Make sure that batches of the asked-for size can be made, now and in later epochs.

        Raises
        ------
        OptionError     naming the numbers of records and of rows in a batch
        """
        size, n = self.batch_size, self.n_records
        if self._ending == "discard" and n < size:
            raise OptionError(
                f"batch_size: {n} records are fewer than one batch of {size}, and "
                "last_batch='discard' drops short batches: choose 'pad' or 'partial', or a smaller "
                "batch"
            )
        if self._ending == "borrow" and size > n:
            self.epoch(0, 0)
            self.start(n // (size - n) + 1)

    def start(self, epoch: int) -> int:
        """Return where epoch `epoch`, 0, 1, ..., starts in its pass if no epoch was cut short.

        Raises
        ------
        OptionError     if an epoch before it cannot be made: see `epoch`
        """
        size, n = self.batch_size, self.n_records
        if self._ending != "borrow" or n == 0:
            return 0
        if size <= n:
            return -epoch * n % size
        step = size - n  # each epoch is one batch and borrows that much more, until a pass is used
        if n % step == 0:
            return epoch % (n // step + 1) * step
        if epoch * step > n:
            self.epoch(n // step, n // step * step)
        return epoch * step

    @property
    def last_start(self) -> int:
        """The last place of a pass at which an epoch may start."""
        return last_start(self.n_records, self.batch_size, self._ending)

    def rows(self) -> npt.NDArray[np.int64]:
        """Return the rows of the record table that the part holds, in no certain order."""
        starts, lengths = self.chunks(0)
        spans = zip(starts.tolist(), lengths.tolist(), strict=True)
        return np.concatenate([np.arange(s, s + n, dtype=np.int64) for s, n in spans])

    def reach(self, pass_index: int) -> None:
        """Draw what MXNet's shuffle needs before a pass; see `gpuio.order.passes.Passes`."""
        self._passes.reach(pass_index)

    @property
    def blocks(self) -> BlockPasses | None:
        """The passes of shuffle="block", which say what lies in which pool; else None."""
        return self._passes if isinstance(self._passes, BlockPasses) else None

    def chunks(self, pass_index: int) -> tuple[_Int64, _Int64]:
        """Return the chunks in which a pass visits the records: first row and number of each."""
        return self._passes.chunks(pass_index)

    def record(self, pass_index: int, place: int) -> int:
        """Return the table's row at one place of a pass, 0 <= place < n_records."""
        position, _ = self._passes.rows(pass_index, place, place + 1, 0, self.batch_size)
        return int(position[0])

    def batch(self, pass_index: int, start: int, k: int) -> BatchOrder:
        """Return batch k, 0 <= k < batches, of the epoch at place `start` of pass `pass_index`.

        Raises
        ------
        IndexError      if the epoch has no such batch
        OptionError     as `epoch`
        """
        shape = self.epoch(pass_index, start)
        if not 0 <= k < shape.batches:
            raise IndexError(f"batch {k} of an epoch of {shape.batches} batches")
        size = self.batch_size
        first = start + k * size
        stop = min(first + size, self.n_records)
        pad = shape.pad if k == shape.batches - 1 else 0
        position, mx_index = self._passes.rows(pass_index, first, stop, start, size)
        passes = np.full(len(position) + pad, pass_index, np.int64)
        if pad:
            passes[len(position) :] = pass_index + 1
            if self._ending == "borrow":
                more, more_index = self._passes.rows(pass_index + 1, 0, pad, pad, size)
            else:
                more = more_index = np.full(pad, -1, np.int64)
            position = np.concatenate([position, more])
            mx_index = np.concatenate([mx_index, more_index])
        return BatchOrder(position, passes, mx_index, pad)


def _open(table: Table, options: RecordOptions) -> PassOrder:
    """Return the passes over the part that the options name."""
    if options.shuffle not in ("full", "block"):
        return open_passes(table, options)
    rows = part(table, options.num_parts, options.part_index)
    first, count = rows.start, rows.stop - rows.start
    if options.shuffle == "full":
        return FullPasses(first, count, options.seed)
    block_mib = options.shuffle_block_size
    per_block = block_records(len(table.offset), int(table.sizes.sum()), block_mib)
    per_pool = max(int(options.shuffle_pool_size / block_mib), 1)
    return BlockPasses(first, count, per_block, per_pool, options.seed)
