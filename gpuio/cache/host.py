"""Slots in this process's own memory: taken piece by piece, as records come, freed together."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gpuio.cache.store import NO_ROOM

__all__ = ["HostMemory"]

_Ints = npt.NDArray[np.int64]

_PIECE = 64 << 20  # bytes taken from the system at once


class HostMemory:
    """Memory for slots: see `gpuio.cache.store.Memory`.

    Parameters
    ----------
    rows : int              of the table
    capacity : int          bytes at most, the index's own among them
    """

    base = 0  # offsets are addresses
    kept = False  # what was stored ends with the process
    path = ""
    apart = np.zeros(0, np.int64)

    def __init__(self, rows: int, capacity: int) -> None:
        self.offsets = np.zeros(rows, np.int64)
        self.states = np.zeros(rows, np.uint8)
        self._left = max(0, capacity - self.offsets.nbytes - self.states.nbytes)
        self._pieces: list[mmap.mmap] = []
        self._next = self._end = 0
        self._nbytes = self.offsets.nbytes + self.states.nbytes

    @property
    def nbytes(self) -> int:
        """Bytes taken from the system so far."""
        return self._nbytes

    @property
    def left(self) -> int:
        """Bytes that may still be taken."""
        return self._left + self._end - self._next

    def take(
        self,
        fronts: _Ints,
        pixels: _Ints,
        positions: _Ints,  # noqa: ARG002 -- see Memory
    ) -> _Ints:
        """Return where slots of so many bytes begin; NO_ROOM where they are too many."""
        sizes = fronts + pixels
        stops = self._next + np.cumsum(sizes)
        if stops[-1] > self._end:
            return np.array([self._taken(nbytes) for nbytes in sizes.tolist()], np.int64)
        self._next = int(stops[-1])
        begun: _Ints = stops - sizes
        return begun

    def _taken(self, nbytes: int) -> int:
        """Return where a slot of so many bytes begins; NO_ROOM if they are too many."""
        if nbytes > self._end - self._next:
            size = min(max(_PIECE, nbytes), self._left)
            if nbytes > size:
                return NO_ROOM
            try:
                piece = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            except OSError:
                self._left = 0
                return NO_ROOM
            if hasattr(mmap, "MADV_HUGEPAGE"):  # a fault for each 2 MiB, not for each 4 KiB
                with contextlib.suppress(OSError):
                    piece.madvise(mmap.MADV_HUGEPAGE)
            self._pieces.append(piece)
            self._left -= size
            self._nbytes += size
            self._next = np.frombuffer(piece, np.uint8).ctypes.data
            self._end = self._next + size
        place = self._next
        self._next += nbytes
        return place

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Return at once: nobody else has this memory."""
        yield

    def ask(self, offsets: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> None:
        """Do nothing: it is memory."""

    def close(self) -> None:
        """Free all of it."""
        pieces, self._pieces = self._pieces, []
        self._left = self._next = self._end = self._nbytes = 0
        self.offsets, self.states = np.zeros(0, np.int64), np.zeros(0, np.uint8)
        for piece in pieces:
            piece.close()
