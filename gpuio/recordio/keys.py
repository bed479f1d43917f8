"""Which key each record of a file has, by an index that nobody named.

A key is what the index says, so that one key means one record everywhere. Invariant: an index that
lies beside a record file is believed only if more than half of what is looked at fits the file, and
a record that it does not list has no key: it is told by its number in the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, GpuioError
from gpuio.recordio.framing import HEADER_BYTES, head_at
from gpuio.recordio.index_binary import open_entries
from gpuio.recordio.index_entries import Entries
from gpuio.recordio.index_text import read_index
from gpuio.storage.files import is_there
from gpuio.storage.stored import StoredFile
from gpuio.storage.urls import beside

__all__ = ["Listed", "fits", "index_beside", "read_fitting", "read_listed"]

Int64 = npt.NDArray[np.int64]

_WHOLE = re.compile(r"-?[0-9]{1,18}")  # a key that is a number
_BEYOND = 1 << 62  # no file is as long


@attrs.frozen(eq=False)
class Listed:
    """The lines of an index, by offset.

    Attributes
    ----------
    path : str
    offset : int64[N]           bytes, ascending
    key : array[N]              int64, or of str where a key is not a whole number
    lines : Entries, or (list of str, list of int)      keys and offsets in the order of the file
    """

    path: str
    offset: Int64
    key: npt.NDArray[Any]
    lines: Entries | tuple[list[str], list[int]]

    def __len__(self) -> int:
        return len(self.offset)

    @property
    def whole(self) -> bool:
        """Whether all keys are whole numbers."""
        return bool(self.key.dtype == np.int64)

    def find(self, offset: Int64) -> tuple[Int64, npt.NDArray[np.bool_]]:
        """Return the line of each record, and whether there is one; of several the first.

        Parameters
        ----------
        offset : int64[M]       of records

        Returns
        -------
        int64[M], bool[M]
        """
        if not len(self):
            return np.zeros(len(offset), np.int64), np.zeros(len(offset), bool)
        row = np.minimum(np.searchsorted(self.offset, offset), len(self) - 1)
        return row, self.offset[row] == offset

    def keys_of(self, offset: Int64) -> tuple[list[Any] | Int64, int]:
        """Return a key for each record, an array of whole ones, and how many of them are new.

        A record that no line points at gets a new key, a number above all others.
        """
        row, there = self.find(offset)
        if self.whole and len(self):  # without a list of millions
            fresh = int(self.key.max()) + 1
            found: Int64 = self.key[row].copy()
            new = int(np.count_nonzero(~there))
            found[~there] = np.arange(fresh, fresh + new)
            return found, new
        whole = [key for key in map(_number, self.key.tolist()) if key is not None]
        fresh = max(whole, default=-1) + 1
        keys = self.key[row].tolist() if len(self) else [None] * len(offset)
        for number in np.flatnonzero(~there).tolist():
            keys[number] = fresh
            fresh += 1
        return keys, int(np.count_nonzero(~there))


def fits(listed: Int64, found: Int64, size: int, damaged: Sequence[tuple[int, int]] = ()) -> bool:
    """Whether an index belongs to a file whose records are known.

    Lines that lead into damage or beyond the end do not count: the file may have been cut. More
    than half of the others must lead to a record, and, if not all of them do, to half of the
    records.

    Parameters
    ----------
    listed, found : int64[N], int64[M]      offsets in the index, and of the records, ascending;
                                            bytes
    size : int                              of the file, bytes
    damaged : sequence of (begin, end)      ranges that belong to no record, bytes
    """
    counted = (listed >= 0) & (listed < size)
    for begin, end in damaged:
        counted &= (listed < begin) | (listed >= end)
    lines = int(np.count_nonzero(counted))
    known = 0
    if len(found):  # ascending: looked up, not sorted together, which would take more memory
        lines_at = listed[counted]
        row = np.minimum(np.searchsorted(found, lines_at), len(found) - 1)
        known = int(np.count_nonzero(found[row] == lines_at))
    if known == lines >= 2:
        return True
    return 2 * known > lines and 2 * known >= len(found)


def _number(key: int | str) -> int | None:
    """Return a key as a number, None for another text."""
    if isinstance(key, int):
        return key
    return int(key) if _WHOLE.fullmatch(key) else None


def index_beside(path: str | os.PathLike[str]) -> str | None:
    """Return the path of the index beside a record file, FILE.idx, if something is there."""
    if not PurePath(path).name:  # a folder: "." or "/"
        return None
    idx = beside(path, suffix=".idx")
    return idx if idx != os.fspath(path) and is_there(idx) else None


def read_listed(idx_path: str) -> Listed:
    """Read an index, its keys as numbers if all of them are.

    Raises
    ------
    StorageError, FormatError       as `gpuio.recordio.index_text.read_index`
    """
    lines: Entries | tuple[list[str], list[int]]
    entries = open_entries(idx_path)
    if entries is not None:
        lines, offset, key = entries, entries.offsets, entries.key_array()
    else:
        texts, offsets = lines = read_index(idx_path, str)
        offset = np.array([min(one, _BEYOND) for one in offsets], np.int64)
        numbers = [_number(text) for text in texts]
        whole = all(one is not None for one in numbers)
        key = np.array(numbers, np.int64) if whole else np.array(texts, object)
    if not (offset[1:] > offset[:-1]).all():
        order = np.argsort(offset, kind="stable")
        offset, key = offset[order], key[order]
    return Listed(idx_path, offset, key, lines)


def read_fitting(file: StoredFile, idx_path: str) -> tuple[Listed | None, str]:
    """Read an index if it belongs to a file, by a look at three records.

    They are the first, the middle and the last one that it lists; more than half must be there, so
    that damage to one of them does not make an index foreign.

    Returns
    -------
    listed : Listed or None     None where it does not belong to the file, or cannot be read
    reason : str                why not; "" where it does
    """
    try:
        listed = read_listed(idx_path)
    except GpuioError as error:
        return None, error.message
    reason = _misfit(file, listed)
    return (None if reason else listed), reason


def _misfit(file: StoredFile, listed: Listed) -> str:
    """Say why an index does not belong to a file; "" if it does."""
    if not len(listed):
        return "it lists nothing" if file.size else ""
    rows = sorted({0, len(listed) // 2, len(listed) - 1})
    wrong = [at for at in listed.offset[rows].tolist() if not _starts(file, at)]
    if 2 * len(wrong) < len(rows):
        return ""
    return f"no record starts at byte {wrong[-1]:,}, where it has one: it is another file's"


def _starts(file: StoredFile, at: int) -> bool:
    """Whether a record starts at an offset, by its header."""
    if not 0 <= at <= file.size - HEADER_BYTES:
        return False
    try:
        return head_at(file.read(at, HEADER_BYTES), 0)[0] in (0, 1)
    except FormatError:
        return False
