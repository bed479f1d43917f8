"""The decoded images of one batch in flight: who decodes which, and where each comes to lie.

Routes come from the headers' facts, which the reader found: nothing is parsed here, and rows are
arrays. The JPEG engine gets the large images of what it takes; the rest, and whatever the engine
then refuses, is decoded by the host into page-locked memory and uploaded in one copy. An engine
that refuses a batch as a whole makes way for one that names the bad images, which gets the batch
again.
"""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.backend.gpu.device import Device
from gpuio.backend.gpu.engines import EnginePool
from gpuio.backend.gpu.host import HostDecoder
from gpuio.backend.gpu.workspace import Slot
from gpuio.backend.protocol import Encoded, Fault
from gpuio.decode.engine import Destination
from gpuio.decode.formats import engine_takes
from gpuio.errors import BackendError, DecodeError, GpuioError

__all__ = ["HOST_PIXELS", "Decoders", "Sources"]

HOST_PIXELS = 65_536  # an image of fewer is decoded by the host: an engine's cost per image is more

_ALIGN = 512  # bytes: between images in memory


@attrs.frozen(eq=False)
class Decoders:
    """Who decodes.

    Attributes
    ----------
    engines : EnginePool
    host : HostDecoder
    host_pixels : int       height * width below which the host decodes what an engine would take
                            as well
    """

    engines: EnginePool
    host: HostDecoder
    host_pixels: int


class Sources:
    """The images of one slot's turn.

    Parameters
    ----------
    device : Device
    slot : Slot                     taken, its last reader waited for
    records : Encoded
    rows : PLAN[n]                  host
    channels : {1, 3, 4}

    Attributes
    ----------
    rows : PLAN[n]                  host
    addresses : uint64[n]           host; uint8[src_h, src_w, channels] on the device, 0 = no image
    swapped : bool[n]               host; whose three channels are in R, G, B order
    faults : list of Fault          ordered by row
    """

    def __init__(
        self,
        device: Device,
        slot: Slot,
        records: Encoded,
        rows: npt.NDArray[np.void],
        channels: int,
    ) -> None:
        self._device, self._slot, self._channels = device, slot, channels
        self._records = records
        self.rows = rows
        self.addresses = np.zeros(len(records), np.uint64)
        self.swapped = np.zeros(len(records), np.bool_)
        self._failed: dict[int, GpuioError] = {}
        self._places: list[Destination] = []  # of the rows that an engine gets, if it wants any
        self._sizes = np.empty((len(records), 2), np.int64)
        self._sizes[:, 0], self._sizes[:, 1] = rows["src_h"], rows["src_w"]
        self._pixels = self._sizes[:, 0] * self._sizes[:, 1]

    @property
    def faults(self) -> list[Fault]:
        """Rows whose image could not be decoded by anybody."""
        return [Fault(row, error) for row, error in sorted(self._failed.items())]

    def decode(self, decoders: Decoders, *, again: bool = False) -> None:
        """Decode every image, by its route, and queue the upload of what the host decoded.

        Parameters
        ----------
        decoders : Decoders
        again : bool        this is the second try, with room made: what an engine does not decode
                            now is for the host

        Raises
        ------
        OutOfDeviceMemoryError
        """
        present = self._records.length >= 0
        fast = present & self._engine_takes(decoders.host_pixels)
        host = present & ~fast
        if fast.any():
            host[self._decode_fast(decoders.engines, np.flatnonzero(fast), again)] = True
        if host.any():
            self._decode_on_host(decoders.host, np.flatnonzero(host))

    def refuse(self, misfits: list[int]) -> None:
        """Add the rows whose plan does not fit its image to the faults."""
        for row in misfits:
            height, width = self._sizes[row].tolist()
            self._failed[row] = BackendError(
                f"the plan asks for pixels outside an image of {width}x{height}: "
                f"{ {name: self.rows[name][row].tolist() for name in self.rows.dtype.names or ()} }"
            )

    def _engine_takes(self, host_pixels: int) -> npt.NDArray[np.bool_]:
        """Say which images the JPEG engine gets."""
        large: npt.NDArray[np.bool_] = self._pixels >= host_pixels
        if self._channels == 4 or not large.any():
            return np.zeros(len(self._records), np.bool_)
        headers = self._records.headers
        # engines differ over what becomes of a JPEG that was cut short: OpenCV's word counts
        takes: npt.NDArray[np.bool_] = large & engine_takes(headers) & (headers["ended"] != 0)
        takes &= self._records.scale == 1
        takes &= headers["height"] == self._sizes[:, 0]
        takes &= headers["width"] == self._sizes[:, 1]
        return takes

    def _starts(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return where the pixels of each of these rows begin in memory for all, and its size."""
        nbytes = self._pixels[rows] * self._channels + (_ALIGN - 1)
        nbytes &= -_ALIGN
        starts = np.zeros(len(rows) + 1, np.int64)
        nbytes.cumsum(out=starts[1:])
        return starts

    def _place(self, rows: npt.NDArray[np.int64]) -> None:
        """Cut the slot's arena into one place for each of an engine's rows, once a turn.

        Images of the sizes of the turn before get its places again.
        """
        if self._places:
            return
        slot, channels, pixels = self._slot, self._channels, self._pixels[rows]
        starts = self._starts(rows)
        arena = slot.memory("pixels", int(starts[-1]))
        layout = channels, self._sizes[rows].tobytes()
        if slot.layout != layout:
            slot.places = [
                Destination(arena.address + start, self._device.view(arena, start, count, channels))
                for start, count in zip(starts.tolist(), pixels.tolist(), strict=False)
            ]
            slot.layout = layout
        self._places = slot.places

    def _decode_fast(
        self, engines: EnginePool, rows: npt.NDArray[np.int64], again: bool
    ) -> npt.NDArray[np.int64]:
        """Decode on an engine and return the rows that it refused."""
        kind = engines.kind
        if engines.uses_arena:
            self._place(rows)
        try:
            with engines.lend() as engine:
                if engine.uses_arena:  # its kind may have taken over just now
                    self._place(rows)
                made = engine.decode(
                    self._records.some(rows),
                    self._sizes[rows].astype(np.int32),
                    self._channels,
                    self._places if engine.uses_arena else [],
                    self._slot.stream.ptr,
                )
        except DecodeError as error:
            engines.weigh(len(rows), len(rows), again=again)
            if engines.replace(kind, error):
                return self._decode_fast(engines, rows, again)
            engines.refuse(len(rows), error)
            return rows  # the batch as a whole: every image gets its own chance
        self._slot.keep = made.keep
        self._records.work.decoded("engine", len(rows) - len(made.errors))
        engines.weigh(len(made.errors), len(rows), again=again)
        for refusal in made.errors.values():
            engines.refuse(1, refusal)
        self.addresses[rows], self.swapped[rows] = made.addresses, made.swapped
        return rows[list(made.errors)]

    def _decode_on_host(self, host: HostDecoder, rows: npt.NDArray[np.int64]) -> None:
        """Decode into page-locked memory and queue its one copy to the device."""
        starts = self._starts(rows)
        total = int(starts[-1])
        memory = self._slot.memory("uploads", total)  # as large: it bounds what is page-locked
        staged = self._slot.staging("pixels", total)
        failed = host.decode(
            self._records, rows, self._sizes[rows], self._channels, staged, starts[:-1]
        )
        self.addresses[rows], self.swapped[rows] = memory.address + starts[:-1], False
        if failed:
            self._failed.update(failed)
            self.addresses[list(failed)] = 0
        if len(failed) < len(rows):
            self._device.upload(memory.address, staged, self._slot.stream)
