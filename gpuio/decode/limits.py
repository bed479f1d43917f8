"""What is refused by its header alone: other formats, too many pixels, too many scans.

A file of a hundred bytes that claims 100 megapixels costs nothing.

Every scan of a progressive JPEG visits all of its coefficients, and a scan of a few bytes is
enough: a file of some kilobytes can keep a decoder busy for minutes. So scans are counted before
anything is decoded, and bounded by themselves and together with the pixels.
"""

from __future__ import annotations

import numpy as np

from gpuio.decode.formats import BARE_MARKERS, ImageInfo
from gpuio.decode.headers import foreign_name
from gpuio.errors import DecodeError

__all__ = ["check_format", "check_scans", "check_size", "count_scans"]

# scans that an image of max_pixels may have; encoders write ten or so
_FULL_SIZE_SCANS = 16

# what libjpeg-turbo decodes to three channels; it converts no colours of lossless images
_DECODED = ("baseline", "extended", "progressive", "arithmetic", "arithmetic progressive")

_START_OF_SCAN = 0xDA

_Buffer = bytes | bytearray | memoryview


def check_format(info: ImageInfo, blob: _Buffer) -> None:
    """Refuse bytes that are no image of a format this package reads.

    Raises
    ------
    DecodeError             naming the format where it is known, and the first bytes; for a JPEG of
                            12 bits, a lossless or a hierarchical one, naming its kind
    """
    if info.format == "jpeg" and (info.bits != 8 or info.process not in _DECODED):
        raise DecodeError(
            f"{info.process} JPEG of {info.bits} bits: a kind that is not decoded; expected 8 bits "
            f"and {', '.join(_DECODED)}"
        )
    if info.format != "unknown":
        return
    if len(blob) == 0:
        raise DecodeError("image is empty: the record holds a header and no image bytes")
    foreign = foreign_name(blob)
    raise DecodeError(
        f"not a readable image: {len(blob)} bytes starting {bytes(blob[:8]).hex()}"
        + (f", a file of format {foreign}, which is not read" if foreign else "")
        + "; expected JPEG, PNG, WebP, GIF, BMP, TIFF, PNM or JPEG 2000"
    )


def check_size(info: ImageInfo, max_pixels: int) -> None:
    """Refuse an image whose header claims no pixels, or more than `max_pixels`.

    Raises
    ------
    DecodeError             naming the claimed size, the limit and the option that moves it
    """
    if info.height < 1 or info.width < 1:
        raise DecodeError(
            f"{info.format} header says {info.width}x{info.height} pixels: expected at least 1x1"
        )
    if info.height * info.width > max_pixels:
        raise DecodeError(
            f"{info.format} header says {info.width}x{info.height} pixels, more than the limit of "
            f"{max_pixels:,}: raise max_pixels if the image is genuine"
        )


def count_scans(blob: _Buffer, info: ImageInfo) -> int:
    """Return how many times a decoder goes over an image's coefficients.

    Parameters
    ----------
    blob : bytes-like       the encoded image
    info : ImageInfo        what `probe` says of it

    Returns
    -------
    int                     1 unless it is a JPEG of several scans; 0 for a JPEG that ends before
                            its first one
    """
    if info.format != "jpeg":
        return 1
    at = _first_scan(blob, info.frame_at)
    # of a sequential image a first scan with all of its components is the only one
    if "progressive" not in info.process and at + 4 < len(blob) and blob[at + 4] == info.channels:
        return 1
    data = np.frombuffer(blob, np.uint8)[at:]
    marks = np.flatnonzero(data[:-1] == 0xFF)
    return int(np.count_nonzero(data[marks + 1] == _START_OF_SCAN))


def check_scans(blob: _Buffer, info: ImageInfo, max_scans: int, max_pixels: int) -> int:
    """Return how many scans an image has; refuse a JPEG that would take too long for them.

    Raises
    ------
    DecodeError             more than `max_scans` scans, or so many for its size that they visit
                            more than 16 times `max_pixels`
    """
    scans = count_scans(blob, info)
    if scans > max_scans:
        raise DecodeError(
            f"JPEG has {scans} scans, more than the limit of {max_scans}: raise max_scans if the "
            "image is genuine"
        )
    pixels = info.height * info.width
    if scans > 1 and scans * pixels > _FULL_SIZE_SCANS * max_pixels:
        raise DecodeError(
            f"JPEG has {scans} scans of {info.width}x{info.height} pixels, more than "
            f"{_FULL_SIZE_SCANS} of max_pixels={max_pixels:,}: raise max_pixels if the image is "
            "genuine"
        )
    return scans


def _first_scan(blob: _Buffer, at: int) -> int:
    """Walk from the frame header to the first scan; the image's end if it has none."""
    size = len(blob)
    while at + 4 <= size:
        marker = blob[at + 1] if blob[at] == 0xFF else 0
        if marker in (0x00, 0xFF):
            at += 1
        elif marker in BARE_MARKERS:
            at += 2
        elif marker == _START_OF_SCAN:
            return at
        else:
            at += 2 + max((blob[at + 2] << 8) | blob[at + 3], 2)
    return size
