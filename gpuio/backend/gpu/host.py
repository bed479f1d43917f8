"""The images of a GPU's batch that the host decodes: TurboJPEG in one compiled call, then OpenCV.

TurboJPEG decodes what an image's plan reads, and only the rows that hold it have memory.

Invariant: the pixels that a plan reads are those of OpenCV's decode, with TurboJPEG and without it.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.backend.protocol import Encoded, Work
from gpuio.decode import turbojpeg
from gpuio.decode.opencv import decode
from gpuio.decode.plain import PlainDecoder, any_plain, is_lost
from gpuio.decode.scaled import ScaledDecoder
from gpuio.decode.smaller import smaller
from gpuio.errors import DecodeError
from gpuio.kernels.image_region import REGION

__all__ = ["HostDecoder", "host_bytes"]

_SEVERAL = 16  # plain JPEGs in one call, for which gpuio's own decoder is loaded, or compiled
_MAX_PIXELS, _MAX_SCANS = 2**31 - 1, 100  # the reader has refused what is beyond its limits


class HostDecoder:
    """Decodes images into memory of its caller; may be called from several threads.

    Parameters
    ----------
    several : int       plain JPEGs in one call, from which on gpuio decodes them itself
    """

    def __init__(self, several: int = _SEVERAL) -> None:
        self._mine, self._several = threading.local(), several
        self._images: Any = None  # the compiled loop; None: OpenCV decodes all but at 1/8
        self._function, self._warned = 0, -1
        self._turbo = turbo = turbojpeg.compiled()
        if turbo is not None:
            # compiled or loaded here, at construction, not at the first batch
            from gpuio.kernels.cpu.decode_images import decode_images, find_regions
            from gpuio.kernels.cpu.share import DECODE, WARNED
            from gpuio.kernels.pointers import address

            self._images, self._find = decode_images, find_regions
            self._function = address(turbo.decode, DECODE)
            self._warned = WARNED

    def regions(
        self,
        records: Encoded,
        rows: npt.NDArray[np.int64],
        plan: npt.NDArray[np.void],
        channels: int,
        shape: tuple[int, int],
    ) -> npt.NDArray[np.void]:
        """Return what is decoded of some rows of a batch, and which rows of pixels that takes.

        Parameters
        ----------
        records : Encoded       n rows
        rows : int64[k]         which of them, each with an image
        plan : PLAN[n]
        channels : {1, 3, 4}
        shape : (int, int)      (height, width) of the output

        Returns
        -------
        REGION[k]               rows [first, last) of an image are decoded; all of them where it may
                                be read as a whole, where OpenCV decodes, and of a cache's images
        """
        found = np.zeros(len(rows), REGION)
        compiled = self._images is not None and channels < 4
        whole = (records.keep | records.decoded) != 0  # a cache keeps whole images, and has them
        if compiled and not whole.any():
            self._find_all(records, rows, plan, shape, found)
            return found
        found["right"], found["last"] = plan["src_w"][rows], plan["src_h"][rows]
        if compiled:
            parts = np.flatnonzero(~whole[rows])
            regions = np.zeros(len(parts), REGION)
            self._find_all(records, rows[parts], plan, shape, regions)
            found[parts] = regions
        return found

    def _find_all(
        self,
        records: Encoded,
        rows: npt.NDArray[np.int64],
        plan: npt.NDArray[np.void],
        shape: tuple[int, int],
        regions: npt.NDArray[np.void],
    ) -> None:
        """Fill in what is decoded of some rows, REGION[k], none of them a cache's."""
        address, length, scale = records.address, records.length, records.scale
        headers = records.headers
        if len(rows) < len(plan) or (rows[1:] < rows[:-1]).any():  # else it is all, in order
            plan, headers = plan[rows], headers[rows]
            address, length, scale = address[rows], length[rows], scale[rows]
        self._find(
            np.ascontiguousarray(plan),
            np.ascontiguousarray(address),
            np.ascontiguousarray(length),
            np.ascontiguousarray(headers),
            np.ascontiguousarray(scale),
            *shape,
            regions,
        )

    def decode(
        self,
        records: Encoded,
        rows: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
        channels: int,
        memory: npt.NDArray[np.uint8],
        starts: npt.NDArray[np.int64],
        regions: npt.NDArray[np.void] | None = None,
        work: Work | None = None,
    ) -> dict[int, DecodeError]:
        """Decode some rows of a batch.

        Parameters
        ----------
        records : Encoded
        rows : int64[k]         which of them, each with an image, or decoded before, on the host
        sizes : int64[k, 2]     (height, width) that their headers promise, at their scale
        channels : {1, 3, 4}    gray, or B G R, or B G R A
        memory : uint8[m]       receives the pixels, C order
        starts : int64[k]       where in `memory` the pixels of each begin
        regions : REGION[k], optional
                                what is decoded of each, from `regions`; None: whole images
        work : Work, optional   receives what was done; None: that of the records does

        Returns
        -------
        dict of int to DecodeError
                                why a row was not decoded; its memory holds anything
        """
        work = records.work if work is None else work
        if regions is None:
            regions = np.zeros(len(rows), REGION)
            regions["right"], regions["last"] = sizes[:, 1], sizes[:, 0]
        known = records.decoded[rows] != 0
        for at in np.flatnonzero(known).tolist():
            size = int(sizes[at, 0]) * int(sizes[at, 1]) * channels
            start, source = int(starts[at]), int(records.decoded[rows[at]])
            memory[start : start + size] = host_bytes(source, size)
        if known.any():
            rows, sizes, starts = rows[~known], sizes[~known], starts[~known]
            regions = regions[~known]
        left = np.ones(len(rows), np.uint8)
        itself: ScaledDecoder | PlainDecoder | None = None
        if channels < 4 and (records.scale[rows] > 1).any():
            itself = self._scaled()
        elif channels < 4 and self._turbo is not None:
            itself = self._plain(records.headers[rows])
            if itself is not None:
                itself.fit(int(sizes.prod(axis=1).max(initial=0)))
        own = 0 if itself is None else itself.decoded
        if channels < 4 and (self._turbo is not None or itself is not None):
            function, handle = self._function, 0
            if itself is not None:
                function, handle = itself.function, itself.address
            else:
                handle = self._handle().address
            heights, widths = np.ascontiguousarray(sizes.T)
            self._loop()(
                function,
                handle,
                channels,
                records.address[rows],
                records.length[rows],
                records.headers[rows],
                records.scale[rows],
                heights,
                widths,
                regions,
                starts + memory.ctypes.data,
                left,
            )
        failed: dict[int, DecodeError] = {}
        for at in np.flatnonzero(left).tolist():
            row, start = int(rows[at]), int(starts[at])
            try:
                pixels = _decoded(records, row, tuple(sizes[at].tolist()), channels)
            except DecodeError as error:
                # its frames hold this one, and with it the slot's memory
                failed[row] = error.with_traceback(None)
            else:
                pixels = pixels[regions["first"][at] : regions["last"][at]]
                memory[start : start + pixels.size] = pixels.reshape(-1)
                if left[at] == self._warned:
                    records.note_warning(row)
        if work.timed:
            others = int(np.count_nonzero(left))
            if itself is not None:
                own = itself.decoded - own
            work.decoded("own", own)
            work.decoded("turbojpeg", len(left) - others - own)
            work.decoded("opencv", others - len(failed))
        return failed

    def _scaled(self) -> ScaledDecoder:
        """Return this thread's decoder of images that are made smaller; it goes with the thread."""
        made: ScaledDecoder | None = getattr(self._mine, "scaled", None)
        if made is None:
            handle = None if self._turbo is None else self._handle()
            made = self._mine.scaled = ScaledDecoder(self._turbo, handle, _MAX_PIXELS)
        return made

    def _plain(self, headers: npt.NDArray[np.void]) -> PlainDecoder | None:
        """Return this thread's decoder of plain JPEGs; None where few of them were seen."""
        made: PlainDecoder | None = getattr(self._mine, "plain", None)
        if made is None and any_plain(headers, self._several) and not is_lost():
            made = self._mine.plain = PlainDecoder(self._turbo, self._handle())
        return made

    def _loop(self) -> Any:
        """Return the compiled loop over images."""
        if self._images is None:
            from gpuio.kernels.cpu.decode_images import decode_images

            return decode_images
        return self._images

    def _handle(self) -> turbojpeg.Handle:
        """Return this thread's decompressor; it goes with the thread."""
        handle: turbojpeg.Handle | None = getattr(self._mine, "handle", None)
        if handle is None:
            handle = self._mine.handle = turbojpeg.Handle(_MAX_PIXELS, _MAX_SCANS)
        return handle


def host_bytes(address: int, size: int) -> npt.NDArray[np.uint8]:
    """Return memory of a cache, uint8[size]; whoever makes the batch holds the cache."""
    memory: Any = (ctypes.c_uint8 * size).from_address(address)
    found: npt.NDArray[np.uint8] = np.frombuffer(memory, np.uint8)
    return found


def _decoded(
    records: Encoded, row: int, expected: tuple[int, int], channels: int
) -> npt.NDArray[np.uint8]:
    """Decode one image with OpenCV.

    Raises
    ------
    DecodeError         it cannot be decoded, or has another size than its header said
    """
    blob = records.blob(row)
    assert blob is not None
    pixels = decode(blob, channels, int(records.scale[row]))
    stored = int(records.headers["height"][row]), int(records.headers["width"][row])
    if pixels.shape[:2] == stored and expected[0] <= stored[0] and expected[1] <= stored[1]:
        return smaller(pixels, *expected)
    if pixels.shape[:2] != expected:
        raise DecodeError(
            f"image decodes to {pixels.shape[1]}x{pixels.shape[0]} pixels, its header says "
            f"{expected[1]}x{expected[0]}"
        )
    return pixels
