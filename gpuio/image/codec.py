"""Encoded bytes to an image array, under the rules of `mx.image.imdecode`.

These differ from ImageRecordIter's: channels come out as R, G, B, and the EXIF orientation is
ignored in files that OpenCV-free size parsing understands (JFIF first, or PNG).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.decode.limits import check_image
from gpuio.errors import DecodeError, GpuioWarning, OptionError
from gpuio.forking import working
from gpuio.nd import NDArray, host_array
from gpuio.options.machine import MAX_PIXELS, MAX_SCANS
from gpuio.storage.files import read_whole

__all__ = ["imdecode", "imread"]

_PNG = b"\x89PNG\r\n\x1a\n"
_END_OF_IMAGE = b"\xff\xd9"


def imdecode(
    buf: Any,
    flag: int = 1,
    to_rgb: int | bool = 1,
    out: Any = None,
    *,
    max_pixels: int = MAX_PIXELS,
    max_scans: int = MAX_SCANS,
) -> NDArray:
    """Decode an image.

    Parameters
    ----------
    buf : bytes, bytearray, numpy.ndarray or uint8 NDArray
        The encoded image; of an array the raw memory is taken, for any dtype.
    flag : int, default 1           0: gray, one channel; above 0: colour, three channels
    to_rgb : bool, default True     channels R, G, B; false: B, G, R; no meaning for gray
    out : uint8[height, width, channels], optional      written and returned
    max_pixels, max_scans : int
        Ours: refuse an image whose header claims more pixels, or a JPEG of more scans, before
        anything is allocated.

    Returns
    -------
    uint8[height, width, channels]  16-bit sources are scaled to 8 bits, alpha is dropped

    Raises
    ------
    ValueError      `buf` has another type
    DecodeError     the bytes are empty or not a readable image, or over a limit
    OptionError     `flag` is negative, or `out` or an NDArray `buf` has another shape or dtype

    Notes
    -----
    As in MXNet, a file that starts with a JFIF marker and a PNG are decoded as stored; any other
    file is rotated as its EXIF orientation says. A JPEG cut short in its scan data gives the part
    that is there and gray below, with a `GpuioWarning`; MXNet leaves uninitialised memory there
    without a warning. A JPEG cut short in its headers is an error; MXNet returns uninitialised
    memory.
    """
    encoded = _as_bytes(buf)
    if flag < 0:
        raise OptionError(f"flag={flag}: expected 0 for gray or 1 for colour")
    if encoded.size == 0:
        raise DecodeError("Input cannot be an empty buffer: there are no image bytes to decode")
    info = check_image(encoded.data, max_pixels, max_scans)
    if info is None:
        raise _unreadable(encoded)
    pixels = _decode(encoded, gray=flag == 0, to_rgb=bool(to_rgb))
    if out is None:
        return host_array(pixels)
    return _write(pixels, out)


def imread(
    filename: str | Path,
    flag: int = 1,
    to_rgb: int | bool = True,
    out: Any = None,
    *,
    max_pixels: int = MAX_PIXELS,
    max_scans: int = MAX_SCANS,
) -> NDArray:
    """Read and decode an image file; arguments and rules are those of `imdecode`.

    Raises
    ------
    StorageError    the file cannot be opened
    DecodeError     its bytes are not a readable image; the error names the file
    """
    data = read_whole(filename, "couldn't open file")
    try:
        return imdecode(data, flag, to_rgb, out, max_pixels=max_pixels, max_scans=max_scans)
    except DecodeError as error:
        raise DecodeError(error.message, path=str(filename)) from error


def _as_bytes(buf: Any) -> npt.NDArray[np.uint8]:
    if isinstance(buf, NDArray):
        if buf.dtype != np.uint8:
            raise OptionError(f"Input needs to be uint8 buffer: the NDArray is of {buf.dtype}")
        return np.asarray(buf).reshape(-1)
    if isinstance(buf, np.ndarray):
        return np.ascontiguousarray(buf).reshape(-1).view(np.uint8)
    if isinstance(buf, (bytes, bytearray)):
        return np.frombuffer(buf, np.uint8)
    raise ValueError(
        f"buf of type {type(buf).__name__}: expected bytes, bytearray, numpy.ndarray or a uint8 "
        "NDArray"
    )


def _ignores_orientation(encoded: npt.NDArray[np.uint8]) -> bool:
    """Whether MXNet parses this file's size itself, and so never sees its EXIF segment."""
    head = encoded[:11].tobytes()
    return head.startswith(_PNG) or (head[:4] == b"\xff\xd8\xff\xe0" and head[6:10] == b"JFIF")


def _decode(encoded: npt.NDArray[np.uint8], *, gray: bool, to_rgb: bool) -> npt.NDArray[np.uint8]:
    with working:
        import cv2

    rgb_code = getattr(cv2, "IMREAD_COLOR_RGB", None)  # OpenCV >= 4.11 swaps while decoding
    swap = to_rgb and not gray and rgb_code is None
    if gray:
        code = cv2.IMREAD_GRAYSCALE
    else:
        code = rgb_code if to_rgb and rgb_code is not None else cv2.IMREAD_COLOR
    if _ignores_orientation(encoded):
        code |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels: Any = cv2.imdecode(encoded, code)
        if pixels is None and encoded[:2].tobytes() == b"\xff\xd8":
            pixels = _decode_cut_short(encoded, code)
    except cv2.error as error:
        raise DecodeError(f"OpenCV refused the image of {encoded.size} bytes: {error}") from error
    if pixels is None:
        raise _unreadable(encoded)
    if swap:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return np.asarray(pixels[:, :, None] if pixels.ndim == 2 else pixels)


def _unreadable(encoded: npt.NDArray[np.uint8]) -> DecodeError:
    return DecodeError(
        f"Decoding failed. Invalid image file: {encoded.size} bytes that start "
        f"{encoded[:8].tobytes().hex()} are not an image OpenCV reads, or are damaged"
    )


def _decode_cut_short(encoded: npt.NDArray[np.uint8], code: int) -> Any:
    """Append the end marker to a JPEG without one: libjpeg then fills what is missing."""
    with working:
        import cv2

    if encoded[-2:].tobytes() == _END_OF_IMAGE:
        return None
    pixels = cv2.imdecode(np.append(encoded, np.frombuffer(_END_OF_IMAGE, np.uint8)), code)
    if pixels is not None:
        warnings.warn(
            f"a JPEG of {encoded.size} bytes is cut short: its missing part is gray",
            GpuioWarning,
            stacklevel=4,
        )
    return pixels


def _write(pixels: npt.NDArray[np.uint8], out: Any) -> NDArray:
    if out.shape != pixels.shape or out.dtype != np.uint8:
        raise OptionError(
            f"out is {out.dtype}{list(out.shape)}, the image is uint8{list(pixels.shape)}"
        )
    out[...] = pixels
    return out if isinstance(out, NDArray) else host_array(out)
