"""Passes: the order in which MXNet visits the records of a part, visit after visit.

A pass is a row of chunks and, when shuffled, a permutation inside each: one chunk for a part with
an index, chunks of at most 8 MiB without. MXNet's generators run on from pass to pass, so pass p is
found by replaying the draws of the passes before it; the latest ones are kept.

Invariant: a pass is the same whichever passes were asked for before it.
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.options.record import RecordOptions
from gpuio.order.part import Table, byte_positions, chunk_starts, part
from gpuio.order.replay import Replay
from gpuio.order.rng import (
    COMPILED_FROM,
    Mersenne,
    draw_and_shuffle,
    draw_below,
    run_sizes,
    shuffle,
    skip_below,
)

__all__ = ["Passes", "open_passes"]

_CHUNK_SEED = 666  # MXNet's constant, added to shuffle_chunk_seed
_WORTH_A_LEAP = 2_000_000, 256  # draws or passes; below, loading Numba costs more than it saves
_DRAWS_AT_ONCE = 20_000_000  # some 0.1 s, then an interrupt is heard
_PASSES_KEPT = 3  # this one, the next one for borrowed rows, and the one just left

_Rows = npt.NDArray[np.int64]
# chunks: starts, lengths; what moves records, or the records moved
_Drawn = tuple[_Rows, _Rows, npt.NDArray[np.uint32] | npt.NDArray[np.int32]]


@attrs.frozen(eq=False)
class _Pass:
    """One pass: where each chunk begins in it and in the table; the records in their order."""

    offsets: _Rows  # [chunks]: place in the pass of a chunk's first record
    starts: _Rows  # [chunks]: row of the table of a chunk's first record before shuffling
    shuffled: npt.NDArray[np.int32] | None  # [n]: rows of the table; None if chunks stand as stored


@attrs.frozen(eq=False)
class _State:
    """What the next pass is drawn from."""

    groups: npt.NDArray[np.int32]  # the order in which the pass before visited the groups
    group_source: Any  # state of the generator that shuffles the groups
    record_source: Any  # state of the generator that shuffles the records of a chunk


class Passes:
    """All passes over the records of one part.

    Parameters
    ----------
    groups : list of list of int    per group of chunks (they are visited in shuffled order if there
                                    are several): the first row of each chunk, then the last one's
                                    end
    shuffle : bool                  shuffle the records inside each chunk
    in_batch : bool                 MXNet numbers records by their row in the batch (with an index),
                                    not by their place in the chunk
    carries : bool                  with in_batch: what the last batch of a pass lacked is read
                                    first in the next pass, by itself (see `rows`)
    record_seed, group_seed : int   of the two generators
    """

    def __init__(
        self,
        groups: list[list[int]],
        *,
        shuffle: bool,
        in_batch: bool,
        carries: bool,
        record_seed: int,
        group_seed: int,
    ) -> None:
        self._groups = [np.array(group, np.int64) for group in groups]
        self._shuffle, self._in_batch, self._carries = shuffle, in_batch, carries
        self.n_records = sum(int(group[-1] - group[0]) for group in self._groups)
        self._group_source, self._record_source = Mersenne(group_seed), Mersenne(record_seed)
        order = np.arange(len(groups), dtype=np.int32)
        first = _State(order, self._group_source.state, self._record_source.state)
        self._replay = Replay(0, first, self._draw, self._make, kept=_PASSES_KEPT, leap=self._leap)

    def rows(
        self, pass_index: int, first: int, stop: int, start: int, batch_size: int
    ) -> tuple[_Rows, _Rows]:
        """Return the records at places first .. stop-1 of a pass.

        Parameters
        ----------
        pass_index : int            >= 0
        first, stop : int           0 <= first <= stop <= n_records
        start, batch_size : int     a batch begins at place `start` of this pass, and every
                                    `batch_size` places from there in both directions

        Returns
        -------
        position : int64[stop - first]      rows of the table
        mx_index : int64[stop - first]      what MXNet adds to seed_aug: see `BatchOrder`

        Notes
        -----
        With an index MXNet reads batch by batch, and numbers a record by where its reading begins
        in the batch and its place in that reading. The splitter of dmlc (`n_overflow_`) remembers
        over the end of a pass how many records its last reading lacked, and asks for that many
        first. With round_batch they complete the batch that lacked them. Without, they begin a
        batch, and every later reading of the pass lies across two batches: the rows that it leaves
        for the second one have numbers of `batch_size` and more.
        """
        now = self._pass(pass_index)
        places = np.arange(first, stop, dtype=np.int64)
        if now.shuffled is not None and self._in_batch:  # whatever the chunks are
            return now.shuffled[first:stop].astype(np.int64), self._in_batches(
                pass_index, places, start, batch_size
            )
        chunk = np.searchsorted(now.offsets, places, side="right") - 1
        offsets, starts = now.offsets[chunk], now.starts[chunk]
        if now.shuffled is None:
            position = starts + places - offsets
        else:
            position = now.shuffled[first:stop].astype(np.int64)
        if self._in_batch:
            return position, self._in_batches(pass_index, places, start, batch_size)
        if now.shuffled is not None:
            return position, batch_size + position - starts
        return position, (offsets - start) % batch_size + places - offsets

    def _in_batches(self, pass_index: int, places: _Rows, start: int, batch_size: int) -> _Rows:
        """Return MXNet's numbers of records with an index: see the notes of `rows`."""
        if self._carries and (lacked := -pass_index * self.n_records % batch_size):
            return np.where(places < lacked, places, lacked + (places - lacked) % batch_size)
        return (places - start) % batch_size

    def chunks(self, pass_index: int) -> tuple[_Rows, _Rows]:
        """Return the chunks of a pass in the order in which it visits them.

        Returns
        -------
        starts, lengths : int64[chunks]     the first row of the table of each, and its records
        """
        now = self._pass(pass_index)
        return now.starts, np.diff(now.offsets, append=self.n_records)

    def reach(self, pass_index: int) -> None:
        """Draw what stands before a pass, so that asking for its records takes no longer."""
        if self._shuffle or len(self._groups) > 1:
            self._replay.reach(pass_index)

    def _leap(self, at: int, state: _State, wanted: int) -> tuple[int, _State]:
        """Pass over the draws of some passes at once, where each has the same chunks in order."""
        if len(self._groups) != 1 or not self._shuffle:
            return at, state
        sizes = run_sizes(np.diff(self._groups[0]))
        passes = min(wanted - at, max(_DRAWS_AT_ONCE // max(len(sizes), 1), 1))
        draws, many = _WORTH_A_LEAP
        if len(sizes) and passes * len(sizes) < draws and passes < many:
            return at, state
        self._record_source.state = state.record_source
        if len(sizes):
            skip_below(self._record_source, sizes, passes)
        return at + passes, attrs.evolve(state, record_source=self._record_source.state)

    def _pass(self, pass_index: int) -> _Pass:
        """Return a pass, from those kept or by replay."""
        drawn = self._shuffle or len(self._groups) > 1
        return self._replay.result(pass_index if drawn else 0)

    def _draw(self, pass_index: int, state: _State) -> tuple[_Drawn, _State, int]:
        """Draw one pass: its chunks and draws, the state after it, and the next pass."""
        order, groups_after = state.groups, state.group_source
        self._record_source.state = state.record_source
        if len(order) > 1:
            order, self._group_source.state = order.copy(), groups_after
            shuffle(order, draw_below(self._group_source, run_sizes(np.array([len(order)]))))
            groups_after = self._group_source.state
        visited = [self._groups[group] for group in order]
        starts = np.concatenate([group[:-1] for group in visited])
        lengths = np.concatenate([np.diff(group) for group in visited])
        draws: npt.NDArray[np.uint32] | npt.NDArray[np.int32] = np.empty(0, np.uint32)
        if self._shuffle and self.n_records >= COMPILED_FROM:
            draws = self._stored(starts, lengths)  # at once: draws would take twice their memory
            draw_and_shuffle(self._record_source, draws, lengths)
        elif self._shuffle and len(lengths):
            draws = draw_below(self._record_source, run_sizes(lengths))
        after = _State(order, groups_after, self._record_source.state)
        return (starts, lengths, draws), after, pass_index + 1

    def _make(self, drawn: _Drawn) -> _Pass:
        """Carry out what was drawn."""
        starts, lengths, draws = drawn
        offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)[: len(starts)]
        if not self._shuffle:
            return _Pass(offsets, starts, None)
        if draws.dtype == np.int32:
            return _Pass(offsets, starts, draws.view(np.int32))
        rows = self._stored(starts, lengths)
        shuffle(rows, draws.view(np.uint32), lengths)
        return _Pass(offsets, starts, rows)

    def _stored(self, starts: _Rows, lengths: _Rows) -> npt.NDArray[np.int32]:
        """Return the rows of the table in the order of the chunks, int32[n]."""
        if len(starts) == 1:
            return np.arange(starts[0], starts[0] + self.n_records, dtype=np.int32)
        offsets = np.cumsum(lengths) - lengths
        rows: npt.NDArray[np.int32] = np.repeat((starts - offsets).astype(np.int32), lengths)
        rows += np.arange(self.n_records, dtype=np.int32)
        return rows


def open_passes(table: Table, options: RecordOptions) -> Passes:
    """Return the passes over the part that the options name.

    Parameters
    ----------
    table : RecordTable
    options : RecordOptions         num_parts, part_index, shuffle, seed, shuffle_chunk_size,
                                    shuffle_chunk_seed, round_batch, last_batch
    """
    parts, index = options.num_parts, options.part_index
    total = int(table.sizes.sum())
    group_count = 1
    if options.shuffle_chunk_size > 0 and not table.indexed:
        chunk_bytes = parts * (options.shuffle_chunk_size << 20)
        group_count = max(1, math.ceil(total * 1.1 / chunk_bytes))
    if table.indexed:
        members = part(table, parts, index)
        groups = [[members.start, members.stop] if members.start < members.stop else [0]]
    else:
        places = byte_positions(table)
        groups = []
        for member in range(index * group_count, (index + 1) * group_count):
            cut = part(table, parts * group_count, member, places=places)
            end = int(places[cut.stop]) if cut.stop < len(places) else total
            groups.append(chunk_starts(places, cut.start, cut.stop, end))
    return Passes(
        groups,
        shuffle=options.shuffle is True,
        in_batch=table.indexed,
        carries=options.ending == "pad",  # MXNet has no other ending without round_batch
        record_seed=options.order_seed + options.seed,
        group_seed=_CHUNK_SEED + index + parts + group_count + options.shuffle_chunk_seed,
    )
