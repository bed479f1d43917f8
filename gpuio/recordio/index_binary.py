"""An index in binary beside its text, which all processes that open it share in memory.

FILE.idx.bin holds a header of 64 bytes, the offsets and, unless they are consecutive, the keys, all
little-endian int64. It is made only where the user asks for it.

Invariant: a file that is damaged, or that was not made of the text beside it, is not believed: one
line of the log says so, and the text is read.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
import zlib
from typing import BinaryIO

import attrs
import numpy as np

from gpuio.errors import FormatError, StorageError
from gpuio.recordio.index_entries import Entries, read_text
from gpuio.storage.atomic import writing
from gpuio.storage.paths import absolute, open_regular, unusable
from gpuio.storage.urls import is_url

__all__ = ["binary_path", "open_entries", "share_index", "shared_entries"]

_MAGIC = b"gpuioIDX"
_VERSION = 1
# magic, version, whether keys are stored; of the text: bytes, time, CRC-32 of its ends and of all
# of it; entries, the first key, CRC-32 of what follows the header, and of the header itself
_HEADER = struct.Struct("<8sIIQqIIQqII")
_END_BYTES = 64 << 10  # at the text's beginning and at its end, of which a checksum is kept
_AT_ONCE = 1 << 20  # bytes that are checked at a time

_log = logging.getLogger("gpuio")


def binary_path(idx_path: str | os.PathLike[str]) -> str:
    """Return where the binary of an index lies: FILE.idx.bin."""
    return f"{os.fspath(idx_path)}.bin"


@attrs.frozen
class _Text:
    """What an index text is told by."""

    size: int  # bytes
    mtime_ns: int
    ends: int  # CRC-32 of its first and its last bytes


def share_index(idx_path: str | os.PathLike[str]) -> str:
    """Write FILE.idx.bin beside an index, so that opening it is fast and shares memory.

    Readers of the index take it from then on, as long as the text stays as it is. After a change of
    the text the file has no effect: call this again.

    Returns
    -------
    str                 the path that was written

    Raises
    ------
    StorageError        the index cannot be read, or its binary not written; or it is a URL
    FormatError         a line is not a whole number, a TAB and a byte offset
    """
    idx_path = absolute(idx_path)
    if is_url(idx_path):
        raise StorageError(
            "the binary of an index is for memory that processes share, and lies on a disk: a URL "
            "has none, and its text is read",
            path=idx_path,
        )
    try:
        with open(idx_path, "rb", opener=open_regular) as file:
            text = _look(file)
            whole = _checksum(file)
            entries = read_text(idx_path)
            unchanged = _look(file) == text
    except OSError as error:
        advice = "; `gpuio rec2idx` makes one"
        raise unusable("cannot read the index", error, idx_path, advice) from error
    if not unchanged:
        raise StorageError("the index changed while it was read: try again", path=idx_path)
    if entries is None:
        raise FormatError(
            "the index cannot be written in binary: expected lines of a key and an offset, whole "
            "numbers of 1 to 16 digits with a TAB between; `gpuio rec2idx` makes such an index",
            path=idx_path,
        )
    keyed = not isinstance(entries.keys, range)
    first = entries.keys.start if isinstance(entries.keys, range) else 0
    columns = [entries.offsets.astype("<i8", copy=False).data]
    if keyed:
        columns.append(entries.key_array().astype("<i8", copy=False).data)
    crc = 0
    for column in columns:
        crc = zlib.crc32(column, crc)
    head = _HEADER.pack(
        *(_MAGIC, _VERSION, keyed, text.size, text.mtime_ns, text.ends, whole),
        *(len(entries), first, crc, 0),
    )[:-4]
    target = binary_path(idx_path)
    with writing(target) as made:
        made.write(head + zlib.crc32(head).to_bytes(4, "little"))
        for column in columns:
            made.write(column)
    return target


def open_entries(idx_path: str | os.PathLike[str]) -> Entries | None:
    """Read an index from its binary or, without one that is right, from its text.

    Returns
    -------
    Entries or None         None where the text is not of the common form: `read_index` reads it
    """
    idx_path = absolute(idx_path)
    found = shared_entries(idx_path)
    return read_text(idx_path) if found is None else found[0]


def shared_entries(idx_path: str) -> tuple[Entries, int] | None:
    """Map the binary of an index into memory, if there is one that is right.

    Parameters
    ----------
    idx_path : str              absolute, or a URL, which has none

    Returns
    -------
    entries : Entries
    crc : int                   CRC-32 of the text that it was made of
    """
    if is_url(idx_path):
        return None
    path = binary_path(idx_path)
    try:
        return _mapped(path, idx_path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", error)
        _log.warning(
            "%s is not used: %s. The text is read; gpuio.recordio.share_index makes a new one",
            path,
            reason,
        )
    return None


def _mapped(path: str, idx_path: str) -> tuple[Entries, int]:
    """Map a binary into memory; ValueError says why it is not believed."""
    with open(path, "rb", opener=open_regular) as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size or not head.startswith(_MAGIC):
            raise ValueError("it is not the binary of an index")
        _, version, keyed, size, mtime_ns, ends, whole, count, first, crc, own = _HEADER.unpack(
            head
        )
        if version != _VERSION:
            raise ValueError(f"it is of version {version}, expected {_VERSION}")
        if own != zlib.crc32(head[:-4]):
            raise ValueError("its header is damaged")
        length = _HEADER.size + 8 * count * (2 if keyed else 1)
        if os.fstat(file.fileno()).st_size != length:
            raise ValueError(
                f"expected {length:,} bytes, found {os.fstat(file.fileno()).st_size:,}"
            )
        _check_text(idx_path, _Text(size, mtime_ns, ends), whole)
        data = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ)
    columns = np.frombuffer(data, "<i8", offset=_HEADER.size)
    if zlib.crc32(columns.data) != crc:
        raise ValueError("its content is damaged")
    keys = columns[count:] if keyed else range(first, first + count)
    return Entries(keys, columns[:count]), whole


def _check_text(idx_path: str, expected: _Text, whole: int) -> None:
    """Raise ValueError if a text is not the one that a binary was made of."""
    with open(idx_path, "rb", opener=open_regular) as file:
        found = _look(file)
        if found == expected:
            return
        copied = attrs.evolve(found, mtime_ns=expected.mtime_ns) == expected
        if not copied or _checksum(file) != whole:
            raise ValueError(f"{idx_path} is not the text that it was made of")


def _look(file: BinaryIO) -> _Text:
    """Return what a text is told by at a glance."""
    status = os.fstat(file.fileno())
    file.seek(0)
    ends = zlib.crc32(file.read(_END_BYTES))
    file.seek(max(status.st_size - _END_BYTES, 0))
    return _Text(status.st_size, status.st_mtime_ns, zlib.crc32(file.read(_END_BYTES), ends))


def _checksum(file: BinaryIO) -> int:
    """Return the CRC-32 of a whole file."""
    file.seek(0)
    crc = 0
    while block := file.read(_AT_ONCE):
        crc = zlib.crc32(block, crc)
    return crc
