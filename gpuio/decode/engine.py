"""What the GPU backend asks of a JPEG engine, whichever library is behind it.

An engine decodes a batch to uint8 pixels, gray or with channels in B, G, R or R, G, B order (it
says which), as stored (no EXIF orientation), packed rows, one address per image. Both engines also
run without a GPU, on host memory, through the same code.

Invariant: an engine may write its output at call time, ignoring every stream. Whoever hands it
memory, or lets go of memory it handed out, has waited on the host for the last reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import DecodeError

__all__ = [
    "DEVICE_PADDING",
    "HOST_PADDING",
    "Decoded",
    "Destination",
    "Engine",
    "OutOfDeviceMemoryError",
    "is_out_of_memory",
]

Blob = bytes | memoryview

# bytes that nvJPEG's buffers have at least, whichever library holds them: DALI's own defaults.
# Without them a buffer grows whenever an image is larger than all before it, and each cudaMalloc
# makes the whole GPU wait
DEVICE_PADDING = 16 << 20
HOST_PADDING = 8 << 20

_OUT_OF_MEMORY = ("out of memory", "out_of_memory", "memoryallocation", "bad_alloc")


class OutOfDeviceMemoryError(MemoryError):
    """The device has no room for what was asked.

    Parameters
    ----------
    message : str
    wanted_bytes : int      what was asked, 0 when an engine asked on its own
    """

    def __init__(self, message: str, wanted_bytes: int = 0) -> None:
        super().__init__(message)
        self.wanted_bytes = wanted_bytes


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether a foreign library's error means that the device is full."""
    text = f"{type(error).__name__} {error}".lower()
    return isinstance(error, MemoryError) or any(mark in text for mark in _OUT_OF_MEMORY)


@attrs.define(eq=False)
class Destination:
    """Memory for one image, handed to engines for as long as it lies there.

    Attributes
    ----------
    address : int       of its first byte
    memory : object     uint8[1, pixels, channels] over it
    image : object      what an engine made of it, to use again; None until one did
    """

    address: int
    memory: Any
    image: Any = None


@attrs.frozen(eq=False)
class Decoded:
    """A decoded batch.

    Attributes
    ----------
    addresses : uint64[n]   where each image's uint8[height, width, channels] starts; 0 = failed
    errors : dict of int to DecodeError
                            why a row failed
    keep : object           hold it until the last reader was waited for on the host
    swapped : bool          whether three channels are in R, G, B order, not in B, G, R
    """

    addresses: npt.NDArray[np.uint64]
    errors: dict[int, DecodeError]
    keep: Any
    swapped: bool = False


class Engine(Protocol):
    """A JPEG decoder of one device. One call at a time; use one engine a thread."""

    name: str
    uses_arena: bool  # decodes into memory it is handed, one place an image

    def warm_up(self, blob: Blob, rows: int) -> None:
        """Decode `rows` copies of `blob` once, so that the engine's shares fit such batches."""

    def decode(
        self,
        blobs: Sequence[Blob],
        sizes: npt.NDArray[np.int32],
        channels: int,
        places: Sequence[Destination],
        stream: int,
    ) -> Decoded:
        """Decode a batch.

        Parameters
        ----------
        blobs : sequence of bytes-like      JPEG
        sizes : int32[n, 2]                 (height, width) that the headers promise
        channels : {1, 3}                   gray or colour
        places : sequence of Destination          memory of each image; empty unless `uses_arena`
        stream : int                        handle of the stream that the pixels are ready on

        Raises
        ------
        OutOfDeviceMemoryError                   the engine's own memory did not fit
        DecodeError                         the engine refused the batch as a whole
        """

    def close(self) -> None:
        """Release the engine; may be called twice."""
