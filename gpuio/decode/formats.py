"""What an encoded image says of itself before any pixel is decoded.

`probe` reads the header alone: format, size, channels, depth, EXIF orientation and, for JPEG, what
decides whether a GPU's engine takes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gpuio.decode.headers import read_header
from gpuio.decode.jpeg import has_end, walk
from gpuio.kernels.image_header import HEADER

__all__ = ["FORMATS", "HEADER", "ImageInfo", "engine_takes", "probe"]

FORMATS = ("unknown", "jpeg", "png", "bmp", "gif", "webp", "tiff", "pnm", "jp2")  # by kind

_Buffer = bytes | bytearray | memoryview

_MOST_BITS = 1 << 16  # a TIFF may claim more than a column holds
_KIND = {name: kind for kind, name in enumerate(FORMATS)}
_JPEG = _KIND["jpeg"]
# factors of three components, see ImageInfo.sampling
_SUBSAMPLING = {
    0x111111: "4:4:4",
    0x211111: "4:2:2",
    0x221111: "4:2:0",
    0x121111: "4:4:0",
    0x411111: "4:1:1",
    0x421111: "4:1:0",
    0x222121: "4:4:0",
    0x221212: "4:2:2",
}
_ENGINE_FRAMES = (0xC0, 0xC1)
_ENGINE_SAMPLING = [
    code for code, name in _SUBSAMPLING.items() if name in ("4:4:4", "4:2:2", "4:2:0", "4:4:0")
]
# frame marker -> what the JPEG standard calls it
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
    """A header's facts, in the order of HEADER's fields.

    Attributes
    ----------
    kind : int              place of the format in FORMATS
    height, width : int     pixels as stored, before `orientation`; 0, 0 when the format is unknown
    channels : int          1 to 4; 0 when unknown
    bits : int              bits per channel: 8, 12, 16; 0 when unknown
    orientation : int       EXIF orientation 1 to 8; 1 unless the file is a JPEG that says otherwise
    frame : int             JPEG: the frame's marker, 0xC0 baseline, 0xC2 progressive, ...; else 0
    sampling : int          JPEG: one byte per component, the first one highest: horizontal factor
                            * 16 + vertical factor; else 0
    frame_at : int          JPEG: byte of the image at which the frame header starts; else 0
    scans : int             JPEG: how many times a decoder goes over the coefficients, 0 if the
                            image ends before its first scan; else 1
    one_scan : int          JPEG: 1 if the first scan of a sequential frame is the only one; else 0
    shortens : int          JPEG: 1 if decoding may stop early, see `gpuio.decode.jpeg`; else 0
    ended : int             JPEG: 1 if its end marker is there; else 0
    """

    kind: int
    height: int
    width: int
    channels: int
    bits: int
    orientation: int = 1
    frame: int = 0
    sampling: int = 0
    frame_at: int = 0
    scans: int = 1
    one_scan: int = 0
    shortens: int = 0
    ended: int = 0

    @property
    def format(self) -> str:
        """Name of the format: "jpeg", "png", ...; "unknown" without a known signature."""
        return FORMATS[self.kind]

    @property
    def process(self) -> str:
        """Name of a JPEG's process: "baseline", "progressive", ...; else ""."""
        return _PROCESS.get(self.frame, "")

    @property
    def subsampling(self) -> str:
        """Name of a JPEG's sampling: "4:4:4", "4:2:0", "gray", ... or "other"; else ""."""
        if self.kind != _JPEG:
            return ""
        if self.channels == 1:
            return "gray"
        return _SUBSAMPLING.get(self.sampling >> 8 * (self.channels - 3), "other")

    @property
    def oriented(self) -> tuple[int, int]:
        """(height, width) after the orientation is applied."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


def engine_takes(headers: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Say which images a GPU's JPEG engine takes.

    Parameters
    ----------
    headers : HEADER[n]

    Returns
    -------
    bool[n]     baseline JPEG of 8 bits, one scan, 1 or 3 channels and a common subsampling
    """
    # a few comparisons: np.isin costs three times as much for some hundred rows
    common = _among(headers["sampling"], _ENGINE_SAMPLING) & (headers["channels"] == 3)
    takes = _among(headers["frame"], _ENGINE_FRAMES)
    takes &= (headers["bits"] == 8) & (headers["scans"] == 1)
    takes &= common | (headers["channels"] == 1)
    return takes


def _among(values: npt.NDArray[Any], wanted: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Say which values are one of a few."""
    found = np.zeros(len(values), np.bool_)
    for one in wanted:
        found |= values == one
    return found


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
    if blob[:2] == b"\xff\xd8":
        found = walk(blob)
        return ImageInfo(_JPEG, *found[:-1], int(has_end(blob)))
    name, height, width, channels, bits = read_header(blob)
    return ImageInfo(_KIND[name], height, width, channels, min(bits, _MOST_BITS))
