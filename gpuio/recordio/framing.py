"""Framing: how payloads are stored in a .rec file.

A part is a header of two little-endian words (the magic, then a 3-bit flag over a 29-bit length),
the payload, and zeros up to a multiple of four. A payload that holds the magic at a multiple of
four is cut there: the magic is dropped and the parts are flagged first (1), middle (2), last (3); a
whole record is flagged 0.
"""

from __future__ import annotations

import contextlib
import struct
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, GpuioWarning
from gpuio.forking import working
from gpuio.recordio.foreign import refuse_foreign
from gpuio.storage.stored import StoredFile

__all__ = [
    "HEADER_BYTES",
    "MAGIC",
    "MAX_PAYLOAD",
    "MENDED",
    "encode",
    "end_of_record",
    "head_at",
    "is_junk",
    "scan",
    "split",
    "unframe",
    "walk",
    "watched",
    "whole_at",
]

MAGIC = 0xCED7230A
HEADER_BYTES = 8
MAX_PAYLOAD = (1 << 29) - 1  # bytes; the length field's
MENDED = "`gpuio repair` makes a clean copy"  # how messages about damage end

_MAGIC_BYTES = struct.pack("<I", MAGIC)
_HEADER = struct.Struct("<II")
_UNPACK_FROM = _HEADER.unpack_from
_LENGTH = (1 << 29) - 1
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)

# scanning: below this many bytes per record, reading everything beats hopping between headers
_HOP_FROM = 32 << 10
_WINDOW = 8 << 20  # most bytes a scan reads at once
_FIRST_WINDOW = 128 << 10  # a scan that starts again behind damage may soon stop
_GROWTH = 8
_JUNK_BELOW = 32  # bytes; the smallest image record: two headers, no label, no image
_SEEN_EVERY = 256  # headers read one by one
_SMALL = 4 << 20  # files up to this size are scanned without loading the compiled walker


_watching: ContextVar[Callable[[int, int], None] | None] = ContextVar("watching", default=None)


@contextlib.contextmanager
def watched(seen: Callable[[int, int], None]) -> Iterator[None]:
    """Call `seen` now and then with (byte, bytes of the file) while files are scanned inside."""
    before = _watching.set(seen)
    try:
        yield
    finally:
        _watching.reset(before)


def encode(payload: bytes | memoryview) -> bytes:
    """Return the framed bytes of a payload.

    Raises
    ------
    FormatError         the payload is longer than `MAX_PAYLOAD`
    """
    size = len(payload)
    if size > MAX_PAYLOAD:
        raise FormatError(
            f"record of {size:,} bytes: a RecordIO payload holds at most {MAX_PAYLOAD:,} bytes"
        )
    payload = bytes(payload)
    cuts = _aligned_magics(payload)
    if not cuts:
        return b"".join((_HEADER.pack(MAGIC, size), payload, bytes(-size % 4)))
    parts, start = [], 0
    for number, cut in enumerate(cuts):
        parts += [_part_header(_MIDDLE if number else _FIRST, cut - start), payload[start:cut]]
        start = cut + 4
    parts += [_part_header(_LAST, size - start), payload[start:], bytes(-(size - start) % 4)]
    return b"".join(parts)


def _part_header(flag: int, length: int) -> bytes:
    return _HEADER.pack(MAGIC, flag << 29 | length)


def _aligned_magics(payload: bytes) -> list[int]:
    """Return the offsets, multiples of four, of all complete magics."""
    found, at = [], payload.find(_MAGIC_BYTES)
    while at >= 0:
        if at % 4 == 0:
            found.append(at)
            at = payload.find(_MAGIC_BYTES, at + 4)
        else:
            at = payload.find(_MAGIC_BYTES, at + 1)
    return found


