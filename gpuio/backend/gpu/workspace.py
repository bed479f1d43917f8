"""The working memory of one batch in flight, and the ring that hands it round.

Invariant: a slot is handed out only after the *host* waited for the event behind its last reader.
JPEG engines write into a slot's arena at call time, whatever its stream is still doing; waiting on
the device would not hold them back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.backend.gpu.device import Buffer, Device
from gpuio.decode.engine import Destination, OutOfDeviceMemoryError
from gpuio.forking import lock

__all__ = ["Ring", "Slot"]

_GRAIN = 1 << 20  # bytes: arenas grow in whole MiB, and by a quarter more than asked


class Slot:
    """A stream, an arena for pixels, scratch memory, and page-locked staging for copies to them.

    Attributes
    ----------
    places : list of Destination    what the arena was cut into at the last turn that cut it
    layout : object                 how: equal where the same places serve again; None: not cut
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.stream = device.new_stream()
        self.read_done = device.new_event()
        self.keep: Any = None  # what the engine wants held until the last reader is done
        self.places: list[Destination] = []
        self.layout: Any = None
        self._buffers: dict[str, Buffer] = {}
        self._pinned: dict[str, npt.NDArray[np.uint8]] = {}

    def memory(self, name: str, nbytes: int) -> Buffer:
        """Return this slot's buffer of that name, at least `nbytes` long; contents undefined.

        Only between taking the slot and its first use: growing frees the old buffer.

        Raises
        ------
        OutOfDeviceMemoryError
        """
        buffer = self._buffers.get(name)
        if buffer is None or buffer.nbytes < nbytes:
            if name == "pixels":
                self._uncut()  # places hold the arena
            self._buffers.pop(name, None)
            del buffer
            roomy = -(-(nbytes + nbytes // 4) // _GRAIN) * _GRAIN
            try:
                made = self.device.alloc(roomy)
            except OutOfDeviceMemoryError:
                self.device.trim()
                made = self.device.alloc(max(nbytes, 1))
            self._buffers[name] = made
        return self._buffers[name]

    def staging(self, name: str, nbytes: int) -> npt.NDArray[np.uint8]:
        """Return page-locked host memory of that name, uint8[nbytes]; one use a turn."""
        pinned = self._pinned.get(name)
        if pinned is None or pinned.size < nbytes:
            self._pinned.pop(name, None)
            del pinned
            roomy = -(-(nbytes + nbytes // 4) // _GRAIN) * _GRAIN
            pinned = self._pinned[name] = self.device.pinned(roomy)
        return pinned[:nbytes]

    def _uncut(self) -> None:
        """Let go of the arena's places."""
        self.places, self.layout = [], None

    def release(self) -> None:
        """Free the memory; the caller has waited for the last reader."""
        self.keep = None
        self._uncut()
        self._buffers.clear()
        self._pinned.clear()


class Ring:
    """Slots, taken in the order they were put back, those first whose last reader is done.

    Parameters
    ----------
    device : Device
    slots : int     made before one is taken whose last reader is still at work; more are made only
                    while more are in use
    """

    def __init__(self, device: Device, slots: int) -> None:
        self._device, self._slots = device, slots
        self._lock = lock()
        self._free: list[Slot] = []
        self._made, self._closed = 0, False

    def take(self) -> Slot:
        """Return a slot nobody reads: waits, on the host, for its last reader."""
        with self._lock:
            idle = next((at for at, slot in enumerate(self._free) if slot.read_done.done()), None)
            if not self._free or (idle is None and self._made < self._slots):
                self._made += 1
                return Slot(self._device)
            slot = self._free.pop(idle or 0)
        slot.read_done.wait()
        slot.keep = None
        return slot

    def put(self, slot: Slot) -> None:
        """Give a slot back, its `read_done` recorded behind the last reader."""
        with self._lock:
            self._free.append(slot)
            closed = self._closed
        if closed:
            self.shrink()

    def shrink(self) -> None:
        """Free the memory of every slot that nobody uses, after its last reader."""
        with self._lock:
            idle, self._free = self._free, []
            self._made -= len(idle)
        for slot in idle:
            slot.read_done.wait()
            slot.release()

    def close(self) -> None:
        """Free everything, what is in use when it is put back."""
        with self._lock:
            self._closed = True
        self.shrink()
