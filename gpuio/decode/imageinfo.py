"""What an encoded image says of itself before any pixel is decoded.

`probe` reads the header alone: format, size, channels, depth, EXIF orientation and, for JPEG, what
decides whether a GPU's engine takes it. Limits are enforced here, so that a file of a hundred bytes
that claims 100 megapixels costs nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from gpuio.errors import DecodeError

__all__ = ["BARE_MARKERS", "DEFAULT_MAX_PIXELS", "ImageInfo", "check_size", "probe"]

DEFAULT_MAX_PIXELS = 64_000_000

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
    ImageInfo               `format` is "unknown" when no known signature stands at the start; such
                            a blob may still be an image that OpenCV reads

    Raises
    ------
    DecodeError             the signature is known and the header behind it is damaged
    """
    head = bytes(blob[:16])
    if head[:2] == b"\xff\xd8":
        return _jpeg(blob)
    for start, reader in _READERS:
        if head.startswith(start):
            try:
                return reader(blob)
            except (struct.error, IndexError, ValueError) as error:
                if isinstance(error, DecodeError):
                    raise
                raise DecodeError(
                    f"image header is cut short or damaged ({head[:8].hex()}..., {len(blob)} bytes)"
                ) from error
    return ImageInfo("unknown", 0, 0, 0, 0)


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


def _jpeg(blob: _Buffer) -> ImageInfo:
    """Walk the marker segments up to the frame header."""
    size, at, orientation = len(blob), 2, 1
    while at + 4 <= size:
        if blob[at] != 0xFF:
            # libjpeg skips bytes that are no marker; so does this walk
            at += 1
            continue
        marker = blob[at + 1]
        if marker == 0xFF:
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
        "jpeg", height, width, channels, bits, orientation, process, subsampling, hardware
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


def _png(blob: _Buffer) -> ImageInfo:
    length, kind, width, height, bits, color = struct.unpack_from(">I4sIIBB", blob, 8)
    if kind != b"IHDR" or length != 13:
        raise DecodeError("PNG does not start with an IHDR chunk of 13 bytes")
    channels = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(color, 0)
    return ImageInfo("png", height, width, channels, bits)


def _bmp(blob: _Buffer) -> ImageInfo:
    (header,) = struct.unpack_from("<I", blob, 14)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", blob, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", blob, 18)
    return ImageInfo("bmp", abs(height), width, {32: 4}.get(bits, 3), 8)


def _gif(blob: _Buffer) -> ImageInfo:
    width, height = struct.unpack_from("<HH", blob, 6)
    return ImageInfo("gif", height, width, 3, 8)


def _riff(blob: _Buffer) -> ImageInfo:
    if bytes(blob[8:12]) != b"WEBP":
        return ImageInfo("unknown", 0, 0, 0, 0)
    kind = bytes(blob[12:16])
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", blob, 26)
        return ImageInfo("webp", height & 0x3FFF, width & 0x3FFF, 3, 8)
    if kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", blob, 21)
        alpha = (packed >> 28) & 1
        return ImageInfo("webp", ((packed >> 14) & 0x3FFF) + 1, (packed & 0x3FFF) + 1, 3 + alpha, 8)
    flags = blob[20]
    width = int.from_bytes(blob[24:27], "little") + 1
    height = int.from_bytes(blob[27:30], "little") + 1
    return ImageInfo("webp", height, width, 4 if flags & 0x10 else 3, 8)


def _tiff(blob: _Buffer) -> ImageInfo:
    order = "<" if bytes(blob[:2]) == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", blob, 4)
    (count,) = struct.unpack_from(order + "H", blob, first)
    tags: dict[int, int] = {}
    for entry in range(first + 2, first + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(order + "HHI", blob, entry)
        code = {1: "B", 3: "H", 4: "I"}.get(kind)
        if code is None or tag not in (256, 257, 258, 277):
            continue
        inline = number * struct.calcsize(code) <= 4
        at = entry + 8 if inline else struct.unpack_from(order + "I", blob, entry + 8)[0]
        tags[tag] = struct.unpack_from(order + code, blob, at)[0]
    return ImageInfo(
        "tiff", tags.get(257, 0), tags.get(256, 0), min(tags.get(277, 1), 4), tags.get(258, 8)
    )


def _pnm(blob: _Buffer) -> ImageInfo:
    """Read the numbers of a PBM, PGM or PPM header; comments run from # to the end of a line."""
    head = bytes(blob[:512])
    kind = head[1:2]
    if not kind.isdigit() or not b"1" <= kind <= b"6":
        return ImageInfo("unknown", 0, 0, 0, 0)
    text = b"\n".join(line.split(b"#")[0] for line in head[2:].split(b"\n"))
    width, height = (int(word) for word in text.split()[:2])
    return ImageInfo("pnm", height, width, 3 if kind in b"36" else 1, 8)


def _jp2(blob: _Buffer) -> ImageInfo:
    """Find the image header box, or read a bare codestream's SIZ segment."""
    at = bytes(blob[:512]).find(b"ihdr")
    if at >= 0:
        height, width, channels, depth = struct.unpack_from(">IIHB", blob, at + 4)
        return ImageInfo("jp2", height, width, min(channels, 4), (depth & 0x7F) + 1)
    x1, y1, x0, y0 = struct.unpack_from(">IIII", blob, 8)
    return ImageInfo("jp2", y1 - y0, x1 - x0, 3, 8)


_READERS: tuple[tuple[bytes, Callable[[_Buffer], ImageInfo]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"BM", _bmp),
    (b"GIF8", _gif),
    (b"RIFF", _riff),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
    (b"P", _pnm),
    (b"\0\0\0\x0cjP  ", _jp2),
    (b"\xff\x4f\xff\x51", _jp2),
)
