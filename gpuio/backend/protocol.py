"""The seam: what the pipeline asks of a device.

A backend turns encoded bytes and a plan into a batch. It owns its device memory, streams and decode
engine; the pipeline owns threads, order and files. Nothing else in gpuio knows which device it is.
"""

from __future__ import annotations

from typing import Any, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.decode.formats import HEADER
from gpuio.errors import GpuioError, Where

__all__ = ["Backend", "Blob", "Encoded", "Fault", "Output"]

Blob = bytes | memoryview


@attrs.frozen
class Fault:
    """A row of a batch that could not be made, and why."""

    row: int
    error: GpuioError

    def at(self, row: int, where: Where) -> Fault:
        """Return the fault of row `row` of a larger batch, whose record lies at `where`.

        The traceback goes with the placed error: its frames hold this one, and would be held by it.
        """
        placed = self.error.at(where)
        self.error.__traceback__ = None
        return Fault(row, placed)


@attrs.frozen(eq=False)
class Output:
    """What every image of a pipeline is turned into.

    Attributes
    ----------
    channels, height, width : int   of one image
    dtype : str                     "float32", "float16", "bfloat16", "uint8" or "int8"
    layout : str                    "NCHW" or "NHWC"
    mean, std : float32[channels]   R, G, B (, A) or gray
    scale : float
    mean_image : float32[C, H, W] or None
                                    subtracted pixel by pixel instead of `mean`
    ratio : bool                    floats are ``(p - mean) / std * scale``, each rounded, not a
                                    product with ``scale / std``
    """

    channels: int
    height: int
    width: int
    dtype: str
    layout: str
    mean: npt.NDArray[np.float32]
    std: npt.NDArray[np.float32]
    scale: float
    mean_image: npt.NDArray[np.float32] | None = None
    ratio: bool = False

    def shape(self, rows: int) -> tuple[int, int, int, int]:
        """Return the shape of a batch of `rows` images."""
        if self.layout == "NHWC":
            return (rows, self.height, self.width, self.channels)
        return (rows, self.channels, self.height, self.width)


@attrs.frozen(eq=False)
class Encoded:
    """The encoded images of some rows, and what their headers say: a backend parses none again.

    Attributes
    ----------
    blobs : list of bytes-like or None      None: the row has no image (pad, or a fault)
    headers : HEADER[n]                     host; see `gpuio.decode.formats.HEADER`
    """

    blobs: list[Blob | None]
    headers: npt.NDArray[np.void]

    @classmethod
    def empty(cls, rows: int) -> Encoded:
        """Return rows without an image, to be filled."""
        return cls([None] * rows, np.zeros(rows, HEADER))

    def __len__(self) -> int:
        return len(self.blobs)

    def __getitem__(self, part: slice) -> Encoded:
        return Encoded(self.blobs[part], self.headers[part])


class Backend(Protocol):
    """A device that makes batches.

    Every method may be called from several threads at once.
    """

    name: str
    device_id: int
    default_threads: int  # that make batches, where the user does not say

    def share(self, batch_size: int, threads: int) -> int:
        """Return how many rows one `make` should take, 1 <= share <= batch_size."""

    def allocate(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Return an array of undefined contents that lives until its last reference is gone."""

    def make(
        self, records: Encoded, plan: npt.NDArray[np.void], output: Output, out: Any
    ) -> list[Fault]:
        """Decode images and execute the plan into `out`, rows without an image zero-filled.

        Parameters
        ----------
        records : Encoded       n rows; decoded to `output.channels`: gray, B G R, or B G R A
        plan : PLAN[n]          host; `src_h`, `src_w` are the headers' sizes
        output : Output
        out : array[n, C, H, W] or [n, H, W, C], the backend's device, from `allocate`

        Returns
        -------
        list of Fault           rows that could not be made, zero-filled in `out`
        """

    def mix(self, data: Any, partner: npt.NDArray[np.int64], share: float, box: Any) -> None:
        """Mix each row of a finished batch with its partner's, in place.

        Parameters
        ----------
        data : array[B, ...]        from `allocate`
        partner : int64[B]          a row that is its own partner stays as it is
        share : float               of a row's own values, 0 to 1
        box : None, or (y, x, height, width, layout)
                                    what is taken from the partner instead, whole
        """

    def put(self, host: npt.ArrayLike) -> Any:
        """Return a host array as an array of this device."""

    def fence(self, batch: Any) -> None:
        """Wait, on the host, until a batch's arrays are complete."""

    def close(self) -> None:
        """Release everything; may be called twice."""
