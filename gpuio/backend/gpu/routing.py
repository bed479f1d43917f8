"""The decoded images of one batch in flight, and where each comes to lie.

What the host decodes, and whatever the engine then refuses, comes into page-locked memory and is
uploaded in one copy; the engine works meanwhile. An engine that refuses a batch as a whole makes
way for one that names the bad images, which gets the batch again.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.backend.gpu.crew import Team
from gpuio.backend.gpu.device import Device
from gpuio.backend.gpu.division import HostDivision, work_of
from gpuio.backend.gpu.engines import EnginePool
from gpuio.backend.gpu.host import HostDecoder, host_bytes
from gpuio.backend.gpu.workspace import Slot
from gpuio.backend.protocol import Encoded, Fault, Work
from gpuio.decode.engine import Destination
from gpuio.errors import BackendError, DecodeError, GpuioError

__all__ = ["Decoders", "Sources"]

_ALIGN = 512  # bytes: between images in memory
_clock = time.perf_counter
_BYTES_A_PIECE = 200_000  # of encoded images, some 2 ms of work for a core


@attrs.frozen(eq=False)
class Decoders:
    """Who decodes.

    Attributes
    ----------
    engines : EnginePool
    host : HostDecoder
    division : HostDivision
    """

    engines: EnginePool
    host: HostDecoder
    division: HostDivision


@attrs.define(eq=False)
class _Staged:
    """What the host decodes of a batch: where in page-locked memory which images lie.

    Attributes
    ----------
    rows : int64[k]
    regions : REGION[k]         what is decoded of each
    starts : int64[k + 1]       bytes: where the pixels of each begin, and their sum
    memory : uint8[starts[k]]   page-locked
    """

    rows: npt.NDArray[np.int64]
    regions: npt.NDArray[np.void]
    starts: npt.NDArray[np.int64]
    memory: npt.NDArray[np.uint8]


class Sources:
    """The images of one slot's turn.

    Parameters
    ----------
    device : Device
    slot : Slot                     taken, its last reader waited for
    records : Encoded
    rows : PLAN[n]                  host
    channels : {1, 3, 4}
    shape : (int, int)              (height, width) of the output

    Attributes
    ----------
    rows : PLAN[n]                  host
    addresses : uint64[n]           host; uint8[src_h, src_w, channels] on the device, 0 = no image;
                                    where the host decoded, only what a plan reads is there
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
        shape: tuple[int, int],
    ) -> None:
        self._shape = shape
        self._device, self._slot, self._channels = device, slot, channels
        self._records = records
        self.rows = rows
        self.addresses = np.zeros(len(records), np.uint64)
        self.swapped = np.zeros(len(records), np.bool_)
        self._failed: dict[int, GpuioError] = {}
        self._pieces_done: list[Work] = []
        self._places: list[Destination] = []  # of the rows that an engine gets, if it wants any
        self._sizes = np.empty((len(records), 2), np.int64)
        self._sizes[:, 0], self._sizes[:, 1] = rows["src_h"], rows["src_w"]
        self._pixels = self._sizes[:, 0] * self._sizes[:, 1]

    @property
    def faults(self) -> list[Fault]:
        """Rows whose image could not be decoded by anybody."""
        return [Fault(row, error) for row, error in sorted(self._failed.items())]

    def decode(
        self,
        decoders: Decoders,
        for_host: npt.NDArray[np.bool_],
        team: Team,
        *,
        again: bool = False,
    ) -> None:
        """Decode every image, and queue the upload of what the host decoded.

        Parameters
        ----------
        decoders : Decoders
        for_host : bool[n]  which images the host decodes
        team : Team         of the batch
        again : bool        this is the second try, with room made: what an engine does not decode
                            now is for the host

        Raises
        ------
        OutOfDeviceMemoryError
        """
        present, known = self._records.length >= 0, self._records.decoded != 0
        if self._records.resident and known.any():
            self.addresses[known] = self._records.decoded[known] & ~1
            self.swapped[known] = self._records.decoded[known] & 1
            present &= ~known
        for_host = for_host | known  # what a cache in host memory has is copied
        mine, fast = np.flatnonzero(present & for_host), np.flatnonzero(present & ~for_host)
        staged, refused = self._staged(decoders.host, mine), mine[:0]
        if staged is not None and not fast.size and not team.helpers:
            self._decode_on_host(decoders, staged, slice(0, len(mine)))  # nobody would help
        else:
            with decoders.division.crew.together(team, self._pieces(decoders, staged)):
                if fast.size:
                    refused = self._decode_fast(decoders, fast, again)
        if refused.size:
            first, staged = len(mine), self._more(decoders.host, staged, refused)
            for piece in self._pieces(decoders, staged, first):
                piece()
        for work in self._pieces_done:
            self._records.work.add(work)
        if staged is not None:
            self._upload(staged)

    def keep(self) -> None:
        """Copy the whole images that are to stay to their places, and wait until they are there.

        The slot's stream has everything that decodes them. Nobody else waits: a batch is queued
        by then, and others are under way.
        """
        records = self._records
        if not records.keep.any():
            return
        rows = np.flatnonzero((records.keep != 0) & (self.addresses != 0) & ~records.warned)
        if not len(rows):
            return
        sizes = self._pixels[rows] * self._channels
        starts = self._starts(self._pixels[rows])
        targets, staged = records.keep[rows].tolist(), None
        if not records.resident:
            staged = self._slot.staging("kept", int(starts[-1]))
            targets = (starts[:-1] + staged.ctypes.data).tolist()
        stream, done = self._slot.stream, self._device.new_event()
        for row, target, size in zip(rows.tolist(), targets, sizes.tolist(), strict=True):
            self._device.copy(target, int(self.addresses[row]), size, stream)
        done.record(stream)
        done.wait()
        if staged is None:
            records.keep[rows] |= self.swapped[rows]
        else:
            for at, row in enumerate(rows.tolist()):
                pixels = staged[starts[at] : starts[at] + sizes[at]]
                if self.swapped[row]:
                    pixels = pixels.reshape(-1, self._channels)[:, ::-1].reshape(-1)
                host_bytes(int(records.keep[row]), int(sizes[at]))[:] = pixels
        records.kept[rows] = True

    def refuse(self, misfits: list[int]) -> None:
        """Add the rows whose plan does not fit its image to the faults."""
        for row in misfits:
            height, width = self._sizes[row].tolist()
            self._failed[row] = BackendError(
                f"the plan asks for pixels outside an image of {width}x{height}: "
                f"{ {name: self.rows[name][row].tolist() for name in self.rows.dtype.names or ()} }"
            )

    def _starts(self, pixels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return where so many pixels of each image begin in memory for all, and its size."""
        nbytes = pixels * self._channels + (_ALIGN - 1)
        nbytes &= -_ALIGN
        starts = np.zeros(len(pixels) + 1, np.int64)
        nbytes.cumsum(out=starts[1:])
        return starts

    def _place(self, rows: npt.NDArray[np.int64]) -> None:
        """Cut the slot's arena into one place for each of an engine's rows, once a turn.

        Images of the sizes of the turn before get its places again.
        """
        if self._places:
            return
        slot, channels, pixels = self._slot, self._channels, self._pixels[rows]
        starts = self._starts(pixels)
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
        self, decoders: Decoders, rows: npt.NDArray[np.int64], again: bool
    ) -> npt.NDArray[np.int64]:
        """Decode on an engine and return the rows that it refused."""
        engines, crew = decoders.engines, decoders.division.crew
        kind = engines.kind
        if engines.uses_arena:
            self._place(rows)
        try:
            with engines.lend(crew.take_one) as engine:
                if engine.uses_arena:  # its kind may have taken over just now
                    self._place(rows)
                begun = _clock()
                made = engine.decode(
                    self._records.some(rows),
                    self._sizes[rows].astype(np.int32),
                    self._channels,
                    self._places if engine.uses_arena else [],
                    self._slot.stream.ptr,
                )
                self._note(decoders, "engine", rows, begun)
        except DecodeError as error:
            engines.weigh(len(rows), len(rows), again=again)
            if engines.replace(kind, error):
                return self._decode_fast(decoders, rows, again)
            engines.refuse(len(rows), error)
            return rows  # the batch as a whole: every image gets its own chance
        self._slot.keep = made.keep
        self._records.work.decoded("engine", len(rows) - len(made.errors))
        engines.weigh(len(made.errors), len(rows), again=again)
        for refusal in made.errors.values():
            engines.refuse(1, refusal)
        self.addresses[rows], self.swapped[rows] = made.addresses, made.swapped
        return rows[list(made.errors)]

    def _staged(self, host: HostDecoder, rows: npt.NDArray[np.int64]) -> _Staged | None:
        """Give the images that the host decodes page-locked memory; None for no images."""
        if not rows.size:
            return None
        regions = host.regions(self._records, rows, self.rows, self._channels, self._shape)
        starts = self._starts((regions["last"] - regions["first"]) * self._sizes[rows, 1])
        total = int(starts[-1])
        self._slot.memory("uploads", total)  # as large: it bounds what is page-locked
        return _Staged(rows, regions, starts, self._slot.staging("pixels", total))

    def _more(
        self, host: HostDecoder, before: _Staged | None, rows: npt.NDArray[np.int64]
    ) -> _Staged:
        """Give further images memory behind what is decoded already."""
        done = 0 if before is None else int(before.starts[-1])
        if before is not None:
            rows = np.concatenate([before.rows, rows])
        made = self._staged(host, rows)
        assert made is not None
        if before is not None and made.memory.ctypes.data != before.memory.ctypes.data:
            made.memory[:done] = before.memory
        return made

    def _pieces(
        self, decoders: Decoders, staged: _Staged | None, first: int = 0
    ) -> Iterator[Callable[[], None]]:
        """Cut what the host decodes, from its image `first` on, into calls of some images."""
        if staged is None:
            return
        grown = np.cumsum(self._records.length[staged.rows]) // _BYTES_A_PIECE
        cuts = np.flatnonzero(np.diff(grown[first:])) + first + 1
        ends = [first, *cuts.tolist(), len(staged.rows)]
        for begin, end in itertools.pairwise(ends):
            yield functools.partial(self._decode_on_host, decoders, staged, slice(begin, end))

    def _decode_on_host(self, decoders: Decoders, staged: _Staged, part: slice) -> None:
        """Decode some images into page-locked memory."""
        begun, rows = _clock(), staged.rows[part]
        work = Work(self._records.work.timed)  # threads count each for themselves
        failed = decoders.host.decode(
            self._records,
            rows,
            self._sizes[rows],
            self._channels,
            staged.memory,
            staged.starts[:-1][part],
            staged.regions[part],
            work,
        )
        self._failed.update(failed)
        self._pieces_done.append(work)
        self._note(decoders, "host", rows, begun)

    def _upload(self, staged: _Staged) -> None:
        """Queue the one copy to the device of what the host decoded."""
        rows = staged.rows
        memory = self._slot.memory("uploads", int(staged.starts[-1]))
        # of the whole image: what lies before the rows that were decoded is never read
        before = staged.regions["first"] * self._sizes[rows, 1] * self._channels
        self.addresses[rows] = memory.address + staged.starts[:-1] - before
        self.swapped[rows] = False
        failed = [row for row in self._failed if row in set(rows.tolist())]
        self.addresses[failed] = 0
        if len(failed) < len(rows):
            self._device.upload(memory.address, staged.memory, self._slot.stream)

    def _note(
        self, decoders: Decoders, side: str, rows: npt.NDArray[np.int64], begun: float
    ) -> None:
        """Add a call that has just ended to what its side did."""
        tally, lengths = decoders.division.tally, self._records.length[rows]
        if tally.measures and side == "engine":
            # its work may be queued only
            ready = self._device.new_event()
            ready.record(self._slot.stream)
            ready.wait()
        seconds, work = _clock() - begun, 0.0
        if tally.measures:
            work = float(work_of(lengths, self._pixels[rows]).sum())
        tally.add(side, len(rows), int(lengths.sum()), work, seconds)
