"""Make batches on a GPU: JPEG engine, one pass of kernels, arrays that know when they are ready.

The host decodes its share, what the engine does not take, and what it refuses, all uploaded in one
copy, so that one bad record costs its own row and nothing else; an engine that refuses whole
batches makes way for another.
All device work goes through `gpuio.backend.gpu.device.Device`.

Invariant: nothing is decoded into, copied over or freed before the host waited for its last reader
(see `slot`), and no batch is written before its stream waits for the readers of what was there
before (see `lease`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.backend.cores import usable_cores
from gpuio.backend.gpu.arrays import GpuArrays, address_of
from gpuio.backend.gpu.crew import Team
from gpuio.backend.gpu.device import Device
from gpuio.backend.gpu.division import HostDivision
from gpuio.backend.gpu.engines import EnginePool, choose_engine, engine_opener
from gpuio.backend.gpu.host import HostDecoder
from gpuio.backend.gpu.probe import gaps, missing_text, survey
from gpuio.backend.gpu.routing import Decoders, Sources
from gpuio.backend.protocol import Encoded, Fault, Output
from gpuio.cache.size import allowed_bytes
from gpuio.decode.engine import Engine, OutOfDeviceMemoryError
from gpuio.errors import BackendError
from gpuio.kernels.cuda.compile import MAX_ROWS, LaunchPlan, Mixing, compiled_pass

__all__ = ["GpuBackend"]

_log = logging.getLogger("gpuio")

_BATCHES = 4  # in work at once
_MOST_THREADS = 32  # that decode the host's share, unless more are asked for


class GpuBackend(GpuArrays):
    """Decode and augment on one GPU.

    Parameters
    ----------
    device_id : int             number of the GPU
    keep : int                  batch buffers kept for reuse, for each size
    decoder : {"auto", "dali", "nvimgcodec"}
    decoders : int              engines at most, >= 1
    hw_decoder_load : float     share of a batch that the JPEG engines take, 0 to 1
    decoder_room : int          side of the image they get room for at their start, 0 = their choice
    host_share : float or "auto"
                                of a batch's work, that the host's cores get, 0 to 1; "auto": see
                                `Division.decide`
    host_pixels : int, optional the host decodes images of fewer pixels; if it is not said, none
                                where `host_share` is 0, else those below `division.HOST_PIXELS`
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
    caches: tuple[str, ...] = ("host", "disk", "device")

    def __init__(
        self,
        device_id: int = 0,
        *,
        keep: int = 6,
        decoder: str = "auto",
        decoders: int = 2,
        hw_decoder_load: float = 0.65,
        decoder_room: int = 0,
        host_share: float | str = 0.0,
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
                super().__init__(device_id, keep=keep, device=device)
                compiled_pass()  # here, at construction, not at the first batch
                host = HostDecoder()
                # last: it is what may fail, and nothing before it is open
                with device.selected():
                    self._engines = EnginePool(
                        open_engine, decoders, open_rescue, self._device.memory
                    )
                self.division = HostDivision(
                    None if isinstance(host_share, str) else host_share,
                    host_pixels,
                    decoders,
                    self._renew_engines,
                    verbose=verbose,
                )
                self._decoders = Decoders(self._engines, host, self.division)
        except MemoryError as error:
            raise BackendError(
                f"GPU {device_id} is out of memory at its opening: {error}; free what else is on "
                "this GPU, or use another device_id"
            ) from error

    @property
    def refused(self) -> int:
        """Images so far that an engine was given and did not decode, so that OpenCV had to."""
        return self._engines.refused

    @property
    def default_threads(self) -> int:
        """Batches in work at once; where the host has a share, threads that decode it."""
        return _BATCHES if self.division.share == 0 else min(usable_cores(), _MOST_THREADS)

    @property
    def most_threads(self) -> int:
        """The same: more are of no use."""
        return self.default_threads

    def share(self, batch_size: int, threads: int) -> int:  # noqa: ARG002 -- a GPU takes it whole
        """Return `batch_size`: engines and kernels want whole batches."""
        self._engines.expect(max(1, math.ceil(batch_size * (1 - self.division.assumed))))
        return batch_size

    def together(self, batch_size: int, output: Output) -> int:  # noqa: ARG002 -- see `share`
        """Return how many batches one call should take: each has memory and events of its own."""
        return 1

    def make(
        self,
        records: Encoded,
        plan: npt.NDArray[np.void],
        output: Output,
        out: Any,
        team: Team | None = None,
    ) -> list[Fault]:
        """Decode and execute the plan into `out`, rows without an image zero-filled.

        Returns at once after queueing the kernels; `fence`, `wait_to_read` and DLPack wait.

        Raises
        ------
        BackendError        the GPU's memory does not hold even half of the batch, or CUDA failed
        """
        if team is None:
            team = Team(share=self.division.assumed)
        try:
            with self._boundary():
                on_host = self.division.for_host(records, plan, output.channels, team)
                if len(plan) <= MAX_ROWS:
                    return self._make_part(records, plan, output, out, on_host, team)
                faults: list[Fault] = []
                for start in range(0, len(plan), MAX_ROWS):
                    part = slice(start, start + MAX_ROWS)
                    piece = _part(records, part)
                    found = self._make_part(
                        piece, plan[part], output, out[part], on_host[part], team
                    )
                    records.work.add(piece.work)
                    faults += [Fault(start + fault.row, fault.error) for fault in found]
                return faults
        finally:
            if team.helpers:  # whatever happened, nobody waits for pieces to help with
                self.division.crew.add(team)

    def mix(self, data: Any, partner: npt.NDArray[np.int64], share: float, box: Any) -> None:
        """Mix the rows of a batch in place; returns at once after queueing the kernel."""
        kind = data.dtype.name  # an array that has no bfloat16 holds its bits
        work = Mixing(data.shape, "bfloat16" if kind == "uint16" else kind, partner, share, box)
        with self._boundary(), self._turn(data) as slot:
            tables = slot.memory("tables", work.table_bytes)
            host, launches = work.bind(tables.address, address_of(data))
            self._upload(slot, tables.address, host)
            for name, grid, block, args in launches:
                self._device.launch(name, grid, block, args, slot.stream)

    def reserve(self, size: float) -> tuple[int, int, Any]:
        """Return memory of the GPU for a cache: address, bytes, and whose death frees it."""
        with self._boundary(), self._device.selected():
            nbytes = allowed_bytes(size, self._device.memory()[0])
            try:
                made = self._device.alloc(nbytes)
            except OutOfDeviceMemoryError as error:
                what = f"a cache of {nbytes / 2**30:,.1f} GiB"
                raise self._full(what, error, "a smaller cache_size") from error
            return made.address, made.nbytes, made.owner

    def close(self) -> None:
        """Release everything but the batches that somebody holds; may be called twice."""
        if not self._closed:
            super().close()
            with self._device.selected():
                self._engines.close()

    def _renew_engines(self) -> None:
        """Close the engines: they are opened for batches of another size."""
        with self._device.selected():
            self._engines.renew()

    def _make_part(
        self,
        records: Encoded,
        plan: npt.NDArray[np.void],
        output: Output,
        out: Any,
        on_host: npt.NDArray[np.bool_],
        team: Team,
    ) -> list[Fault]:
        """Make rows for which one launch is enough, in two halves if memory is short."""
        try:
            return self._make(records, plan, output, out, on_host, team)
        except OutOfDeviceMemoryError as first:
            return self._make_halves(records, plan, output, out, on_host, team, first)

    def _make_halves(
        self,
        records: Encoded,
        plan: npt.NDArray[np.void],
        output: Output,
        out: Any,
        on_host: npt.NDArray[np.bool_],
        team: Team,
        first: OutOfDeviceMemoryError,
    ) -> list[Fault]:
        """Try once more with half of the rows at a time, each half done before the next."""
        self._make_room()
        records.work.routes.clear()  # all are decoded anew
        faults: list[Fault] = []
        half = -(-len(plan) // 2)
        for start in range(0, len(plan), half):
            part = slice(start, start + half)
            piece = _part(records, part)
            try:
                found = self._make(
                    piece, plan[part], output, out[part], on_host[part], team, again=True
                )
            except OutOfDeviceMemoryError as error:
                raise self._full(
                    f"decoding {len(plan)} images, or {half} of them", error
                ) from first
            records.work.add(piece.work)
            faults += [Fault(start + fault.row, fault.error) for fault in found]
            self._ring.shrink()  # waits for this half
        return faults

    def _make(
        self,
        records: Encoded,
        plan: npt.NDArray[np.void],
        output: Output,
        out: Any,
        on_host: npt.NDArray[np.bool_],
        team: Team,
        *,
        again: bool = False,
    ) -> list[Fault]:
        """Decode into a slot and queue the kernels that read it."""
        with self._turn(out) as slot:
            begun, shape = time.perf_counter(), (output.height, output.width)
            sources = Sources(self._device, slot, records, plan, output.channels, shape)
            sources.decode(self._decoders, on_host, team, again=again)
            decoded = time.perf_counter()
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
            _, launches = work.bind(tables.address, scratch.address, address_of(out), staged)
            self._device.upload(tables.address, staged, slot.stream)
            for name, grid, block, args in launches:
                self._device.launch(name, grid, block, args, slot.stream)
            records.work.decode_s += decoded - begun
            records.work.kernels_s += time.perf_counter() - decoded
            sources.keep()
            return sources.faults


def _part(records: Encoded, rows: slice) -> Encoded:
    """Return some rows, whose work is measured as that of all."""
    part = records[rows]
    part.work.timed = records.work.timed
    return part


def _open_device(device_id: int, decoder: str, *, verbose: bool) -> tuple[Device, str]:
    """Open a GPU that lacks nothing; return it and the decoder to take."""
    machine = survey()
    found = gaps(machine, device_id)
    if found:
        raise BackendError(missing_text(device_id, found))
    from gpuio.backend.gpu.cuda import CudaDevice

    decoder, why = choose_engine(decoder, machine)
    device = CudaDevice(device_id)
    if verbose:
        _log.info("GPU %d decodes with %s: %s", device_id, decoder, why)
    return device, decoder
