"""The CPU backend: OpenCV decodes, the Numba kernels do the rest.

Invariant: an image is decoded and augmented by one thread in one go, while it is in the cache; its
pixels are nobody else's.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.backend import mixing
from gpuio.backend.pool import HostPool
from gpuio.backend.protocol import Blob, Encoded, Fault, Output
from gpuio.decode.opencv import decode
from gpuio.decode.shorten import shorten
from gpuio.errors import DecodeError, GpuioError
from gpuio.kernels.plan.layout import BILINEAR
from gpuio.nd import NDArray, host_array

__all__ = ["CpuBackend"]

_WARP_TAPS = 6  # rows from the one above a place in an image to behind the last of Lanczos' taps
_ROWS_A_SHARE = 8  # enough to hide the hand-over, small enough to spread a batch


class CpuBackend:
    """Make batches on the host.

    Parameters
    ----------
    keep : int      batch buffers kept for use again
    """

    name = "cpu"
    device_id = 0

    def __init__(self, keep: int = 6) -> None:
        # the compiled kernels are loaded here, at construction, not at the first batch
        from gpuio.kernels.cpu import augment

        self._kernels = augment
        self._pool = HostPool(keep)
        self._mine = threading.local()
        self._normalisation: tuple[Output, Any] | None = None

    def share(self, batch_size: int, threads: int) -> int:
        """Return how many rows one call should take."""
        return max(1, min(_ROWS_A_SHARE, -(-batch_size // threads)))

    def allocate(self, shape: tuple[int, ...], dtype: str) -> NDArray:
        """Return a batch's array: undefined contents, the pool's memory."""
        return self._pool.array(shape, dtype)

    def make(
        self, records: Encoded, plan: npt.NDArray[np.void], output: Output, out: NDArray
    ) -> list[Fault]:
        """Decode and augment row by row."""
        normalisation = self._prepared(output)
        scratch = getattr(self._mine, "scratch", None)
        if scratch is None:
            scratch = self._mine.scratch = self._kernels.Scratch()
        faults = []
        needed = _rows_needed(plan, records.headers, output)
        storage = np.asarray(out)
        if storage.itemsize == 2:
            storage = storage.view(np.uint16)  # the kernels write halves as bit patterns
        for number, blob in enumerate(records.blobs):
            if blob is None:
                storage[number] = 0
                continue
            row = plan[number : number + 1]
            try:
                image, row = _decoded(
                    blob, row, records.headers[number], needed[number], output.channels
                )
                self._kernels.augment(image, row, normalisation, storage[number], scratch)
            except GpuioError as error:
                storage[number] = 0
                faults.append(Fault(number, error))
        return faults

    def _prepared(self, output: Output) -> Any:
        """Return the kernels' form of an output; one pipeline has one."""
        known = self._normalisation
        if known is None or known[0] is not output:
            known = (
                output,
                self._kernels.Normalisation(
                    output.dtype,
                    output.mean,
                    output.std,
                    output.scale,
                    output.layout,
                    output.mean_image,
                    ratio=output.ratio,
                ),
            )
            self._normalisation = known
        return known[1]

    def mix(self, data: NDArray, partner: npt.NDArray[np.int64], share: float, box: Any) -> None:
        """Mix each row with its partner's, in place."""
        if box is None:
            mixing.weigh(data, partner, share)
        else:
            mixing.paste(data, partner, box[:4], box[4])

    def put(self, host: npt.ArrayLike) -> NDArray:
        """Return a host array as it is."""
        return host_array(host)

    def fence(self, batch: Any) -> None:
        """Return at once: host arrays are complete when they are handed out."""

    def close(self) -> None:
        """Let the free buffers go."""
        self._pool.close()


def _decoded(
    blob: Blob, row: npt.NDArray[np.void], header: np.void, needed: int, channels: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.void]]:
    """Decode an image as far down as `needed` (0: all of it); return it and the row that fits it.

    Raises
    ------
    DecodeError         it cannot be decoded, or has another size than its header said
    """
    height, width = int(row["src_h"][0]), int(row["src_w"][0])
    shorter = None
    if needed:
        shorter = shorten(blob, needed, int(header["frame_at"]), height, int(header["sampling"]))
    if shorter is not None:
        try:
            image = _of_size(decode(shorter[0], channels), shorter[1], width)
        except DecodeError:
            pass  # damaged, which a decoder that sees the image's end may forgive
        else:
            if row["resize_h"][0] == 0:  # the height means nothing else to such a plan
                row = row.copy()
                row["src_h"] = shorter[1]
            return image, row
    return _of_size(decode(blob, channels), height, width), row


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
        stop = np.where(warped, _warp_reach(rows), stop)
    fits = (rows["crop_h"] == output.height) & (rows["crop_w"] == output.width)
    halved = (src_h == 2 * resize_h) & (rows["src_w"] == 2 * rows["resize_w"])
    window = fits & (rows["resize_inter"] <= BILINEAR) & ~halved
    scale = src_h / np.maximum(resize_h, 1)
    reach = np.where(resize_h == 0, stop, np.ceil(stop * scale).astype(np.int64) + 2)
    plain &= headers["shortens"] != 0
    use = plain & ((resize_h == 0) | window) & (rows["orient"] == 1) & (64 * reach < 63 * src_h)
    needed: list[int] = np.where(use, reach, 0).tolist()
    return needed


def _warp_reach(rows: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """Return how many rows of each decoded image the crop of its warp reads, from the top."""
    left, top = rows["crop_x"], rows["crop_y"]
    right, bottom = left + rows["crop_w"] - 1, top + rows["crop_h"] - 1
    matrix = rows["warp"]  # a source row grows or falls with x, and with y: the corners are extreme
    lowest = np.maximum(matrix[:, 3] * left, matrix[:, 3] * right)
    lowest += np.maximum(matrix[:, 4] * top, matrix[:, 4] * bottom) + matrix[:, 5]
    reach = np.floor(np.clip(lowest, -1, 1e6)).astype(np.int64) + _WARP_TAPS
    needed: npt.NDArray[np.int64] = np.maximum(reach, 1)
    return needed
