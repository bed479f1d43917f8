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

    def take(self, front: int, pixels: int, row: int) -> int:
        """Return where the front of a slot begins; NO_ROOM if the pixels are too many bytes."""
        size = -(-pixels // _ALIGN) * _ALIGN
        if size > self.left:
            return NO_ROOM
        place = self._fronts.take(front, 0, row)
        if place != NO_ROOM:
            self.apart[row] = self._next
            self._next += size
        return place

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
