"""The EXIF orientation that an encoded image states, whatever its format, and how to follow it."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.decode.formats import probe
from gpuio.decode.jpeg import exif_orientation
from gpuio.errors import DecodeError

__all__ = ["stated_orientation", "upright"]

_EXIF = b"Exif\0\0"


def stated_orientation(blob: bytes) -> int:
    """Return the EXIF orientation of a JPEG, PNG or WebP, 1 to 8.

    Parameters
    ----------
    blob : bytes            an encoded image, or anything else

    Returns
    -------
    int                     1 where none is stated, or the header is damaged

    Notes
    -----
    A TIFF is not asked: OpenCV turns it whatever it is told.
    """
    try:
        info = probe(blob)
    except DecodeError:
        return 1
    if info.format == "jpeg":
        return info.orientation
    if info.format == "png":
        return _in_chunks(blob, 8, ">I4s", b"eXIf", 4)
    if info.format == "webp":
        return _in_chunks(blob, 12, "<4sI", b"EXIF", 0)
    return 1


def _in_chunks(blob: bytes, at: int, head: str, kind: bytes, checksum: int) -> int:
    """Return what the chunk of a kind states, chunks being a head, data and a checksum."""
    while at + 8 <= len(blob):
        first, second = struct.unpack_from(head, blob, at)
        name, length = (first, second) if isinstance(first, bytes) else (second, first)
        if name == kind:
            return exif_orientation(_EXIF + blob[at + 8 : at + 8 + length].removeprefix(_EXIF))
        at += 8 + length + checksum
        at += length % 2 if checksum == 0 else 0  # WebP's chunks begin at even bytes
    return 1


def upright(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn pixels as an EXIF orientation says.

    Parameters
    ----------
    pixels : array[height, width] or [height, width, channels]
    orientation : int       1 to 8; from 5 on, height and width change places

    Returns
    -------
    array of the same dtype, C order
    """
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    down = orientation in (3, 4, 7, 8)
    across = orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(pixels[:: -1 if down else 1, :: -1 if across else 1])
