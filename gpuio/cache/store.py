"""Which records are decoded already, and where: a table of slots that iterators share.

A row of the record table is empty, claimed by somebody who decodes it, ready, or refused: decoding
all of its image failed, though a part of it may be good. What is ready stays where it is until the
last iterator closes, so an address that was found is good until then.

Invariant: a row is ready only after all of its slot was written. Which rows there is room for
depends on their places in the table alone.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from typing import Protocol

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.forking import lock

__all__ = ["HEADS", "NO_ROOM", "Claim", "Found", "Memory", "Store"]

_Ints = npt.NDArray[np.int64]

NO_ROOM = -1

_log = logging.getLogger("gpuio")

# what stands in front of a record's image, in memory: address and bytes of it, and the bytes of
# the record as it is stored; zeros: it is not known
HEADS = np.dtype([("address", np.int64), ("size", np.int64), ("length", np.int64)])


class Memory(Protocol):
    """Where slots lie.

    Attributes
    ----------
    base : int              address that offsets are counted from
    offsets : int64[rows]   of each row's slot; 0: it has none
    states : uint8[rows]    see `gpuio.kernels.slots`
    apart : int64[rows] or [0]
                            addresses of the pixels where they do not lie in the slots
    kept : bool             slots outlive the process, so they are summed and checked
    path : str              of its file, "" where there is none
    """

    base: int
    offsets: _Ints
    states: npt.NDArray[np.uint8]
    apart: _Ints
    kept: bool
    path: str

    @property
    def nbytes(self) -> int:
        """Bytes taken from the machine so far."""

    @property
    def left(self) -> int:
        """Bytes that may still be taken."""

    def take(self, fronts: _Ints, pixels: _Ints, positions: _Ints) -> _Ints:
        """Return the offsets at which slots begin; NO_ROOM for one too large. Inside of `alone`.

        Parameters
        ----------
        fronts, pixels : int64[k]   bytes in front of the pixels, and of them
        positions : int64[k]        rows of the table
        """

    def alone(self) -> AbstractContextManager[None]:
        """Keep other processes from taking and claiming meanwhile."""

    def ask(self, offsets: _Ints, sizes: _Ints) -> None:
        """Ask the system for ranges that will be read soon, where they may lie on a disk."""

    def close(self) -> None:
        """Let the memory go; may be called twice."""


@attrs.frozen(eq=False)
class Found:
    """Slots of a batch's rows; zeros where a row is not ready.

    Attributes
    ----------
    slots : int64[n]        addresses
    heads : int64[n]        addresses of the records' first bytes
    lengths : int64[n]      bytes of the whole records
    pixels : int64[n]       addresses of uint8[height, width, channels]
    """

    slots: _Ints
    heads: _Ints
    lengths: _Ints
    pixels: _Ints

    @classmethod
    def none(cls, rows: int) -> Found:
        """Return rows of which none is ready."""
        return cls(*np.zeros((4, rows), np.int64))

    @property
    def hits(self) -> npt.NDArray[np.bool_]:
        """Which rows are ready."""
        hits: npt.NDArray[np.bool_] = self.slots != 0
        return hits

    @property
    def facts(self) -> _Ints:
        """Addresses of the images' HEADERs; 0 where a row is not ready."""
        from gpuio.kernels.slots import SLOT

        assert SLOT.fields is not None
        return np.where(self.slots != 0, self.slots + SLOT.fields["kind"][1], 0)

    def without(self, rows: npt.NDArray[np.bool_]) -> Found:
        """Return the same without some rows."""
        every = (self.slots, self.heads, self.lengths, self.pixels)
        return Found(*(np.where(rows, 0, one) for one in every))

    def put(self, rows: _Ints, some: Found) -> None:
        """Take what was found of some rows, k of the n."""
        self.slots[rows], self.heads[rows] = some.slots, some.heads
        self.lengths[rows], self.pixels[rows] = some.lengths, some.pixels


