"""Sizes, channels and depths from the headers of every image format but JPEG.

Where a file states a size twice, the larger one counts: what is refused by its size must not come
in by a second header that the decoder believes instead.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from gpuio.errors import DecodeError

__all__ = ["Facts", "foreign_name", "read_header"]

Facts = tuple[str, int, int, int, int]  # format, height, width, channels, bits a channel

_Buffer = bytes | bytearray | memoryview

_NOTHING: Facts = ("unknown", 0, 0, 0, 0)
# pixels that a TIFF's tiles may have beyond those of its image
_LARGEST_TILE = 1 << 24
_TIFF_CODES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_WIDTH, _HEIGHT, _DEPTH, _TURN, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT = _TIFF_TAGS = (
    256,
    257,
    258,
    274,
    277,
    322,
    323,
)
# two numbers, each closed by white space; comments run from # to the end of a line
_PNM = re.compile(rb"P([1-6])(?:\s|#[^\r\n]*[\r\n])+(\d{1,9})\s(?:\s|#[^\r\n]*[\r\n])*(\d{1,9})\s")

# formats that are images and are not read, by what their files start with
_FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIF"),
    (4, b"ftyphev", "HEIF"),
    (4, b"ftypmif1", "HEIF"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"#?RGBE", "Radiance HDR"),
    (0, b"P7", "PAM"),
    (0, b"PF", "PFM"),
    (0, b"Pf", "PFM"),
    (0, b"\x59\xa6\x6a\x95", "Sun raster"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\0\0\x01\0", "Windows icon"),
    (0, b"DDS ", "DDS"),
    (0, b"\x01\xda", "SGI"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML or SVG"),
    (0, b"<!DOCTYPE", "HTML page"),
    (0, b"<html", "HTML page"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"\x93NUMPY", "NumPy array"),
)


def read_header(blob: _Buffer) -> Facts:
    """Read the header of an image that is not a JPEG.

    Parameters
    ----------
    blob : bytes-like       the encoded image, from its first byte

    Returns
    -------
    (format, height, width, channels, bits)
        format "png", "bmp", "gif", "webp", "tiff", "pnm", "jp2" or, with zeros, "unknown"; sizes in
        pixels as stored, 0 where the header leaves them out

    Raises
    ------
    DecodeError             the signature is known and the header behind it is damaged
    """
    head = bytes(blob[:16])
    for start, reader in _READERS:
        if head.startswith(start):
            try:
                return reader(blob)
            except (struct.error, IndexError, ValueError, OverflowError) as error:
                if isinstance(error, DecodeError):
                    raise
                raise DecodeError(
                    f"image header is cut short or damaged ({head[:8].hex()}..., {len(blob)} bytes)"
                ) from error
    return _NOTHING


def foreign_name(blob: _Buffer) -> str:
    """Return the name of the format that bytes look like, of those not read; "" if of none."""
    head = bytes(blob[:32])
    for at, mark, name in _FOREIGN:
        if head.startswith(mark, at):
            return name
    return ""


def _png(blob: _Buffer) -> Facts:
    length, kind, width, height, bits, color = struct.unpack_from(">I4sIIBB", blob, 8)
    if kind != b"IHDR" or length != 13:
        raise DecodeError("PNG does not start with an IHDR chunk of 13 bytes")
    channels = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(color, 0)
    at = 33
    while kind != b"IEND" and at + 8 <= len(blob):
        length, kind = struct.unpack_from(">I4s", blob, at)
        if at + 8 + length > len(blob):  # OpenCV makes room for it before it reads
            raise DecodeError(
                f"PNG is cut short or damaged: its chunk {kind!r} of {length:,} bytes at byte {at} "
                f"ends beyond its {len(blob):,} bytes"
            )
        at += 12 + length
    return "png", height, width, channels, bits


def _bmp(blob: _Buffer) -> Facts:
    (header,) = struct.unpack_from("<I", blob, 14)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", blob, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", blob, 18)
    return "bmp", abs(height), width, {32: 4}.get(bits, 3), 8


def _gif(blob: _Buffer) -> Facts:
    width, height = struct.unpack_from("<HH", blob, 6)
    return "gif", height, width, 3, 8


def _riff(blob: _Buffer) -> Facts:
    if bytes(blob[8:12]) != b"WEBP":
        return _NOTHING
    kind = bytes(blob[12:16])
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", blob, 26)
        return "webp", height & 0x3FFF, width & 0x3FFF, 3, 8
    if kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", blob, 21)
        alpha = (packed >> 28) & 1
        return "webp", ((packed >> 14) & 0x3FFF) + 1, (packed & 0x3FFF) + 1, 3 + alpha, 8
    flags = blob[20]
    width = int.from_bytes(blob[24:27], "little") + 1
    height = int.from_bytes(blob[27:30], "little") + 1
    return "webp", height, width, 4 if flags & 0x10 else 3, 8


def _tiff(blob: _Buffer) -> Facts:
    """Read the first directory; a "big" TIFF has wider numbers in the same places."""
    order = "<" if bytes(blob[:2]) == b"II" else ">"
    (version,) = struct.unpack_from(order + "H", blob, 2)
    big = version == 43
    size, number_code = (20, "Q") if big else (12, "I")
    (first,) = struct.unpack_from(order + number_code, blob, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), blob, first)
    first += 8 if big else 2
    if first + size * count > len(blob):
        raise DecodeError(f"TIFF directory of {count} entries ends beyond its {len(blob)} bytes")
    tags: dict[int, int] = {}
    for entry in range(first, first + size * count, size):
        tag, kind, number = struct.unpack_from(order + "HH" + number_code, blob, entry)
        code = _TIFF_CODES.get(kind)
        if code is None or tag not in _TIFF_TAGS:
            continue
        at = entry + 4 + struct.calcsize("=" + number_code)
        if number * struct.calcsize("=" + code) > struct.calcsize("=" + number_code):
            at = struct.unpack_from(order + number_code, blob, at)[0]
        value = struct.unpack_from(order + code, blob, at)[0]
        tags[tag] = max(value, tags.get(tag, 0))
    height, width = tags.get(_HEIGHT, 0), tags.get(_WIDTH, 0)
    tile = tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_HEIGHT, 0)
    if tile > max(_LARGEST_TILE, height * width):
        raise DecodeError(
            f"TIFF has tiles of {tags[_TILE_WIDTH]}x{tags[_TILE_HEIGHT]} pixels, more than its "
            f"image of {width}x{height}"
        )
    if 5 <= tags.get(_TURN, 1) <= 8:
        height, width = width, height  # OpenCV turns a TIFF upright, whatever it is told
    return "tiff", height, width, min(tags.get(_SAMPLES, 1), 4), tags.get(_DEPTH, 8)


def _pnm(blob: _Buffer) -> Facts:
    """Read the numbers of a PBM, PGM or PPM header."""
    head = bytes(blob[:512])
    if not b"1" <= head[1:2] <= b"6":
        return _NOTHING
    found = _PNM.match(head)
    if found is None:
        raise DecodeError("PNM header is not a kind, a width and a height")
    return "pnm", int(found[3]), int(found[2]), 3 if found[1] in b"36" else 1, 8


def _jp2(blob: _Buffer) -> Facts:
    """Read the SIZ segment of the codestream, by which decoders go, and the image header box."""
    height = width = channels = at = 0
    bits = 8
    if blob[0] == 0:
        found = bytes(blob[:4096]).find(b"ihdr")
        if found >= 0:
            height, width, channels, depth = struct.unpack_from(">IIHB", blob, found + 4)
            bits = (depth & 0x7F) + 1
        at = _codestream(blob)
    if bytes(blob[at : at + 4]) != b"\xff\x4f\xff\x51":
        raise DecodeError("JPEG 2000 file holds no codestream")
    x1, y1, x0, y0 = struct.unpack_from(">IIII", blob, at + 8)
    (components,) = struct.unpack_from(">H", blob, at + 40)
    channels = max(channels, components)
    if channels > 4:
        raise DecodeError(f"JPEG 2000 image has {channels} components, more than 4")
    return "jp2", max(height, y1 - y0), max(width, x1 - x0), channels, bits


def _codestream(blob: _Buffer) -> int:
    """Walk a JPEG 2000 file's boxes to the one that holds the codestream."""
    at = 0
    while True:
        length, kind = struct.unpack_from(">I4s", blob, at)
        if kind == b"jp2c":
            return at + (16 if length == 1 else 8)
        if length == 1:
            (length,) = struct.unpack_from(">Q", blob, at + 8)
        if length < 8:
            raise DecodeError(f"JPEG 2000 box of length {length} at byte {at} of the image")
        at += length


_READERS: tuple[tuple[bytes, Callable[[_Buffer], Facts]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"BM", _bmp),
    (b"GIF8", _gif),
    (b"RIFF", _riff),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
    (b"II+\0", _tiff),
    (b"MM\0+", _tiff),
    (b"P", _pnm),
    (b"\0\0\0\x0cjP  ", _jp2),
    (b"\xff\x4f\xff\x51", _jp2),
)
