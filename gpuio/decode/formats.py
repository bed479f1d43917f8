"""What an encoded image says of itself before any pixel is decoded.

`probe` reads the header alone: format, size, channels, depth, EXIF orientation and, for JPEG, what
decides whether a GPU's engine takes it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from gpuio.decode.headers import read_header
from gpuio.errors import DecodeError

__all__ = ["BARE_MARKERS", "HEADER", "ImageInfo", "probe"]

# what a backend is told of an image, a row of an array; all 0 where there is none:
# size as stored; whether a GPU's JPEG engine takes what the frame header says; how many scans there
# are; whether a JPEG's own end marker is there
HEADER = np.dtype(
    [
        ("height", np.int32),
        ("width", np.int32),
        ("hardware", np.bool_),
        ("scans", np.int32),
        ("ended", np.bool_),
    ]
)

_Buffer = bytes | bytearray | memoryview

_SUBSAMPLING: dict[tuple[tuple[int, int], ...], str] = {
    ((1, 1), (1, 1), (1, 1)): "4:4:4",
    ((2, 1), (1, 1), (1, 1)): "4:2:2",
    ((2, 2), (1, 1), (1, 1)): "4:2:0",
    ((1, 2), (1, 1), (1, 1)): "4:4:0",
    ((4, 1), (1, 1), (1, 1)): "4:1:1",
    ((4, 2), (1, 1), (1, 1)): "4:1:0",
    ((2, 2), (2, 1), (2, 1)): "4:4:0",
    ((2, 2), (1, 2), (1, 2)): "4:2:2",
}
_HARDWARE_SUBSAMPLING = frozenset({"4:4:4", "4:2:2", "4:2:0", "4:4:0", "gray"})
_SOF_WITHOUT_FRAME = frozenset({0xC4, 0xC8, 0xCC})
BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})
# process byte of the frame marker -> what the JPEG standard calls it
_PROCESS = {
    0xC0: "baseline",
    0xC1: "extended",
    0xC2: "progressive",
    0xC3: "lossless",
    0xC5: "hierarchical",
    0xC6: "hierarchical",
    0xC7: "hierarchical",
    0xC9: "arithmetic",
    0xCA: "arithmetic progressive",
    0xCB: "arithmetic lossless",
    0xCD: "hierarchical",
    0xCE: "hierarchical",
    0xCF: "hierarchical",
}


class ImageInfo(NamedTuple):
    """A header's facts.

    Attributes
    ----------
    format : str            "jpeg", "png", "bmp", "gif", "webp", "tiff", "pnm", "jp2" or "unknown"
    height, width : int     pixels as stored, before `orientation`; 0, 0 when the format is unknown
    channels : int          1 to 4; 0 when unknown
    bits : int              bits a channel: 8, 12, 16; 0 when unknown
    orientation : int       EXIF orientation 1 to 8; 1 unless the file is a JPEG that says otherwise
    process : str           JPEG: "baseline", "progressive", ...; else ""
    subsampling : str       JPEG: "4:4:4", "4:2:0", "gray", ... or "other"; else ""
    hardware : bool         whether a GPU's JPEG engine takes it: baseline, 8 bits, 1 or 3 channels,
                            a common subsampling, one scan as far as the frame header tells
    frame_at : int          JPEG: byte of the image at which the frame header starts; else 0
    """

    format: str
    height: int
    width: int
    channels: int
    bits: int
    orientation: int = 1
    process: str = ""
    subsampling: str = ""
    hardware: bool = False
    frame_at: int = 0

    @property
    def oriented(self) -> tuple[int, int]:
        """(height, width) after the orientation is applied."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


def probe(blob: _Buffer) -> ImageInfo:
    """Read the header of an encoded image.

    Parameters
    ----------
    blob : bytes-like       the encoded image, from its first byte

    Returns
    -------
    ImageInfo               `format` is "unknown" when no known signature stands at the start

    Raises
    ------
    DecodeError             the signature is known and the header behind it is damaged
    """
    if bytes(blob[:2]) == b"\xff\xd8":
        return _jpeg(blob)
    return ImageInfo(*read_header(blob))


def _jpeg(blob: _Buffer) -> ImageInfo:
    """Walk the marker segments up to the frame header."""
    size, at, orientation = len(blob), 2, 1
    while at + 4 <= size:
        if blob[at] != 0xFF:
            # libjpeg skips bytes that are no marker; so does this walk
            at += 1
            continue
        marker = blob[at + 1]
        if marker in (0x00, 0xFF):  # a stuffed byte and a fill byte are no markers, either
            at += 1
            continue
        if marker in BARE_MARKERS:
            at += 2
            continue
        if marker in (0xD9, 0xDA):
            raise DecodeError(
                f"JPEG has no frame header before its {'scan' if marker == 0xDA else 'end'}, "
                f"at byte {at} of the image"
            )
        length = (blob[at + 2] << 8) | blob[at + 3]
        if length < 2:
            raise DecodeError(f"JPEG segment of length {length} at byte {at} of the image")
        if 0xC0 <= marker <= 0xCF and marker not in _SOF_WITHOUT_FRAME:
            if at + 10 > size or at + 10 + 3 * blob[at + 9] > size:
                break
            return _jpeg_frame(blob, at, marker, orientation)
        if marker == 0xE1 and orientation == 1 and length >= 16:
            orientation = _exif_orientation(bytes(blob[at + 4 : at + 2 + length]))
        at += 2 + length
    raise DecodeError(f"JPEG ends inside its headers: {size} bytes and no frame header in them")


def _jpeg_frame(blob: _Buffer, at: int, marker: int, orientation: int) -> ImageInfo:
    """Read the frame header that starts at byte `at`."""
    bits = blob[at + 4]
    height = (blob[at + 5] << 8) | blob[at + 6]
    width = (blob[at + 7] << 8) | blob[at + 8]
    channels = blob[at + 9]
    if channels not in (1, 3, 4):
        raise DecodeError(f"JPEG frame header says {channels} components: expected 1, 3 or 4")
    factors = tuple(
        (blob[at + 11 + 3 * c] >> 4, blob[at + 11 + 3 * c] & 15) for c in range(channels)
    )
    subsampling = "gray" if channels == 1 else _SUBSAMPLING.get(factors[:3], "other")
    process = _PROCESS[marker]
    hardware = (
        process in ("baseline", "extended")
        and bits == 8
        and channels in (1, 3)
        and subsampling in _HARDWARE_SUBSAMPLING
    )
    return ImageInfo(
        "jpeg", height, width, channels, bits, orientation, process, subsampling, hardware, at
    )


def _exif_orientation(segment: bytes) -> int:
    """Return the orientation an APP1 segment states, 1 if it states none or is damaged."""
    if segment[:6] != b"Exif\0\0":
        return 1
    tiff = segment[6:]
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    magic, first = struct.unpack_from(order + "HI", tiff, 2)
    if magic != 42 or first + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(order + "H", tiff, first)
    for entry in range(first + 2, min(first + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind = struct.unpack_from(order + "HH", tiff, entry)
        if tag == 0x0112:
            (value,) = struct.unpack_from(order + "H", tiff, entry + 8)
            return int(value) if kind == 3 and 1 <= value <= 8 else 1
    return 1