@attrs.frozen(eq=False)
class Claim:
    """Rows that somebody decodes now, for all.

    Attributes
    ----------
    positions : int64[n]    rows of the table, of a share
    rows : int64[k]         those of the n that are claimed
    slots : int64[k]        addresses
    pixels : int64[n]       addresses that the share's whole images are to be left at; 0: none. In
                            a device's memory 1 is added where they are left in R G B order
    """

    positions: _Ints
    rows: _Ints
    slots: _Ints
    pixels: _Ints


class Store:
    """The slots of one source, and who is at work on which.

    Parameters
    ----------
    memory : Memory         closed with the store
    """

    def __init__(self, memory: Memory) -> None:
        from gpuio.kernels import slots

        self._kernels, self.memory = slots, memory
        self._lock = lock()
        self._refused = 1 << 62  # bytes: the smallest slot that there was no room for
        self._said_damaged = False
        # what another process, or another day, has left: looked at when it is first found
        self._inherited = memory.states == slots.READY if memory.kept else None

    def find(self, positions: _Ints) -> Found | None:
        """Return the slots of rows of the table; -1 is no row. None where none is ready.

        What another process, or another day, has left is read and compared with its sum.
        """
        found = self._looked_up(positions)
        if found is None or self._inherited is None:
            return found
        found = found.without(self._wrong(positions, found))
        return found if found.slots.any() else None

    def _looked_up(self, positions: _Ints) -> Found | None:
        """Return the slots of rows; the first page of each is read, and it may be a wrong one."""
        found, memory = Found.none(len(positions)), self.memory
        count = self._kernels.find_slots(
            memory.base,
            memory.offsets,
            memory.states,
            memory.apart,
            positions,
            found.slots,
            found.heads,
            found.lengths,
            found.pixels,
        )
        return found if count else None

    def has(self, positions: _Ints) -> npt.NDArray[np.bool_]:
        """Say which rows of the table are ready; -1 is no row. Not that each is as it was written.

        Nothing of the slots is looked at.
        """
        ready: npt.NDArray[np.bool_] = self.memory.states[positions] == self._kernels.READY
        return ready & (positions >= 0)

    def fetch(self, positions: _Ints, *, ahead: bool) -> Found | None:
        """Return what `find` does, and bring the pixels into memory.

        Parameters
        ----------
        positions : int64[n]    rows of the table
        ahead : bool            ask the system for all of them before the first is waited for
        """
        kernels, memory = self._kernels, self.memory
        offsets = memory.offsets[positions[self.has(positions)]]
        if ahead:
            memory.ask(offsets, np.full(len(offsets), kernels.FRONT))
        found = self._looked_up(positions)
        if found is None:
            return None
        if ahead:  # of what was never checked the sizes may be anything
            rooms = memory.nbytes - offsets
            sizes = kernels.FRONT + kernels.sizes(memory.base + offsets)
            memory.ask(offsets, np.clip(sizes, 0, rooms))
        if self._inherited is not None:
            found = found.without(self._wrong(positions, found))
        at = np.flatnonzero(found.slots)
        kernels.touch(found.pixels[at], kernels.sizes(found.slots[at]))
        return found if len(at) else None

    def _wrong(self, positions: _Ints, found: Found) -> npt.NDArray[np.bool_]:
        """Say which rows are not as they were written, of those that were never looked at."""
        assert self._inherited is not None
        lost = np.zeros(len(positions), np.bool_)
        rows = np.flatnonzero((found.slots != 0) & self._inherited[positions])
        if not len(rows):
            return lost
        kernels, memory = self._kernels, self.memory
        at = positions[rows]
        wrong = np.zeros(len(rows), np.uint8)
        rooms = memory.nbytes - memory.offsets[at]
        if kernels.check_slots(found.slots[rows], at, rooms, wrong):
            with self._lock, memory.alone():
                memory.offsets[at[wrong != 0]], memory.states[at[wrong != 0]] = 0, kernels.EMPTY
                said, self._said_damaged = self._said_damaged, True
            if not said:
                _log.warning(
                    "cache: images in %s are damaged, record %d of the set first; all that are "
                    "found so are decoded again",
                    *(memory.path, at[wrong != 0][0]),
                )
            lost[rows[wrong != 0]] = True
        self._inherited[at] = False
        return lost

    def claim(
        self,
        positions: _Ints,
        sizes: _Ints,
        heads: npt.NDArray[np.void],
        headers: npt.NDArray[np.void],
        share: float = 1.0,
    ) -> Claim | None:
        """Take the rows that are to be kept and nobody has; None where there are none, or no room.

        Parameters
        ----------
        positions : int64[n]    rows of the table; -1: no row
        sizes : int64[n]        bytes of the decoded images; 0: not to be kept
        heads : HEADS[n]        address 0: not to be kept
        headers : HEADER[n]     JPEGs without their end are not kept
        share : float           of the table's rows to keep, evenly spread; 1: all
        """
        kernels, memory = self._kernels, self.memory
        rows, words = np.empty(len(positions), np.int64), heads.view(np.int64).reshape(-1, 3)
        asked = (positions, sizes, words, headers, share)
        if not kernels.claim_rows(*asked, self._refused, memory.states, False, rows):
            return None
        with self._lock, memory.alone():  # by now another thread or process may have some of them
            count = kernels.claim_rows(*asked, self._refused, memory.states, True, rows)
            rows = self._placed(rows[:count], positions, sizes, heads)
            offsets = memory.offsets[positions[rows]]
        if not len(rows):
            return None
        slots = memory.base + offsets
        fields = np.ascontiguousarray(headers).view(np.int32).reshape(len(headers), -1)
        kernels.note_slots(rows, slots, positions, sizes, words, fields)
        pixels = np.zeros(len(positions), np.int64)
        if len(memory.apart):
            pixels[rows] = memory.apart[positions[rows]]
        else:
            pixels[rows] = slots + kernels.FRONT + _whole(heads["size"][rows])
        return Claim(positions, rows, slots, pixels)

    def _placed(
        self, rows: _Ints, positions: _Ints, sizes: _Ints, heads: npt.NDArray[np.void]
    ) -> _Ints:
        """Give the rows just claimed that have no slot one; return those that have one then."""
        memory, at = self.memory, positions[rows]
        new = memory.offsets[at] == 0
        if not new.any():
            return rows
        which, at = rows[new], at[new]
        fronts = self._kernels.FRONT + _whole(heads["size"][which])
        pixels = _whole(sizes[which])
        offsets = memory.take(fronts, pixels, at)
        none = offsets == NO_ROOM
        if not none.any():
            memory.offsets[at] = offsets
            return rows
        memory.offsets[at[~none]] = offsets[~none]
        memory.states[at[none]] = self._kernels.EMPTY
        self._refused = min(self._refused, int((fronts + pixels)[none].min()))
        placed: _Ints = rows[memory.offsets[positions[rows]] != 0]
        return placed

    def settle(self, claim: Claim, kept: npt.NDArray[np.bool_], tried: bool) -> None:
        """Say what became of claimed rows.

        Parameters
        ----------
        claim : Claim
        kept : bool[n]      of the share: whose pixels are complete
        tried : bool        the others cannot be decoded; else nobody has tried
        """
        kernels, memory = self._kernels, self.memory
        if memory.kept:
            kernels.sum_slots(np.where(kept[claim.rows], claim.slots, 0))
        with self._lock, memory.alone():
            if len(memory.apart):
                memory.apart[claim.positions[claim.rows]] = claim.pixels[claim.rows]
            kernels.settle_rows(claim.rows, claim.positions, kept, tried, memory.states)

    @property
    def ready(self) -> int:
        """How many rows are ready."""
        return int(np.count_nonzero(self.memory.states == self._kernels.READY))

    def close(self) -> None:
        """Let the memory go; may be called twice."""
        with self._lock:
            self.memory.close()


def _whole(size: _Ints) -> _Ints:
    """Return bytes rounded up to what slots are aligned to."""
    from gpuio.kernels.slots import ALIGN

    return -(-size // ALIGN) * ALIGN
