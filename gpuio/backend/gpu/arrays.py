"""Arrays in a GPU's memory: allocated, filled from the host, used again after their last reader.

All device work goes through `gpuio.backend.gpu.device.Device`. The backend that makes batches
(`gpuio.backend.gpu.backend`) is this and a decode engine.

Invariant: nothing is decoded into, copied over or freed before the host waited for its last reader
(see `workspace`), and no batch is written before its stream waits for the readers of what was there
before (see `lease`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.backend.gpu.device import Device
from gpuio.backend.gpu.lease import BatchPool, Lease
from gpuio.backend.gpu.probe import array_gaps, missing_text, survey
from gpuio.backend.gpu.workspace import Ring, Slot
from gpuio.decode.engine import OutOfDeviceMemoryError
from gpuio.errors import BackendError, ClosedError, GpuioError

__all__ = ["GpuArrays", "address_of", "open_arrays"]

_KEEP = 6  # buffers of single arrays, for each size
_SLOTS = 3  # one decoded into, one read by its kernels, one to spare


class GpuArrays:
    """Arrays on one GPU.

    Parameters
    ----------
    device_id : int         number of the GPU
    keep : int              buffers kept for reuse, for each size
    device : Device         an open one
    """

    def __init__(self, device_id: int, *, keep: int, device: Device) -> None:
        self.device_id = device_id
        self._closed = False
        self._device: Device = device
        self._ring = Ring(device, _SLOTS)
        self._pool = BatchPool(device, keep)

    def allocate(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Return a device array of undefined contents that lives until its last reference dies."""
        with self._boundary():
            return self._allocate(shape, dtype)

    def put(self, host: npt.ArrayLike) -> Any:
        """Copy a host array to the device, and wait until it is there.

        The copy runs on a stream of ours, which nobody else's stream is ordered behind: an array
        that leaves gpuio must be complete.
        """
        values = np.ascontiguousarray(host)
        with self._boundary():
            made = self._allocate(values.shape, values.dtype.name)
            with self._turn(made) as slot:
                if values.size:
                    host = np.frombuffer(values.data.cast("B"), np.uint8)
                    self._upload(slot, address_of(made), host)
            made.wait_to_read()
            return made

    def _upload(self, slot: Slot, address: int, host: npt.NDArray[np.uint8]) -> None:
        """Queue a copy of host memory, which is free again when this returns."""
        staged = slot.staging("tables", host.nbytes)
        staged[:] = host
        self._device.upload(address, staged, slot.stream)

    def fence(self, batch: Any) -> None:
        """Wait, on the host, until a batch's arrays (or one array) are complete."""
        with self._boundary():
            for array in batch if isinstance(batch, (list, tuple)) else (batch,):
                array.wait_to_read()

    def close(self) -> None:
        """Release everything but the arrays that somebody holds; may be called twice."""
        if not self._closed:
            self._closed = True
            self._ring.close()
            self._pool.close()

    def _allocate(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Take batch memory, making room once if there is none."""
        try:
            return self._pool.array(shape, dtype)
        except OutOfDeviceMemoryError:
            self._make_room()
        try:
            return self._pool.array(shape, dtype)
        except OutOfDeviceMemoryError as error:
            raise self._full(f"a batch of shape {shape} and dtype {dtype}", error) from error

    @contextlib.contextmanager
    def _turn(self, out: Any) -> Iterator[Slot]:
        """Hold a slot while its stream is given work that writes `out`, and mark the work's end."""
        lease: Lease = out._lease  # noqa: SLF001 -- the array type is ours
        slot = self._ring.take()
        try:
            with self._device.current(slot.stream):
                lease.begin(slot.stream)
                yield slot
        finally:
            # also after an error: part of the work may be queued, and it writes `out`
            ready = self._device.new_event()
            ready.record(slot.stream)
            lease.written(ready)
            slot.read_done.record(slot.stream)
            self._ring.put(slot)

    @contextlib.contextmanager
    def _boundary(self) -> Iterator[None]:
        """Refuse a closed backend, and turn CUDA's errors into ours."""
        if self._closed:
            raise ClosedError("the GPU backend is closed")
        try:
            yield
        except (GpuioError, OutOfDeviceMemoryError):
            raise
        except RuntimeError as error:
            raise BackendError(
                f"GPU {self.device_id}: {type(error).__name__}: {error}; run `gpuio doctor`"
            ) from error

    def _make_room(self) -> None:
        """Free what nobody uses: idle slots, free batches, the array library's pool."""
        self._ring.shrink()
        self._pool.drop()
        self._device.trim()

    def _full(
        self,
        what: str,
        error: OutOfDeviceMemoryError,
        use: str = "a smaller batch_size, fewer preprocess_threads or a smaller prefetch_buffer",
    ) -> BackendError:
        """Describe a full GPU, with sizes, and what to use instead."""
        free, total = self._device.memory()
        wanted = f"{error.wanted_bytes / 2**20:,.0f} MiB asked for, " if error.wanted_bytes else ""
        return BackendError(
            f"GPU {self.device_id} is out of memory for {what}: {wanted}{free / 2**20:,.0f} of "
            f"{total / 2**20:,.0f} MiB free ({error}); use {use}, or free what else is on this GPU"
        )


def open_arrays(device_id: int) -> GpuArrays:
    """Open a GPU for single arrays: of all packages it needs CuPy only, and it opens no engine.

    Raises
    ------
    BackendError        a driver, that GPU or CuPy is missing
    """
    found = array_gaps(survey(), device_id)
    if found:
        raise BackendError(missing_text(device_id, found))
    from gpuio.backend.gpu.cuda import CudaDevice

    return GpuArrays(device_id, keep=_KEEP, device=CudaDevice(device_id, kernels=False))


def address_of(array: Any) -> int:
    """Return where an array's memory starts."""
    data = array.data
    return int(data.ptr) if hasattr(data, "ptr") else int(array.ctypes.data)
