"""Slots whose pixels lie in a device's memory: one arena, filled from its beginning.

What else a slot holds, some hundred bytes, is in the host's memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.cache.host import HostMemory
from gpuio.cache.store import NO_ROOM

__all__ = ["DeviceMemory"]

_Ints = npt.NDArray[np.int64]

_ALIGN = 256  # bytes, as device memory is: engines and kernels want no less


class DeviceMemory:
    """Memory for slots: see `gpuio.cache.store.Memory`.

    Parameters
    ----------
    rows : int          of the table
    address : int       of the arena, a multiple of 256
    capacity : int      its bytes
    owner : Any         whose death frees it
    """

    base = 0
    kept = False
    path = ""

    def __init__(self, rows: int, address: int, capacity: int, owner: Any) -> None:
        self._fronts = HostMemory(rows, 1 << 62)
        self.offsets, self.states = self._fronts.offsets, self._fronts.states
        self.apart = np.zeros(rows, np.int64)
        self._first = self._next = address
        self._end, self._owner = address + capacity, owner

    @property
    def nbytes(self) -> int:
        """Bytes of the arena that are taken."""
        return self._next - self._first

    @property
    def left(self) -> int:
        """Bytes of the arena that may still be taken."""
        return self._end - self._next

    def take(self, fronts: _Ints, pixels: _Ints, positions: _Ints) -> _Ints:
        """Return where the fronts of slots begin; NO_ROOM where the pixels are too many bytes."""
        places = np.full(len(pixels), NO_ROOM, np.int64)
        sizes = (-(-pixels // _ALIGN) * _ALIGN).tolist()
        for k, size in enumerate(sizes):
            if size > self.left:
                continue
            one = slice(k, k + 1)
            places[one] = self._fronts.take(fronts[one], np.zeros(1, np.int64), positions[one])
            if places[k] != NO_ROOM:
                self.apart[positions[k]] = self._next
                self._next += size
        return places

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Return at once: nobody else has this memory."""
        yield

    def ask(self, offsets: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> None:
        """Do nothing: it is memory."""

    def close(self) -> None:
        """Free all of it; nothing reads it any more."""
        self._fronts.close()
        self.offsets, self.states = self._fronts.offsets, self._fronts.states
        self.apart = np.zeros(0, np.int64)
        self._first = self._next = self._end = 0
        self._owner = None
