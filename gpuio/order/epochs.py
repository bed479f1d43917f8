"""Which record stands where: parts, passes over a part, and the batches cut from them.

A *pass* is one visit of every record of the part, or with ``shard="even"`` of all records, whose
batches the parts share; with MXNet's shuffle pass p's order is MXNet's p-th. An *epoch* is what the
user sees between two resets: with ``last_batch="borrow"`` it starts inside a pass and ends inside
the next one.

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
from gpuio.order.even import (
    Division,
    ShardPlan,
    even_plan,
    lengths_ever_differ,
    separate_plan,
)
from gpuio.order.part import Table, part, part_lengths
from gpuio.order.passes import open_passes
from gpuio.order.permutation import FullPasses

__all__ = [
    "BatchOrder",
    "EpochShape",
    "Order",
    "PassOrder",
    "epoch_shape",
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
    dropped : int           records at its end that no batch has
    """

    batches: int
    pad: int
    next_start: int
    dropped: int = 0


def epoch_shape(rest: int, size: int, ending: str) -> EpochShape:
    """Return the shape of an epoch.

    Parameters
    ----------
    rest : int          records from the epoch's start to the end of its pass; below 0 where so many
                        records of the next pass were used as well
    size : int          rows of a batch
    ending : {"borrow", "pad", "partial", "discard"}
                        what the short last batch becomes: see the option last_batch
    """
    if ending == "discard":
        return EpochShape(max(rest, 0) // size, 0, 0, max(rest, 0) % size)
    batches = max(-(-rest // size), 0)
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
    mx_index : int64[B]     the number added to seed_aug to seed the row's generator: MXNet's; with
                            shard="even" and orders of our own the sample's, counted over all passes
    pad : int               rows at the end that are borrowed or padded
    key : int or None       what is drawn for the batch as a whole is keyed by it; None: its number
    """

    position: npt.NDArray[np.int64]
    pass_index: npt.NDArray[np.int64]
    mx_index: npt.NDArray[np.int64]
    pad: int
    key: int | None = None


def _joined(orders: Sequence[BatchOrder]) -> BatchOrder:
    """Return the rows of several batches, one behind the other; its `pad` says nothing."""
    return BatchOrder(
        np.concatenate([order.position for order in orders]),
        np.concatenate([order.pass_index for order in orders]),
        np.concatenate([order.mx_index for order in orders]),
        0,
    )


class Order:
    """The order of the records, and the epochs and batches of one part made of it.

    Parameters
    ----------
    table : RecordTable
    options : RecordOptions         batch_size, shuffle and what belongs to it, seed, num_parts,
                                    part_index, shard, round_batch, last_batch

    Attributes
    ----------
    n_records : int                 in the sequence: of the part, or with shard="even" of all
    division : Division             how the sequence's steps are shared

    Notes
    -----
    An epoch is named by the pass it starts in and its start, the number of that pass's records
    that the epoch before it has borrowed. Epoch e of an iterator that was only ever reset at an
    epoch's end is pass e, ``start(e)``. A reset in the middle, or before the first batch, goes to
    the next pass, start 0: it gives up the pass, and so the permutation, that was begun.

    With shard="even" a start may be any place of the pass, or of the next one (n_records and
    more): what is left of an epoch after a state was loaded begins where it was saved.
    """

    def __init__(self, table: Table, options: RecordOptions) -> None:
        self.batch_size = options.batch_size
        self._table, self._options = table, options
        self._even = options.shard == "even"
        parts, index = (options.num_parts, options.part_index) if self._even else (1, 0)
        self.division = Division(parts, index, options.batch_size, options.ending)
        self._ending = options.ending
        if self._even:
            options = attrs.evolve(options, num_parts=1, part_index=0)
        self._passes = _open(table, options)
        self.n_records = self._passes.n_records
        self._known: tuple[int, EpochShape] | None = None  # the last epoch asked for: its start

    def epoch(self, pass_index: int, start: int) -> EpochShape:
        """Return the shape of the epoch that starts at place `start` of pass `pass_index`.

        Raises
        ------
        OptionError     if a batch needs more than the rest of the pass and one further pass
        """
        known = self._known  # asked for with every batch
        if known is not None and known[0] == start:
            return known[1]
        shape = self._shape(pass_index, start)
        self._known = start, shape
        return shape

    def _shape(self, pass_index: int, start: int) -> EpochShape:
        """Do what `epoch` does."""
        size, rest = self.division.step, self.n_records - start
        shape = epoch_shape(rest, size, self._ending)
        if shape.next_start > self.n_records:
            raise OptionError(
                f"batch_size: {self._a_step} needs more than the {rest} records left in "
                f"pass {pass_index} and the {self.n_records} of the next one: the number of "
                f"records must be bigger than the batch size, or choose last_batch='pad', "
                f"'partial' or 'discard'"
            )
        if shape.pad == 0 and self._ending != "partial":
            return shape
        if shape.batches == 0:
            return attrs.evolve(shape, pad=0)
        return attrs.evolve(shape, pad=self._pad_of_last(rest % size))

    def _pad_of_last(self, left: int) -> int:
        """Return the rows of this part's last batch that are borrowed or padded."""
        if left == 0:
            return 0
        first, stop = self.division.own(left)
        if self._ending == "partial" and first < stop:
            return 0
        return self.batch_size - (stop - first)

    @property
    def _a_step(self) -> str:
        """Name one batch of all parts."""
        parts, size = self.division.parts, self.batch_size
        if parts == 1:
            return f"a batch of {size}"
        return f"a batch of {size} for each of {parts} parts, {parts * size} rows,"

    def check(self) -> None:
        """Make sure that batches of the asked-for size can be made, now and in later epochs.

        Raises
        ------
        OptionError     naming the numbers of records and of rows in a batch
        """
        size, n = self.division.step, self.n_records
        if self._ending == "discard" and n < size:
            parts = self.division.parts
            one = f"one batch of {size}" if parts == 1 else f"the {size} rows of one batch per part"
            raise OptionError(
                f"batch_size: {n} records are fewer than {one}, and "
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
        size, n = self.division.step, self.n_records
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
        return last_start(self.n_records, self.division.step, self._ending)

    def rows(self) -> npt.NDArray[np.int64]:
        """Return the rows of the record table that the sequence holds, in no certain order."""
        starts, lengths = self.chunks(0)
        spans = zip(starts.tolist(), lengths.tolist(), strict=True)
        return np.concatenate([np.arange(s, s + n, dtype=np.int64) for s, n in spans])

    def rows_at(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return what stands at some places, 0 to `n_records` - 1, of what `rows` returns."""
        starts, lengths = self.chunks(0)
        stops = np.cumsum(lengths)
        which = np.searchsorted(stops, numbers, side="right")
        made: npt.NDArray[np.int64] = starts[which] + numbers - (stops - lengths)[which]
        return made

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
        place = start + k * self.division.step
        left = min(self.division.step, self.n_records - place)
        first, stop = (place + at for at in self.division.own(left))
        pad = shape.pad if k == shape.batches - 1 else 0
        position, mx_index = self._rows(pass_index, first, stop, start)
        passes = np.full(len(position) + pad, pass_index, np.int64)
        if pad:
            passes[len(position) :] = pass_index + 1
            if self._ending == "borrow":
                begin, end = self.division.borrowed(left)
                more, more_index = self._rows(pass_index + 1, begin, end, end)
            else:
                more = more_index = np.full(pad, -1, np.int64)
            position = np.concatenate([position, more])
            mx_index = np.concatenate([mx_index, more_index])
        return BatchOrder(position, passes, mx_index, pad, first if self._even else None)

    def batches(
        self, pass_index: int, start: int, first: int, stop: int
    ) -> tuple[list[BatchOrder], BatchOrder]:
        """Return batches first .. stop-1 of an epoch, as `batch` does, looked up at once.

        Returns
        -------
        list of BatchOrder
        BatchOrder              their rows, one behind the other; its `pad` says nothing

        Raises
        ------
        IndexError, OptionError     as `batch`
        """
        size, full = self.batch_size, min(stop, self.epoch(pass_index, start).batches - 1)
        if self.division.parts > 1 or full - first < 2:
            made = [self.batch(pass_index, start, k) for k in range(first, stop)]
            return made, _joined(made)
        place, rows = start + first * size, (full - first) * size
        position, mx_index = self._rows(pass_index, place, place + rows, start)
        passes = np.full(rows, pass_index, np.int64)
        made = []
        for at in range(0, rows, size):
            part, key = slice(at, at + size), place + at if self._even else None
            made.append(BatchOrder(position[part], passes[part], mx_index[part], 0, key))
        whole = BatchOrder(position, passes, mx_index, 0)
        if full == stop:
            return made, whole
        rest = [self.batch(pass_index, start, k) for k in range(full, stop)]
        return [*made, *rest], _joined([whole, *rest])

    def _rows(self, pass_index: int, first: int, stop: int, start: int) -> tuple[_Int64, _Int64]:
        """Return the records at places of a pass, and seed_aug's numbers."""
        position, number = self._passes.rows(pass_index, first, stop, start, self.batch_size)
        if self._even:
            number = pass_index * self.n_records + np.arange(first, stop, dtype=np.int64)
        return position, number

    def plan(self, pass_index: int, start: int) -> ShardPlan:
        """Return who gets what of the epoch that starts at place `start` of pass `pass_index`.

        MXNet's parts but this one are taken from the start of the pass on, where "borrow" makes
        them start elsewhere.
        """
        if self._even:
            self.epoch(pass_index, start)
            return even_plan(self.division, self.n_records - start, self.n_records)
        parts = self._options.num_parts
        counts = part_lengths(self._table, parts) if parts > 1 else [self.n_records]
        equal = not lengths_ever_differ(counts, self.batch_size, self._ending)
        counts[self._options.part_index] = self.n_records - start
        made = separate_plan(counts, self.batch_size, self._ending)
        return attrs.evolve(made, equal=equal)


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
