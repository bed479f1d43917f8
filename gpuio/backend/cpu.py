"""The CPU backend: TurboJPEG or OpenCV decodes, the Numba kernels do the rest.

Invariant: an image is decoded and augmented by one thread in one go; its pixels are nobody else's.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import threading
import time
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.backend import mixing
from gpuio.backend.cores import usable_cores
from gpuio.backend.pool import HostPool, element_type
from gpuio.backend.protocol import Blob, Encoded, Fault, Output, Work
from gpuio.backend.warp_region import warp_reach, warp_regions
from gpuio.decode import turbojpeg
from gpuio.decode.opencv import decode
from gpuio.decode.plain import RECORD_BYTES, PlainDecoder, any_plain, is_loaded, is_lost
from gpuio.decode.region import RegionDecoder
from gpuio.decode.scaled import ScaledDecoder
from gpuio.decode.shorten import MARGIN, shorten
from gpuio.decode.smaller import smaller
from gpuio.errors import BackendError, DecodeError, GpuioError
from gpuio.kernels.plan.layout import BILINEAR
from gpuio.nd import NDArray, host_array

__all__ = ["CpuBackend"]

_ROWS_A_SHARE = 8  # at least: of photos enough to hide the hand-over, and a batch is spread
# of encoded images: 10 KB are some 0.1 ms of work. A call costs 0.05 ms in Python beside it
_BYTES_A_SHARE, _BYTES_OF_SEVERAL = 800_000, 200_000
_BYTES_TOGETHER = 1 << 20  # of batches made as one: who holds one of them holds all their memory
_SPARE = 16 << 20  # bytes of pixels that a thread keeps for images that are made smaller
_LARGE = 4 << 20  # bytes of a batch that is read from memory, not from a cache, whoever reads it
_MOST_THREADS = 8  # unless more are asked for: one process of several may not take a machine


class CpuBackend:
    """Make batches on the host.

    Parameters
    ----------
    keep : int          batch buffers kept for use again
    max_pixels : int    of an image that TurboJPEG decodes
    max_scans : int     the same
    record_bytes : int  mean length of a record: how much work a row is
    verbose : bool      log which decoder decodes, once per process
    """

    name = "cpu"
    device_id = 0
    division = None
    caches: tuple[str, ...] = ("host", "disk")

    def __init__(
        self,
        keep: int = 6,
        max_pixels: int = 2**31 - 1,
        max_scans: int = 100,
        record_bytes: int = 100_000,
        verbose: bool = True,
    ) -> None:
        # the compiled kernels are loaded here, at construction, not at the first batch
        from gpuio.kernels.cpu import job

        self._kernels, self._turbo = job, turbojpeg.compiled()
        self._limits, self._small_records = (max_pixels, max_scans), record_bytes <= RECORD_BYTES
        self._rows_a_share = max(_ROWS_A_SHARE, _BYTES_A_SHARE // max(record_bytes, 1))
        self._rows_together = max(_ROWS_A_SHARE, _BYTES_OF_SEVERAL // max(record_bytes, 1))
        self.most_threads = usable_cores()
        self.default_threads = min(self.most_threads, _MOST_THREADS)
        self._pool = HostPool(keep)
        self._mine = threading.local()
        self._jobs: tuple[Output, Any, Any] | None = None
        self._largest = 0  # bytes of a batch
        self._batch_rows = self._rows = 0  # of the largest batch; made so far, or a little less
        turbojpeg.announce(verbose=verbose)

    def share(self, batch_size: int, threads: int) -> int:
        """Return how many rows one call should take; all calls take about as many."""
        calls = max(threads, round(batch_size / self._rows_a_share))
        return max(1, -(-batch_size // calls))

    def together(self, batch_size: int, output: Output) -> int:
        """Return how many batches one call should take: small ones are mostly hand-over."""
        row_bytes = math.prod(output.shape(1)) * element_type(output.dtype).itemsize
        rows = min(self._rows_together, _BYTES_TOGETHER // row_bytes)
        return max(1, rows // batch_size)

    def allocate(self, shape: tuple[int, ...], dtype: str) -> NDArray:
        """Return a batch's array: undefined contents, the pool's memory."""
        made = self._pool.array(shape, dtype)
        self._largest = max(self._largest, made.nbytes)
        self._batch_rows = max(self._batch_rows, shape[0])
        return made

    def make(
        self,
        records: Encoded,
        plan: npt.NDArray[np.void],
        output: Output,
        out: NDArray,
        team: None = None,  # noqa: ARG002 -- nothing is divided
    ) -> list[Fault]:
        """Make all rows in one call that holds no GIL, then those that it leaves, row by row.

        With TurboJPEG the call decodes, too, and plain JPEGs without it; all else, and what is not
        a plain JPEG, OpenCV does.
        """
        if not len(plan):
            return []
        normalisation, job = self._prepared(output)
        memory = self._memory()
        storage = np.asarray(out)
        if storage.itemsize == 2:
            storage = storage.view(np.uint16)  # the kernels write halves as bit patterns
        headers = np.ascontiguousarray(records.headers)
        asked = plan, headers, records.length, records.decoded, records.scale
        needs = job.look_at(*asked)
        scaled = self._scaled() if needs.scaled and output.channels < 4 else None
        plain = None
        self._rows += len(plan)
        if scaled is None and output.channels < 4:
            plain = self._plain(headers)
        regions = None
        if plain is not None:
            plain.fit(needs.most)
            regions = RegionDecoder(plain.kernel, plain.address, plain)
        elif job.decodes:
            regions = RegionDecoder(self._turbo.decode, memory.handle, None)
        rows = _Rows(records, plan, output, scaled, memory.scratch, regions)
        work = records.work
        faults: list[Fault] = []
        if needs.smaller:
            records = rows.make_smaller(faults)
        own = plain if plain is not None else scaled
        decodes = job.decodes or plain is not None
        if decodes:
            sources, lengths = records.address, np.maximum(records.length, 0)
        else:
            sources, lengths = rows.decode(faults)
        before = 0 if own is None else own.decoded
        begun = time.perf_counter()
        done = job.make(
            rows.plan,
            sources,
            lengths,
            headers,
            records.scale,
            storage,
            memory,
            records.decoded,
            records.keep,
            records.kept,
            timed=work.timed,
            decoder=own if decodes else None,
            past=self._largest >= _LARGE,
            needs=needs if decodes else None,
        )
        if work.timed:
            _note(work, time.perf_counter() - begun, memory.spent)
            if decodes:
                here = len(plan) - int(np.count_nonzero(records.decoded))
                if memory.left:
                    taken = (done == self._kernels.MADE) | records.kept
                    here = int(np.count_nonzero(taken & (records.decoded == 0)))
                itself = 0 if own is None else own.decoded - before
                work.decoded("own", itself)
                work.decoded("turbojpeg", here - itself)
        if not memory.left:
            return faults
        warns = self._kernels.WARNED, self._kernels.DOUBTED
        for number in np.flatnonzero(done).tolist():
            if done[number] == self._kernels.NO_IMAGE:
                storage[number] = 0
                continue
            try:
                image, row = rows.image(number, damaged=done[number] in warns)
                begun = time.perf_counter()
                self._kernels.augment(image, row, normalisation, storage[number], memory.scratch)
                work.kernels_s += time.perf_counter() - begun
                if done[number] == self._kernels.WARNED:
                    records.note_warning(number)
            except GpuioError as error:
                storage[number] = 0
                faults.append(Fault(number, error))
        return faults

    def _memory(self) -> Any:
        """Return this thread's working memory; its decoder goes with the thread."""
        memory = getattr(self._mine, "memory", None)
        if memory is None:
            handle = None if self._turbo is None else turbojpeg.Handle(*self._limits)
            memory = self._kernels.Memory(0 if handle is None else handle.address)
            self._mine.handle, self._mine.memory = handle, memory
        return memory

    def _scaled(self) -> ScaledDecoder:
        """Return this thread's decoder of images that are made smaller; it goes with the thread."""
        made: ScaledDecoder | None = getattr(self._mine, "scaled", None)
        if made is None:
            max_pixels = self._limits[0]
            made = self._mine.scaled = ScaledDecoder(self._turbo, self._mine.handle, max_pixels)
        return made

    def _plain(self, headers: npt.NDArray[np.void]) -> PlainDecoder | None:
        """Return this thread's decoder of plain JPEGs; None where none was seen, or not yet.

        Of larger records nobody waits for it: the first two batches are made without it where it
        was not needed before.
        """
        made: PlainDecoder | None = getattr(self._mine, "plain", None)
        if made is not None:
            return made
        if not self._small_records and not is_loaded(load=self._rows > 2 * self._batch_rows):
            return None
        if any_plain(headers) and not is_lost():
            made = PlainDecoder(self._turbo, self._mine.handle, self._limits[0])
            self._mine.plain = made
        return made

    def _prepared(self, output: Output) -> tuple[Any, Any]:
        """Return the kernels' form of an output; one pipeline has one."""
        known = self._jobs
        if known is None or known[0] is not output:
            normalisation = self._kernels.Normalisation(
                output.dtype,
                output.mean,
                output.std,
                output.scale,
                output.layout,
                output.mean_image,
                ratio=output.ratio,
            )
            turbo = self._turbo if output.channels < 4 else None
            shape = output.channels, output.height, output.width
            known = (output, normalisation, self._kernels.Job(normalisation, *shape, turbo))
            self._jobs = known
        return known[1:]

    def mix(self, data: NDArray, partner: npt.NDArray[np.int64], share: float, box: Any) -> None:
        """Mix each row with its partner's, in place."""
        if box is None:
            mixing.weigh(data, partner, share)
        else:
            mixing.paste(data, partner, box[:4], box[4])

    def put(self, host: npt.ArrayLike) -> NDArray:
        """Return a host array as it is."""
        return host if type(host) is NDArray else host_array(host)

    def reserve(self, size: float) -> tuple[int, int, Any]:
        """Refuse: the host's memory is a cache's own business."""
        raise BackendError(f"the CPU has no memory of its own to keep images in (size {size})")

    def fence(self, batch: Any) -> None:
        """Return at once: host arrays are complete when they are handed out."""

    def close(self) -> None:
        """Let the free buffers go."""
        self._pool.close()


