"""The decoded images of one batch in flight: who decodes which, and where each comes to lie.

Routes come from the headers' facts, which the reader found: nothing is parsed here. The JPEG engine
gets what it takes; the rest, and whatever the engine then refuses, is decoded by OpenCV and
uploaded. An engine that refuses a batch as a whole makes way for one that names the bad images,
which gets the batch again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gpuio.backend.gpu.device import Device
from gpuio.backend.gpu.engines import EnginePool
from gpuio.backend.gpu.workspace import Slot
from gpuio.backend.protocol import Encoded, Fault
from gpuio.decode.engine import Destination
from gpuio.decode.formats import engine_takes
from gpuio.decode.opencv import decode
from gpuio.errors import BackendError, DecodeError, GpuioError

__all__ = ["Sources"]

_ALIGN = 512  # bytes: between images in the arena


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
        self._blobs, self._headers = records.blobs, records.headers
        self.rows = rows
        self.addresses = np.zeros(len(records), np.uint64)
        self.swapped = np.zeros(len(records), np.bool_)
        self._failed: dict[int, GpuioError] = {}
        self._places: dict[int, Destination] = {}
        self._decoded: list[tuple[int, npt.NDArray[np.uint8]]] = []  # by OpenCV: address, pixels
        self._sizes = np.stack([rows["src_h"], rows["src_w"]], axis=1).astype(np.int32)

    @property
    def faults(self) -> list[Fault]:
        """Rows whose image could not be decoded by anybody."""
        return [Fault(row, error) for row, error in sorted(self._failed.items())]

    def decode(self, engines: EnginePool) -> None:
        """Decode every image, by its route.

        Raises
        ------
        OutOfDeviceMemoryError
        """
        present = [row for row, blob in enumerate(self._blobs) if blob is not None]
        takes = self._engine_takes()
        fast = [row for row in present if takes[row]]
        host = sorted(set(present) - set(fast))
        if fast:
            host = sorted(host + self._decode_fast(engines, fast, present))
        if host:
            self._place(host)
        for row in host:
            self._decode_on_host(row, self._places[row].address)

    def refuse(self, misfits: list[int]) -> None:
        """Add the rows whose plan does not fit its image to the faults."""
        for row in misfits:
            height, width = self._sizes[row].tolist()
            self._failed[row] = BackendError(
                f"the plan asks for pixels outside an image of {width}x{height}: "
                f"{ {name: self.rows[name][row].tolist() for name in self.rows.dtype.names or ()} }"
            )

    def upload(self, tables_address: int, tables: npt.NDArray[np.uint8]) -> None:
        """Queue the copies of tables and of the images that OpenCV decoded."""
        sizes = [tables.nbytes, *(pixels.nbytes for _, pixels in self._decoded)]
        starts = np.cumsum([0, *(-(-size // _ALIGN) * _ALIGN for size in sizes)])
        staged = self._slot.staging(int(starts[-1]))
        parts = [(tables_address, tables), *self._decoded]
        for start, (address, host) in zip(starts.tolist(), parts, strict=False):
            piece = staged[start : start + host.nbytes]
            piece[:] = host.reshape(-1).view(np.uint8)
            self._device.upload(address, piece, self._slot.stream)

    def _engine_takes(self) -> list[bool]:
        """Say which images the JPEG engine gets."""
        if self._channels == 4:
            return [False] * len(self._blobs)
        headers = self._headers
        # engines differ over what becomes of a JPEG that was cut short: OpenCV's word counts
        takes = engine_takes(headers) & (headers["ended"] != 0)
        takes &= headers["height"] == self._sizes[:, 0]
        takes &= headers["width"] == self._sizes[:, 1]
        taken: list[bool] = takes.tolist()
        return taken

    def _place(self, rows: list[int]) -> None:
        """Cut the slot's arena into one place for each of these rows, once a turn."""
        if self._places:
            return
        pixels = self._sizes[rows].astype(np.int64).prod(axis=1)
        nbytes = -(-pixels * self._channels // _ALIGN) * _ALIGN
        starts = np.concatenate([[0], np.cumsum(nbytes)])
        arena = self._slot.memory("pixels", int(starts[-1]))
        self._places = {
            row: Destination(
                arena.address + start, self._device.view(arena, start, count, self._channels)
            )
            for row, start, count in zip(rows, starts.tolist(), pixels.tolist(), strict=False)
        }

    def _decode_fast(self, engines: EnginePool, rows: list[int], present: list[int]) -> list[int]:
        """Decode on an engine and return the rows that it refused; all `present` rows get places.

        Rows that are left to OpenCV get theirs in the same cut: the arena may grow once a turn.
        """
        blobs = [blob for row in rows if (blob := self._blobs[row]) is not None]
        kind = engines.kind
        if engines.uses_arena:
            self._place(present)
        try:
            with engines.lend() as engine:
                if engine.uses_arena:  # its kind may have taken over just now
                    self._place(present)
                made = engine.decode(
                    blobs,
                    self._sizes[rows],
                    self._channels,
                    [self._places[row] for row in rows] if engine.uses_arena else [],
                    self._slot.stream.ptr,
                )
        except DecodeError as error:
            if engines.replace(kind, error):
                return self._decode_fast(engines, rows, present)
            engines.refuse(len(rows), error)
            return rows  # the batch as a whole: every image gets its own chance
        for refusal in made.errors.values():
            engines.refuse(1, refusal)
        self._slot.keep = made.keep
        self.addresses[rows], self.swapped[rows] = made.addresses, made.swapped
        return [rows[at] for at in made.errors]

    def _decode_on_host(self, row: int, address: int) -> None:
        """Decode one image with OpenCV."""
        blob = self._blobs[row]
        assert blob is not None
        try:
            pixels = decode(blob, self._channels)
            expected = tuple(self._sizes[row])
            if pixels.shape[:2] != expected:
                raise DecodeError(
                    f"image decodes to {pixels.shape[1]}x{pixels.shape[0]} pixels, its header says "
                    f"{expected[1]}x{expected[0]}"
                )
        except DecodeError as error:
            self._failed[row] = error
            return
        self.addresses[row], self.swapped[row] = address, False
        self._decoded.append((address, pixels))
