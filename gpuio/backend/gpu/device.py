"""The few calls that the GPU backend makes on a device, so that tests can stand in for one.

Order on a device: work queued on one stream runs in its order; an event recorded on a stream is
complete once everything queued before it has run. `Event.wait` waits on the host; `Device.order`
makes a stream wait, the host goes on. JPEG engines ignore streams and see host waits only.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Buffer", "Device", "Event", "Stream"]


class Stream(Protocol):
    """A queue of work; `ptr` is its handle."""

    @property
    def ptr(self) -> int:
        """Return the handle, as libraries take it."""


class Event(Protocol):
    """A mark in a stream."""

    def record(self, stream: Stream) -> None:
        """Mark the stream's end as it is now."""

    def wait(self) -> None:
        """Wait, on the host, until everything before the mark has run; at once if never marked."""

    def done(self) -> bool:
        """Say whether everything before the mark has run."""


class Buffer(NamedTuple):
    """Device memory: its first byte, its size, and the object whose death frees it."""

    address: int
    nbytes: int
    owner: Any


class Device(Protocol):
    """One GPU. Every method may be called from several threads at once."""

    id: int

    def selected(self) -> AbstractContextManager[Any]:
        """Make this device current for the calling thread, its stream as it is.

        Decode engines are of the device that is current when they are opened, used and closed.
        """

    def current(self, stream: Stream) -> AbstractContextManager[Any]:
        """Make this device and a stream current for the calling thread."""

    def new_stream(self) -> Stream:
        """Return a stream that is independent of the default stream."""

    def new_event(self) -> Event:
        """Return an event, not recorded yet."""

    def alloc(self, nbytes: int) -> Buffer:
        """Return memory that no stream-ordered pool recycles, aligned to 256 bytes.

        Raises
        ------
        OutOfDeviceMemoryError
        """

    def alloc_output(self, nbytes: int) -> Buffer:
        """Return memory for batches, from the array library's own pool.

        Raises
        ------
        OutOfDeviceMemoryError
        """

    def pinned(self, nbytes: int) -> npt.NDArray[np.uint8]:
        """Return page-locked host memory: copies from it do not stall the host."""

    def view(self, buffer: Buffer, offset: int, pixels: int, channels: int) -> Any:
        """Return uint8[1, pixels, channels] over a buffer, as decode engines take it."""

    def array(self, buffer: Buffer, lease: Any, shape: tuple[int, ...], dtype: str) -> Any:
        """Return an array over a buffer; whatever shares its memory keeps `lease` alive."""

    def upload(self, address: int, host: npt.NDArray[Any], stream: Stream) -> None:
        """Queue a copy of contiguous host memory; leave it unchanged until the stream is there."""

    def copy(self, target: int, source: int, nbytes: int, stream: Stream) -> None:
        """Queue a copy between two addresses of the device, or of page-locked host memory."""

    def launch(
        self, name: str, grid: tuple[int, ...], block: tuple[int, ...], args: Any, stream: Stream
    ) -> None:
        """Queue a kernel."""

    def order(self, stream: Stream | int, event: Event) -> None:
        """Make a stream (or a handle of one) wait for an event; the host goes on.

        Handles 1 and 2, the default streams, are those of this device.
        """

    def record_here(self, handles: set[int]) -> list[Event]:
        """Return events on streams of others: the default one, this thread's, and `handles`."""

    def synchronize(self) -> None:
        """Wait, on the host, for everything."""

    def memory(self) -> tuple[int, int]:
        """Return (free, total) bytes."""

    def trim(self) -> None:
        """Give free memory of the array library's pool back to the device."""