def unframe(framed: bytes | memoryview) -> memoryview:
    """Return the payload of one record from its framed bytes.

    Parameters
    ----------
    framed : bytes-like     starts at the record's first header; may continue after the record

    Returns
    -------
    memoryview              into `framed` for a record in one part; joined bytes otherwise

    Raises
    ------
    FormatError             `offset` is the place in `framed`
    """
    view = memoryview(framed)
    if len(view) >= HEADER_BYTES:
        magic, word = _HEADER.unpack_from(view)
        if magic == MAGIC and word <= len(view) - HEADER_BYTES:  # flag 0, and all there
            return view[HEADER_BYTES : HEADER_BYTES + word]
    parts: list[bytes | memoryview] = []
    at, first = 0, True
    while True:
        flag, length = head_at(view, at)
        _check_order(flag, at, first=first)
        body = at + HEADER_BYTES
        if body + length > len(view):
            raise FormatError(
                f"record is cut short: its header says {length:,} bytes, {len(view) - body:,} are "
                "there",
                offset=at,
            )
        if not first:
            parts.append(_MAGIC_BYTES)
        parts.append(view[body : body + length])
        if flag in (_WHOLE, _LAST):
            return memoryview(b"".join(parts))
        at, first = body + length + -length % 4, False


def whole_at(chunk: bytes, at: int) -> bytes | None:
    """Return the payload of a record of one part at byte `at`; None if it is anything else.

    The fast path for reading records one by one; `unframe` does what this does not take.
    """
    body = at + HEADER_BYTES
    if at < 0 or body > len(chunk):
        return None
    magic, word = _UNPACK_FROM(chunk, at)
    # a `word` with a flag in it is larger than any chunk; the padding must be there as well
    if magic != MAGIC or body + (word + 3 & ~3) > len(chunk):
        return None
    return chunk[body : body + word]


def head_at(view: bytes | memoryview, at: int) -> tuple[int, int]:
    """Return (flag, length) of the header at byte `at`.

    Raises
    ------
    FormatError         fewer than 8 bytes are left, or there is no magic
    """
    if at + HEADER_BYTES > len(view):
        raise FormatError(
            f"record header is cut short: {max(len(view) - at, 0)} of {HEADER_BYTES} bytes",
            offset=at,
        )
    magic, word = _HEADER.unpack_from(view, at)
    if magic != MAGIC:
        raise FormatError(
            f"bad magic: expected {MAGIC:#010x}, found {magic:#010x}; the file is damaged here, or "
            "no record starts at this byte",
            offset=at,
        )
    return word >> 29, word & _LENGTH


def _check_order(flag: int, at: int, *, first: bool) -> None:
    """Refuse a part that cannot come here."""
    if flag not in ((_WHOLE, _FIRST) if first else (_MIDDLE, _LAST)):
        expected = "a whole record (0) or a first part (1)" if first else "a middle (2) or last (3)"
        raise FormatError(f"bad continuation flag {flag}: expected {expected} part", offset=at)


