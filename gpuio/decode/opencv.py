"""Decode on the CPU with OpenCV: every format it reads, libjpeg-turbo for JPEG.

Invariant: pixels come as stored (EXIF orientation is the plan's business) and as uint8.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.decode.formats import probe
from gpuio.errors import DecodeError

__all__ = ["decode"]

# cv2's IMREAD codes: grayscale 0, color 1, ignore orientation 128, unchanged -1
_FLAGS = {1: 0 | 128, 3: 1 | 128, 4: -1}
_REDUCED = {1: (16, 32, 64), 3: (17, 33, 65)}  # at 1/2, 1/4, 1/8: IMREAD_REDUCED_...
_NO_MEMORY = -4  # cv2.Error.STS_NO_MEM


def decode(blob: bytes | memoryview, channels: int, scale: int = 1) -> npt.NDArray[np.uint8]:
    """Decode one image.

    Parameters
    ----------
    blob : bytes-like               the encoded image
    channels : {1, 3, 4}            gray by the decoder's own luma, BGR (gray replicated, alpha
                                    dropped), or BGRA as stored
    scale : {1, 2, 4, 8}            decode a JPEG at 1 / scale of its size, parts of a pixel rounded
                                    up; to 1 or 3 channels

    Returns
    -------
    uint8[height, width, channels]  C order, host, B G R (A); 16-bit sources keep their high byte

    Raises
    ------
    DecodeError     the bytes are not an image that OpenCV reads, are cut short, or, for 4
                    channels, hold another number of them
    MemoryError     OpenCV found no room for the pixels; no fault of the image
    """
    import cv2

    encoded = np.frombuffer(blob, dtype=np.uint8)
    if encoded.size == 0:
        raise DecodeError("image is empty: the record holds a header and no image bytes")
    try:
        pixels: Any = cv2.imdecode(encoded, _flags(channels, scale))
    except cv2.error as error:
        if error.code == _NO_MEMORY:
            raise MemoryError(f"OpenCV has no memory for an image's pixels: {error}") from error
        raise DecodeError(f"OpenCV refused the image of {encoded.size} bytes: {error}") from error
    if pixels is None:
        raise DecodeError(_refusal(blob))
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] != channels or pixels.dtype != np.uint8:
        raise DecodeError(
            f"image has {pixels.shape[2]} channels of {pixels.dtype}, data_shape asks for "
            f"{channels} of uint8"
        )
    return np.ascontiguousarray(pixels)


def _flags(channels: int, scale: int) -> int:
    """Return OpenCV's code of what is asked for."""
    if scale == 1:
        return _FLAGS[channels]
    return _REDUCED[channels][scale.bit_length() - 2] | 128


def _refusal(blob: bytes | memoryview) -> str:
    """Say what OpenCV did not decode."""
    start = f"not a readable image: {len(blob)} bytes starting {bytes(blob[:8]).hex()}"
    info = probe(blob)
    if info.format == "unknown":
        return f"{start}, unknown to OpenCV, damaged or cut short"
    if info.format != "jpeg":
        return f"{start}, {info.format.upper()}: damaged, cut short or of a kind OpenCV lacks"
    kind = f"{start}, {info.process} JPEG of {info.bits} bits"
    if info.ended:
        return f"{kind}: damaged, or of a kind OpenCV lacks"
    return f"{kind}: cut short, it has no end marker; truncated='accept' takes what is there"
