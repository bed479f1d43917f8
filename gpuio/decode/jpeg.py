"""The one walk over a JPEG's markers, from its start to its first scan; and a JPEG's end.

What libjpeg does between segments: it passes over fill bytes (FF), and, with a warning, over FF 00
and other bytes that are not a marker; TEM and RSTn have no length; a second frame header is an
error, as is a length below 2 in a frame, a scan or a table; in any other segment it skips nothing.
`walk` passes over the same bytes. A length below 2 it refuses in front of the frame header and
skips nothing for behind it, where it also takes an end marker for a segment: the decoder says what
becomes of those. A JPEG with more than fill bytes and markers without a length between its segments
is not decoded in part (`Header.shortens`).

With an end marker behind it a JPEG that was cut in its scan data decodes: what is there keeps its
pixels, what is missing is gray, or, in a progressive image, as coarse as the scans that are there.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from gpuio.errors import DecodeError

__all__ = ["Completed", "Header", "completed", "exif_orientation", "has_end", "walk"]

_Buffer = bytes | bytearray | memoryview

_END_OF_IMAGE = b"\xff\xd9"
_JPEG = b"\xff\xd8"
_START_OF_SCAN = b"\xff\xda"
_TAIL = 1024  # bytes: what may lie behind the end marker

_segment = struct.Struct(">BBH").unpack_from  # FF, marker, length
_frame = struct.Struct(">BBHBHHB").unpack_from  # the same; bits, height, width, components
_EOI, _SOS, _DQT, _DRI, _APP1, _APP2 = 0xD9, 0xDA, 0xDB, 0xDD, 0xE1, 0xE2
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})  # TEM, RSTn
_NO_MARKERS = frozenset({0x00, 0xFF})  # a stuffed byte, a fill byte
_WITHOUT_LENGTH = _BARE | _NO_MARKERS | {_EOI, _SOS}
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # C4, CC: tables; C8: reserved
_LOOKED_INTO = _FRAMES | {_DQT, _DRI, _APP1, _APP2}
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), (0xC2, 0xCA)


class Header(NamedTuple):
    """What stands in a JPEG up to its first scan, and how many scans there are.

    Attributes
    ----------
    height, width : int     pixels as stored
    channels : int          components: 1, 3 or 4
    bits : int              bits per component
    orientation : int       EXIF orientation 1 to 8; 1 unless the header says otherwise
    process : int           the frame's marker: 0xC0 baseline, 0xC2 progressive, ...
    sampling : int          one byte per component, the first one highest: horizontal factor * 16 +
                            vertical factor
    frame_at : int          byte of the image at which the frame header starts
    scans : int             scans of the image; 0 if it ends before the first one
    one_scan : int          1 if the first scan of a sequential frame has all of its components, so
                            that no other can follow; else 0
    shortens : int          1 if decoding may stop early: a sequential frame of 8 bits, one scan of
                            all its components, no restart interval, no other image behind this one
                            (MPF), nothing odd between the segments; else 0
    tables_at : tuple of int
                            bytes at which the segments of quantisation tables start
    """

    height: int
    width: int
    channels: int
    bits: int
    orientation: int
    process: int
    sampling: int
    frame_at: int
    scans: int
    one_scan: int
    shortens: int
    tables_at: tuple[int, ...]


class Completed(bytes):
    """A JPEG that was cut short and was given an end marker."""

    __slots__ = ()


def walk(blob: _Buffer) -> Header:
    """Walk over the segments of a JPEG to its first scan.

    Parameters
    ----------
    blob : bytes-like       the encoded image, from its first byte; its start is not looked at

    Raises
    ------
    DecodeError             no frame header, one of other than 1, 3 or 4 components, or a segment
                            without a length in front of it, with the byte where it stands
    """
    size, at, orientation, plain = len(blob), 2, 1, True
    frame: tuple[int, ...] = ()
    frame_at = scan_at = 0
    tables = []
    while at + 4 <= size:
        lead, marker, length = _segment(blob, at)
        if lead != 0xFF or marker in _WITHOUT_LENGTH:
            if lead == 0xFF and marker in _BARE:
                at += 2
                continue
            if lead != 0xFF or marker in _NO_MARKERS:
                plain = plain and lead == marker == 0xFF
                at += 1
                continue
            if not frame:
                raise DecodeError(
                    f"JPEG has no frame header before its {'scan' if marker == _SOS else 'end'}, "
                    f"at byte {at} of the image"
                )
            if marker == _SOS:
                scan_at = at
                break
        if length < 2:
            if not frame:
                raise DecodeError(f"JPEG segment of length {length} at byte {at} of the image")
            length, plain = 2, False
        if marker in _LOOKED_INTO:
            if marker == _DQT:
                tables.append(at)
            elif marker == _APP1:
                if orientation == 1 and length >= 16 and not frame:
                    orientation = exif_orientation(bytes(blob[at + 4 : at + 2 + length]))
            elif marker in _FRAMES and not frame:
                if at + 10 > size or at + 10 + 3 * blob[at + 9] > size:
                    break
                frame, frame_at = _read_frame(blob, at), at
            elif marker != _APP2 or bytes(blob[at + 4 : at + 8]) == b"MPF\0":
                plain = False  # a second frame, restart markers, or another image behind this one
        at += 2 + length
    if not frame:
        raise DecodeError(f"JPEG ends inside its headers: {size} bytes and no frame header in them")
    height, width, channels, bits, process, sampling = frame
    whole = scan_at > 0 and at + 4 < size and blob[at + 4] == channels
    one_scan = whole and process not in _PROGRESSIVE
    scans = 1 if one_scan else _count_scans(blob, scan_at)
    shortens = plain and whole and process in _SEQUENTIAL and bits == 8 and at + 10 <= size
    return Header(
        *(height, width, channels, bits, orientation, process, sampling),
        *(frame_at, scans, int(one_scan), int(shortens), tuple(tables)),
    )


def _read_frame(blob: _Buffer, at: int) -> tuple[int, ...]:
    """Return height, width, channels, bits, process and sampling of the frame header at a byte."""
    _, process, _, bits, height, width, channels = _frame(blob, at)
    if channels not in (1, 3, 4):
        raise DecodeError(f"JPEG frame header says {channels} components: expected 1, 3 or 4")
    factors = bytes(blob[at + 11 : at + 11 + 3 * channels : 3])
    return height, width, channels, bits, process, int.from_bytes(factors, "big")


def _count_scans(blob: _Buffer, scan_at: int) -> int:
    """Count the scans from the first one on, whose byte is 0 if there is none."""
    return bytes(blob[scan_at:]).count(_START_OF_SCAN) if scan_at else 0


def has_end(blob: _Buffer) -> bool:
    """Say whether an end marker stands in the last KiB of a JPEG, behind its scan's start."""
    if blob[-2:] == _END_OF_IMAGE:
        return True
    tail = bytes(blob[-_TAIL:])
    end = tail.rfind(_END_OF_IMAGE)
    return end > tail.rfind(_START_OF_SCAN)  # else it is that of a preview in the headers


def completed(blob: bytes | memoryview) -> bytes | memoryview:
    """Return a JPEG without its end with one; any other bytes as they are."""
    if bytes(blob[:2]) != _JPEG or has_end(blob):
        return blob
    return Completed(bytes(blob) + _END_OF_IMAGE)


def exif_orientation(segment: bytes) -> int:
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