def split(buffer: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find the whole records in a buffer that starts at a record.

    Parameters
    ----------
    buffer : uint8[n]           C order, host

    Returns
    -------
    starts, lengths : int64[k]  offset and framed size of each record, in bytes; a record that is
                                not completely in the buffer is left out. The compiled walker stops,
                                without an error, where it expects a record and finds none
    """
    with working:
        from gpuio.kernels.framing import walk

    starts = np.empty(len(buffer) // HEADER_BYTES + 1, np.int64)
    lengths = np.empty_like(starts)
    count = walk(buffer, starts, lengths)
    return starts[:count].copy(), lengths[:count].copy()


def scan(file: StoredFile) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find every record of a file by its headers.

    Parameters
    ----------
    file : StoredFile

    Returns
    -------
    offsets, lengths : int64[N]         offset and framed size of each record, in bytes

    Raises
    ------
    FormatError                         naming path and offset: bad magic, bad flags, or a record
                                        that goes beyond the end of the file; or a file that is
                                        of another kind, which is named

    Notes
    -----
    Fewer than 32 bytes after the last record that cannot be the rest of a record are a warning.
    """
    offsets, lengths, error = walk(file)
    if error is None:
        return offsets, lengths
    assert error.offset is not None
    if error.offset == 0:
        refuse_foreign(file)
    if not is_junk(file, error.offset):
        raise FormatError(
            f"{error.message}; {MENDED}, and resync=True reads on behind the damage",
            path=file.path,
            offset=error.offset,
        )
    warnings.warn(
        GpuioWarning(
            f"{file.path}: {file.size - error.offset} trailing bytes after the last record, from "
            f"byte {error.offset} on, are not read"
        ),
        stacklevel=2,
    )
    return offsets, lengths


def is_junk(file: StoredFile, at: int) -> bool:
    """Say whether the bytes from a record's end to the end of the file are junk.

    Only a few bytes can be junk: a lost record must not be taken for it. A header that was cut is
    not junk, and neither are bytes of which only the magic is wrong.
    """
    left = file.size - at
    if at == 0 or left >= _JUNK_BELOW:
        return False
    rest = file.read(at, left)
    if rest.startswith(_MAGIC_BYTES[:left]):
        return False
    if left < HEADER_BYTES:
        return True
    word: int = _HEADER.unpack_from(rest)[1]
    return word > _LENGTH or HEADER_BYTES + (word + 3 & ~3) != left


def walk(
    file: StoredFile, at: int = 0, until: int | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FormatError | None]:
    """Find the records from byte `at` on, up to the end of the file or the first fault.

    Parameters
    ----------
    file : StoredFile
    at : int                            a record starts there
    until : int, optional               stop at the first record that starts there or later

    Returns
    -------
    offsets, lengths : int64[N]         offset and framed size of each record, in bytes
    error : FormatError or None         the fault; `offset` is where the last record ends
    """
    pieces: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
    fault = None
    try:
        if until is None and file.size - at > _SMALL:
            at = _scan_windows(file, at, pieces)
        _scan_hops(file, at, file.size if until is None else min(until, file.size), pieces)
    except FormatError as error:
        fault = error
    offsets, lengths = zip(*pieces, strict=True) if pieces else ((), ())
    none = np.empty(0, np.int64)
    return np.concatenate([none, *offsets]), np.concatenate([none, *lengths]), fault


def _scan_windows(
    file: StoredFile, at: int, pieces: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]
) -> int:
    """Walk records in growing windows while they are small; return where hopping should go on."""
    size, seen = _FIRST_WINDOW, _watching.get()
    while at < file.size:
        if seen is not None:
            seen(at, file.size)
        end_of_record(file, at)  # raises on damage, which a larger window would not help
        window = np.frombuffer(file.read(at, min(size, file.size - at)), np.uint8)
        starts, lengths = split(window)
        if len(starts) == 0:
            if size >= _WINDOW:
                return at
            size *= _GROWTH
            continue
        pieces.append((starts + at, lengths))
        step = int(starts[-1] + lengths[-1])
        if step > _HOP_FROM * len(starts):
            return at + step
        at += step
        size = min(_GROWTH * size, _WINDOW)
    return at


def _scan_hops(
    file: StoredFile,
    at: int,
    until: int,
    pieces: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
) -> None:
    """Read the headers one by one."""
    offsets: list[int] = []
    lengths: list[int] = []
    read, size, unpack, seen = file.read, file.size, _HEADER.unpack, _watching.get()
    try:
        while at < until:
            start = at
            if seen is not None and len(offsets) % _SEEN_EVERY == 0:
                seen(at, size)
            if at + HEADER_BYTES <= size:
                magic, word = unpack(read(at, HEADER_BYTES))
                at += HEADER_BYTES + (word + 3 & ~3)
                if magic != MAGIC or word > _LENGTH or at > size:
                    at = end_of_record(file, start)
            else:
                at = end_of_record(file, start)
            offsets.append(start)
            lengths.append(at - start)
    finally:
        pieces.append((np.array(offsets, np.int64), np.array(lengths, np.int64)))


def end_of_record(file: StoredFile, start: int) -> int:
    """Return where the record at byte `start` ends, all its parts included.

    Raises
    ------
    FormatError         no record starts there, or it is cut short; `offset` is `start`
    """
    at, first = start, True
    while True:
        try:
            flag, length = head_at(file.read(at, min(HEADER_BYTES, file.size - at)), 0)
            _check_order(flag, at, first=first)
        except FormatError as error:
            raise FormatError(error.message, offset=start) from None
        at += HEADER_BYTES + length + -length % 4
        if at > file.size:
            raise FormatError(
                f"record is cut short: it ends at byte {at:,}, the file at {file.size:,}",
                offset=start,
            )
        if flag in (_WHOLE, _LAST):
            return at
        first = False
