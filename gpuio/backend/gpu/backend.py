"""Make batches on a GPU: JPEG engine, one pass of kernels, arrays that know when they are ready.

Small images, and what the engine refuses, are decoded by the host and uploaded in one copy, so that
one bad record costs its own row and nothing else; an engine that refuses whole batches makes way
for another.
All device work goes through `gpuio.backend.gpu.device.Device`.

Invariant: nothing is decoded into, copied over or freed before the host waited for its last reader
(see `slot`), and no batch is written before its stream waits for the readers of what was there
before (see `lease`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.backend.gpu import routing
from gpuio.backend.gpu.device import Device
from gpuio.backend.gpu.engines import EnginePool, choose_engine, engine_opener
from gpuio.backend.gpu.host import HostDecoder
from gpuio.backend.gpu.lease import BatchPool, Lease
from gpuio.backend.gpu.probe import Gap, gaps, survey
from gpuio.backend.gpu.routing import Decoders, Sources
from gpuio.backend.gpu.workspace import Ring, Slot
from gpuio.backend.protocol import Encoded, Fault, Output
from gpuio.decode.engine import Engine, OutOfDeviceMemoryError
from gpuio.errors import BackendError, ClosedError, GpuioError
from gpuio.kernels.cuda.compile import LaunchPlan, Mixing, compiled_pass

__all__ = ["GpuBackend"]

_log = logging.getLogger("gpuio")
_SLOTS = 3  # one decoded into, one read by its kernels, one to spare


class GpuBackend:
    """Decode and augment on one GPU.

    Parameters
    ----------
    device_id : int             number of the GPU
    keep : int                  batch buffers kept for reuse, for each size
    decoder : {"auto", "dali", "nvimgcodec"}
    decoders : int              engines at most, >= 1
    hw_decoder_load : float     share of a batch that the JPEG engines take, 0 to 1
    decoder_room : int          side of the image they get room for at their start, 0 = their choice
    host_pixels : int, optional the host decodes images of fewer pixels, `routing.HOST_PIXELS` if it
                                is not said; 0 = only those that the engine does not take
    device : Device, optional   another device than the GPU of that number, for tests
    open_engine : callable, optional
                                another decode engine, for tests
    open_rescue : callable, optional
                                and another than nvImageCodec that takes over from an engine when
                                it refuses a batch as a whole, as DALI does for one bad image

    Raises
    ------
    BackendError                something is missing: the message names each gap and what mends it;
                                or CUDA or the decode engine does not open, or the GPU is full
    """

    name = "gpu"
    default_threads = 4  # batches in work at once

    def __init__(
        self,
        device_id: int = 0,
        *,
        keep: int = 6,
        decoder: str = "auto",
        decoders: int = 2,
        hw_decoder_load: float = 0.65,
        decoder_room: int = 0,
        host_pixels: int | None = None,
        verbose: bool = True,
        device: Device | None = None,
        open_engine: Callable[[], Engine] | None = None,
        open_rescue: Callable[[], Engine] | None = None,
    ) -> None:
        self.device_id = device_id
        self._closed = False
        try:
            with self._boundary():
                if device is None:
                    device, decoder = _open_device(device_id, decoder, verbose=verbose)
                settings: dict[str, Any] = {
                    "engines": decoders,
                    "hw_decoder_load": hw_decoder_load,
                    "preallocate": (decoder_room, decoder_room),
                }
                if open_engine is None:
                    open_engine = engine_opener(decoder, device_id, **settings)
                    if decoder == "dali" and open_rescue is None:
                        open_rescue = engine_opener("nvimgcodec", device_id, **settings)
                self._device: Device = device
                self._ring = Ring(device, _SLOTS)
                self._pool = BatchPool(device, keep)
                compiled_pass()  # here, at construction, not at the first batch
                host = HostDecoder()
                if host_pixels is None:
                    host_pixels = routing.HOST_PIXELS
                # last: it is what may fail, and nothing before it is open
                with device.selected():
                    self._engines = EnginePool(
                        open_engine, decoders, open_rescue, self._device.memory
                    )
                self._decoders = Decoders(self._engines, host, host_pixels)
        except MemoryError as error:
            raise BackendError(
                f"GPU {device_id} is out of memory at its opening: {error}; free what else is on "
                "this GPU, or use another device_id"
            ) from error

    @property
    def refused(self) -> int:
        """Images so far that an engine was given and did not decode, so that OpenCV had to."""
        return self._engines.refused

    def share(self, batch_size: int, threads: int) -> int:  # noqa: ARG002 -- a GPU takes it whole
        """Return `batch_size`: engines and kernels want whole batches."""
        self._engines.expect(batch_size)
        return batch_size

    def allocate(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Return a device array of undefined contents that lives until its last reference dies."""
        with self._boundary():
            return self._allocate(shape, dtype)

    def make(
        self, records: Encoded, plan: npt.NDArray[np.void], output: Output, out: Any
    ) -> list[Fault]:
        """Decode and execute the plan into `out`, rows without an image zero-filled.

        Returns at once after queueing the kernels; `fence`, `wait_to_read` and DLPack wait.

        Raises
        ------
        BackendError        the GPU's memory does not hold even half of the batch, or CUDA failed
        """
        with self._boundary():
            try:
                return self._make(records, plan, output, out)
            except OutOfDeviceMemoryError as first:
                return self._make_halves(records, plan, output, out, first)

    def mix(self, data: Any, partner: npt.NDArray[np.int64], share: float, box: Any) -> None:
        """Mix the rows of a batch in place; returns at once after queueing the kernel."""
        kind = data.dtype.name  # an array that has no bfloat16 holds its bits
        work = Mixing(data.shape, "bfloat16" if kind == "uint16" else kind, partner, share, box)
        with self._boundary(), self._turn(data) as slot:
            tables = slot.memory("tables", work.table_bytes)
            host, launches = work.bind(tables.address, _address(data))
            self._upload(slot, tables.address, host)
            for name, grid, block, args in launches:
                self._device.launch(name, grid, block, args, slot.stream)

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
                    self._upload(slot, _address(made), host)
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
        """Release everything but the batches that somebody holds; may be called twice."""
        if not self._closed:
            self._closed = True
            self._ring.close()
            with self._device.selected():
                self._engines.close()
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

    def _make_halves(
        self,
        records: Encoded,
        plan: npt.NDArray[np.void],
        output: Output,
        out: Any,
        first: OutOfDeviceMemoryError,
    ) -> list[Fault]:
        """Try once more with half of the rows at a time, each half done before the next."""
        self._make_room()
        faults: list[Fault] = []
        half = -(-len(plan) // 2)
        for start in range(0, len(plan), half):
            part = slice(start, start + half)
            try:
                found = self._make(records[part], plan[part], output, out[part], again=True)
            except OutOfDeviceMemoryError as error:
                raise self._full(
                    f"decoding {len(plan)} images, or {half} of them", error
                ) from first
            faults += [Fault(start + fault.row, fault.error) for fault in found]
            self._ring.shrink()  # waits for this half
        return faults

    def _make(
        self,
        records: Encoded,
        plan: npt.NDArray[np.void],
        output: Output,
        out: Any,
        *,
        again: bool = False,
    ) -> list[Fault]:
        """Decode into a slot and queue the kernels that read it."""
        with self._turn(out) as slot:
            sources = Sources(self._device, slot, records, plan, output.channels)
            sources.decode(self._decoders, again=again)
            work = LaunchPlan(
                sources.rows,
                sources.addresses,
                channels=output.channels,
                height=output.height,
                width=output.width,
                dtype=output.dtype,
                layout=output.layout,
                mean=output.mean,
                std=output.std,
                scale=output.scale,
                mean_image=output.mean_image,
                ratio=output.ratio,
                swapped=sources.swapped,
            )
            sources.refuse(work.invalid)
            tables = slot.memory("tables", work.table_bytes)
            scratch = slot.memory("scratch", work.scratch_bytes)
            staged = slot.staging("tables", work.table_bytes)
            _, launches = work.bind(tables.address, scratch.address, _address(out), staged)
            self._device.upload(tables.address, staged, slot.stream)
            for name, grid, block, args in launches:
                self._device.launch(name, grid, block, args, slot.stream)
            return sources.faults

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

    def _full(self, what: str, error: OutOfDeviceMemoryError) -> BackendError:
        """Describe a full GPU, with sizes."""
        free, total = self._device.memory()
        wanted = f"{error.wanted_bytes / 2**20:,.0f} MiB asked for, " if error.wanted_bytes else ""
        return BackendError(
            f"GPU {self.device_id} is out of memory for {what}: {wanted}{free / 2**20:,.0f} of "
            f"{total / 2**20:,.0f} MiB free ({error}); use a smaller batch_size, fewer "
            "preprocess_threads or a smaller prefetch_buffer, or free what else is on this GPU"
        )


def _open_device(device_id: int, decoder: str, *, verbose: bool) -> tuple[Device, str]:
    """Open a GPU that lacks nothing; return it and the decoder to take."""
    machine = survey()
    found = gaps(machine, device_id)
    if found:
        raise BackendError(_missing(device_id, found))
    from gpuio.backend.gpu.cuda import CudaDevice

    decoder, why = choose_engine(decoder, machine)
    device = CudaDevice(device_id)
    if verbose:
        _log.info("GPU %d decodes with %s: %s", device_id, decoder, why)
    return device, decoder


def _missing(device_id: int, found: list[Gap]) -> str:
    """Word the gaps of a machine."""
    lines = "".join(f"\n  - {gap.what}\n    mend: {gap.mend}" for gap in found)
    return (
        f"ctx='gpu' cannot use GPU {device_id}:{lines}\n"
        "ctx='cpu' needs none of this; `gpuio doctor` shows the whole machine"
    )


def _address(array: Any) -> int:
    """Return where an array's memory starts."""
    data = array.data
    return int(data.ptr) if hasattr(data, "ptr") else int(array.ctypes.data)