def _note(work: Work, seconds: float, spent: npt.NDArray[np.int64]) -> None:
    """Divide a compiled call's seconds as the nanoseconds that were sampled in it."""
    decoding, rest = spent.tolist()
    share = decoding / (decoding + rest) if decoding + rest else 0.0
    work.decode_s += share * seconds
    work.kernels_s += (1 - share) * seconds


class _Rows:
    """Rows of a share whose images are decoded one by one, and the plan that fits these.

    Those that are made smaller are for `scaled`, if it is there, and all that it leaves for OpenCV.
    """

    def __init__(
        self,
        records: Encoded,
        plan: npt.NDArray[np.void],
        output: Output,
        scaled: ScaledDecoder | None,
        scratch: Any,
        parts: RegionDecoder | None = None,
    ) -> None:
        self.plan = plan
        self._parts = parts
        self._scaled, self._scratch = scaled, scratch
        self._records, self._headers, self._output = records, records.headers, output
        self._images: list[npt.NDArray[np.uint8] | None] = [None] * len(records)
        self._needed: list[int] | None = None
        self._regions: npt.NDArray[np.int64] | None = None

    def make_smaller(self, faults: list[Fault]) -> Encoded:
        """Decode the images that are made smaller at that; return what they then are.

        They live as long as this object, or where they are to stay.
        """
        records, plan, channels = self._records, self.plan, self._output.channels
        undecoded = (records.length > 0) & (records.decoded == 0) & (records.scale == 1)
        shrinks = plan["src_h"] < records.headers["height"]
        shrinks |= plan["src_w"] < records.headers["width"]
        rows = np.flatnonzero(undecoded & shrinks).tolist()
        if not rows:
            return records
        records = self._records = attrs.evolve(
            records,
            length=records.length.copy(),
            address=records.address.copy(),
            decoded=records.decoded.copy(),
        )
        for row in rows:
            blob, header = records.blob(row), records.headers[row]
            assert blob is not None
            height, width = int(plan["src_h"][row]), int(plan["src_w"][row])
            begun = time.perf_counter()
            try:
                image = _of_size(
                    decode(blob, channels), int(header["height"]), int(header["width"])
                )
            except DecodeError as error:
                faults.append(Fault(row, error))
                records.drop(row)
                continue
            records.work.decode_s += time.perf_counter() - begun
            records.work.decoded("opencv", 1)
            made = smaller(image, height, width)
            if records.keep[row]:
                _at(int(records.keep[row]), (height, width, channels))[:] = made
                records.kept[row] = True
            self._images[row] = made
            records.decoded[row] = made.ctypes.data
        return records

    def decode(self, faults: list[Fault]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Decode all; return where the pixels of each lie, 0 where there are none, and their size.

        The images live as long as this object.
        """
        places, sizes = np.zeros((2, len(self._records)), np.int64)
        fitting = self.plan.copy()
        undecoded = (self._records.length >= 0) & (self._records.decoded == 0)
        for number in np.flatnonzero(undecoded).tolist():
            try:
                image, row = self.image(number, lasting=True)
            except GpuioError as error:
                faults.append(Fault(number, error))
                continue
            self._images[number], fitting[number] = image, row[0]
            places[number], sizes[number] = image.ctypes.data, image.size
        self.plan = fitting
        return places, sizes

    def image(
        self, number: int, *, damaged: bool = False, lasting: bool = False
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.void]]:
        """Return a row's pixels and its plan; leave them where they are to stay.

        Parameters
        ----------
        number : int
        damaged : bool      a decoder warned of the image: it does not stay
        lasting : bool      the pixels live as long as this object; else until the next call

        Raises
        ------
        DecodeError         it cannot be decoded, or has another size than its header said
        """
        row = self.plan[number : number + 1]
        image = self._images[number]
        if image is not None:
            return image, row
        records, channels = self._records, self._output.channels
        shape = (int(row["src_h"][0]), int(row["src_w"][0]), channels)
        if records.decoded[number]:
            return _at(int(records.decoded[number]), shape), row
        blob = records.blob(number)
        assert blob is not None
        if records.keep[number] and not damaged:
            place = _at(int(records.keep[number]), shape)
            if not records.kept[number]:
                begun = time.perf_counter()
                with contextlib.suppress(DecodeError):  # of a part of it, a decoder may not hear
                    place[:] = _of_size(decode(blob, channels), *shape[:2])
                    records.kept[number] = True
                    records.work.decoded("opencv", 1)
                records.work.decode_s += time.perf_counter() - begun
            if records.kept[number]:
                return place, row
        if self._needed is None:
            self._needed = _rows_needed(self.plan, self._headers, self._output)
        scale = int(records.scale[number])
        header, needed, work = self._headers[number], self._needed[number], records.work
        begun = time.perf_counter()
        if scale > 1 and self._scaled is not None and not damaged:
            pixels = self._room(shape, lasting=lasting)
            at, length = int(records.address[number]), int(records.length[number])
            headers = self._headers[number : number + 1]
            route = self._scaled.decode(at, length, headers, needed, scale, pixels)
            if route:
                work.decode_s += time.perf_counter() - begun
                work.decoded(route, 1)
                return pixels, row
        if scale == 1 and self._parts is not None and not damaged:
            if self._regions is None:
                self._regions = warp_regions(self.plan)
            top, left, right = self._regions[number].tolist()
            if right:
                pixels = self._room(shape, lasting=lasting)
                at, length = int(records.address[number]), int(records.length[number])
                region = top, needed, left, right
                route = self._parts.decode(at, length, header, region, pixels)
                if route:
                    work.decode_s += time.perf_counter() - begun
                    work.decoded(route, 1)
                    return pixels, row
        try:
            found = _decoded(blob, row, header, needed, channels, scale)
        finally:
            work.decode_s += time.perf_counter() - begun
        work.decoded("opencv", 1)
        return found

    def _room(self, shape: tuple[int, int, int], *, lasting: bool) -> npt.NDArray[np.uint8]:
        """Return uint8[shape] for an image: undefined contents."""
        size = math.prod(shape)
        if lasting or size > _SPARE:
            return np.empty(shape, np.uint8)
        spare: npt.NDArray[np.uint8] = self._scratch.take_spare("image", size).reshape(shape)
        return spare


def _decoded(
    blob: Blob, row: npt.NDArray[np.void], header: np.void, needed: int, channels: int, scale: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.void]]:
    """Decode an image at 1 / scale as far down as `needed` (0: all of it), rows of the result.

    Returns the image, and the row that fits it.

    Raises
    ------
    DecodeError         it cannot be decoded, or has another size than its header said
    """
    height, width = int(row["src_h"][0]), int(row["src_w"][0])
    shorter = None
    if needed:
        full = height if scale == 1 else int(header["height"])
        reach = needed if scale == 1 else (needed + MARGIN) * scale
        shorter = shorten(blob, reach, int(header["frame_at"]), full, int(header["sampling"]))
    if shorter is not None:
        kept = shorter[1] // scale  # of whole blocks
        try:
            image = _of_size(decode(shorter[0], channels, scale), kept, width)
        except DecodeError:
            pass  # damaged, which a decoder that sees the image's end may forgive
        else:
            if row["resize_h"][0] == 0:  # the height means nothing else to such a plan
                row = row.copy()
                row["src_h"] = kept
            return image, row
    return _of_size(decode(blob, channels, scale), height, width), row


def _at(address: int, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Return memory of a cache as an image; whoever made the batch holds the cache."""
    size = shape[0] * shape[1] * shape[2]
    memory: Any = (ctypes.c_uint8 * size).from_address(address)
    image: npt.NDArray[np.uint8] = np.frombuffer(memory, np.uint8).reshape(shape)
    return image


def _of_size(image: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Return an image that has the size its header says; else DecodeError."""
    if image.shape[:2] != (height, width):
        raise DecodeError(
            f"header says {width}x{height} pixels, the decoded image has "
            f"{image.shape[1]}x{image.shape[0]}"
        )
    return image


def _rows_needed(
    rows: npt.NDArray[np.void], headers: npt.NDArray[np.void], output: Output
) -> list[int]:
    """Return how many rows of each decoded image its plan reads, from the top; 0 if it may be all.

    Decoding may stop there and the result is the same to the bit. This holds for plans that crop
    the decoded image itself or a warp of it, or that the kernels execute as one window of a nearest
    or bilinear resize of it.
    """
    src_h, resize_h = rows["src_h"], rows["resize_h"]
    stop = rows["crop_y"] + rows["crop_h"]
    plain = (rows["pad"] | rows["upscale1_h"]) == 0
    plain &= (rows["pre_colour"] | rows["flip"] | rows["expand_h"] | rows["letterbox_h"]) == 0
    warped = rows["warp_h"] != 0
    if warped.any():
        plain &= ~warped | (resize_h == 0)
        stop = np.where(warped, warp_reach(rows), stop)
    fits = (rows["crop_h"] == output.height) & (rows["crop_w"] == output.width)
    halved = (src_h == 2 * resize_h) & (rows["src_w"] == 2 * rows["resize_w"])
    window = fits & (rows["resize_inter"] <= BILINEAR) & ~halved
    scale = src_h / np.maximum(resize_h, 1)
    reach = np.where(resize_h == 0, stop, np.ceil(stop * scale).astype(np.int64) + 2)
    plain &= headers["shortens"] != 0
    use = plain & ((resize_h == 0) | window) & (rows["orient"] == 1) & (64 * reach < 63 * src_h)
    needed: list[int] = np.where(use, reach, 0).tolist()
    return needed
