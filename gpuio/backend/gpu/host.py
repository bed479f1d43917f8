"""The images of a GPU's batch that the host decodes: TurboJPEG in one compiled call, then OpenCV.

TurboJPEG decodes what an image's plan reads, and only the rows that hold it have memory.

Invariant: the pixels that a plan reads are those of OpenCV's decode, with TurboJPEG and without it.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.backend.protocol import Encoded
from gpuio.decode import turbojpeg
from gpuio.decode.opencv import decode
from gpuio.errors import DecodeError
from gpuio.kernels.image_region import REGION

__all__ = ["HostDecoder"]

_MAX_PIXELS, _MAX_SCANS = 2**31 - 1, 100  # the reader has refused what is beyond its limits


class HostDecoder:
    """Decodes images into memory of its caller; may be called from several threads."""

    def __init__(self) -> None:
        self._mine = threading.local()
        self._images: Any = None  # the compiled loop; None: OpenCV decodes all
        self._warned = -1
        turbo = turbojpeg.compiled()
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
        records : Encoded
        rows : int64[k]         which of them, each with an image
        plan : PLAN[k]          theirs
        channels : {1, 3, 4}
        shape : (int, int)      (height, width) of the output

        Returns
        -------
        REGION[k]               rows [first, last) of an image are decoded; all of them where it may
                                be read as a whole, or where OpenCV decodes
        """
        found = np.zeros(len(rows), REGION)
        if self._images is not None and channels < 4:
            self._find(
                np.ascontiguousarray(plan),
                records.address[rows],
                records.length[rows],
                records.headers[rows],
                records.scale[rows],
                *shape,
                found,
            )
        else:
            found["right"], found["last"] = plan["src_w"], plan["src_h"]
        return found

    def decode(
        self,
        records: Encoded,
        rows: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
        channels: int,
        memory: npt.NDArray[np.uint8],
        starts: npt.NDArray[np.int64],
        regions: npt.NDArray[np.void] | None = None,
    ) -> dict[int, DecodeError]:
        """Decode some rows of a batch.

        Parameters
        ----------
        records : Encoded
        rows : int64[k]         which of them, each with an image
        sizes : int64[k, 2]     (height, width) that their headers promise, at their scale
        channels : {1, 3, 4}    gray, or B G R, or B G R A
        memory : uint8[m]       receives the pixels, C order
        starts : int64[k]       where in `memory` the pixels of each begin
        regions : REGION[k], optional
                                what is decoded of each, from `regions`; None: whole images

        Returns
        -------
        dict of int to DecodeError
                                why a row was not decoded; its memory holds anything
        """
        if regions is None:
            regions = np.zeros(len(rows), REGION)
            regions["right"], regions["last"] = sizes[:, 1], sizes[:, 0]
        left = np.ones(len(rows), np.uint8)
        if self._images is not None and channels < 4:
            heights, widths = np.ascontiguousarray(sizes.T)
            self._images(
                self._function,
                self._handle().address,
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
        if records.work.timed:
            others = int(np.count_nonzero(left))
            records.work.decoded("turbojpeg", len(left) - others)
            records.work.decoded("opencv", others - len(failed))
        return failed

    def _handle(self) -> turbojpeg.Handle:
        """Return this thread's decompressor; it goes with the thread."""
        handle: turbojpeg.Handle | None = getattr(self._mine, "handle", None)
        if handle is None:
            handle = self._mine.handle = turbojpeg.Handle(_MAX_PIXELS, _MAX_SCANS)
        return handle


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
    if pixels.shape[:2] != expected:
        raise DecodeError(
            f"image decodes to {pixels.shape[1]}x{pixels.shape[0]} pixels, its header says "
            f"{expected[1]}x{expected[0]}"
        )
    return pixels
