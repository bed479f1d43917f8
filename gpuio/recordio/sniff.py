"""Sniff a record: tell what its payload is from its first bytes; and choose which of many to sniff.

Invariant: an image record is never taken for anything else; the other kinds begin with bytes that,
read as its header, claim more labels than the record has bytes.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError
from gpuio.recordio.framing import HEADER_BYTES, head_at, unframe
from gpuio.recordio.header import FORMAT
from gpuio.storage.stored import StoredFile

__all__ = ["Sniffed", "sniff", "spread"]

_PREFIX = 64  # bytes of a record that are read first
_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\0\0\0\x0cjP  ",
    b"\xff\x4f\xff\x51",
)
_LONGEST = 12  # bytes that tell an image: RIFF, its size, WEBP
_FIELDS = (0x0A, 0x12, 0x1A, 0x22, 0x2A)  # protobuf: fields 1 to 5, each with a length


class Sniffed(NamedTuple):
    """What one record is.

    Attributes
    ----------
    kind : str          "image" and "empty": an image record, "empty" without image bytes;
                        "unknown": perhaps one, but without an image signature; "raw": an image
                        from the first byte; "json", "protobuf"; "damaged": not a complete record
    labels : tuple      an image record's first labels, at most two, float
    flag : int          an image record's number of labels in an array; 0: one, in the header
    identity : int      an image record's id
    """

    kind: str
    labels: tuple[float, ...] = ()
    flag: int = 0
    identity: int = 0


def sniff(file: StoredFile, offset: int, length: int) -> Sniffed:
    """Look at the record at an offset.

    Parameters
    ----------
    file : StoredFile
    offset, length : int        of the framed record, bytes

    Raises
    ------
    StorageError                the file cannot be read
    """
    framed = file.read(offset, min(length, _PREFIX))
    try:
        cut, size = head_at(framed, 0)
        if cut == 0 and HEADER_BYTES + size <= length:
            return _look(_Payload(file, offset + HEADER_BYTES, size, framed[HEADER_BYTES:]))
        whole = unframe(file.read(offset, length))  # in several parts, or damaged
    except FormatError:
        return Sniffed("damaged")
    return _look(_Payload(file, offset, len(whole), bytes(whole)))


class _Payload(NamedTuple):
    """A payload whose first bytes are in memory."""

    file: StoredFile
    start: int
    size: int
    known: bytes

    def piece(self, at: int, count: int) -> bytes:
        """Return up to `count` bytes from byte `at` on, fewer at the end."""
        stop = min(at + count, self.size)
        if stop <= len(self.known):
            return self.known[at:stop]
        return self.file.read(self.start + at, max(stop - at, 0))


def _look(payload: _Payload) -> Sniffed:
    """Say what a payload is."""
    head = payload.piece(0, FORMAT.size)
    if len(head) == FORMAT.size:
        flag, label, identity, _ = FORMAT.unpack(head)
        start = FORMAT.size + 4 * flag
        if start <= payload.size:
            count = min(flag, 2)
            array = struct.unpack(f"<{count}f", payload.piece(FORMAT.size, 4 * count))
            kind = "empty"
            if start < payload.size:
                kind = "image" if _is_image(payload.piece(start, _LONGEST)) else "unknown"
            return Sniffed(kind, array or (label,), flag, identity)
    if _is_image(head):
        return Sniffed("raw")
    if head[:1] == b"{":
        return Sniffed("json")
    if head[:1] and head[0] in _FIELDS[:2] and _is_protobuf(payload.piece(0, payload.size)):
        return Sniffed("protobuf")
    return Sniffed("unknown")


def _is_image(head: bytes) -> bool:
    """Whether bytes begin as an encoded image does."""
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    portable = head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace()
    return webp or portable or head.startswith(_SIGNATURES)


def _is_protobuf(payload: bytes) -> bool:
    """Whether a payload is SageMaker's Record: maps from names to values, field after field."""
    at = 0
    while at < len(payload):
        field = payload[at]
        length, at = _varint(payload, at + 1)
        inside = payload[at : at + length]
        at += length
        if field not in _FIELDS or at > len(payload):
            return False
        if field in _FIELDS[:2] and inside[:1] != b"\x0a":  # an entry begins with its name
            return False
    return True


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    """Return a number of seven bits per byte, and the offset after it; too large a one if cut."""
    made = 0
    for shift in range(0, 35, 7):
        if at >= len(payload):
            break
        byte = payload[at]
        made, at = made | (byte & 127) << shift, at + 1
        if byte < 128:
            return made, at
    return len(payload) + 1, at


def spread(low: int, high: int, count: int) -> npt.NDArray[np.int64]:
    """Return `count` rows of low .. high-1, evenly spread, the first and the last among them.

    Returns
    -------
    int64[count]        ascending; rows repeat where there are fewer than `count`
    """
    return np.linspace(low, high - 1, count).astype(np.int64)
