"""A table of the records of many parts, of which only the manifest is in memory.

A record's part follows from the manifest; where it lies in the part is looked up in the part's
index, which is read when it is first asked for. The indexes used last stay in memory.

Invariant: an index is used only if it is the one that the manifest was made with.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from typing import Any, cast

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, OptionError, StorageError
from gpuio.forking import lock
from gpuio.recordio.framing import HEADER_BYTES, head_at
from gpuio.recordio.index import RecordTable
from gpuio.recordio.index_binary import shared_entries
from gpuio.recordio.index_entries import Entries, parse_text
from gpuio.recordio.manifest import Manifest
from gpuio.recordio.sniff import spread
from gpuio.storage.files import read_whole
from gpuio.storage.paths import absolute
from gpuio.storage.stored import StoredFile

__all__ = [
    "MOST_AT_ONCE",
    "ManifestTable",
    "PartIndex",
    "check_etag",
    "check_few",
    "check_part",
    "open_manifest",
    "read_part_index",
]

Int64 = npt.NDArray[np.int64]

MOST_AT_ONCE = 1 << 24  # records: what is made of all of them at once takes some 100 MB
KEPT_BYTES = 48 << 20  # of indexes: those of 100 parts of 100,000 records
_LOOKED_AT = 4  # records of a part that are looked at when its manifest is made
_AGAIN = "`gpuio rec2idx` makes a new index, then `gpuio manifest` a new manifest"

_log = logging.getLogger("gpuio")


class PartIndex:
    """Where the records of one part lie, in 4 bytes per record where that is enough.

    Parameters
    ----------
    keys : range or int64[n]
    offsets : int64[n]      bytes, ascending multiples of four
    size : int              of the .rec file, bytes
    crc : int               CRC-32 of the index file
    """

    def __init__(self, keys: range | Int64, offsets: Int64, size: int, crc: int) -> None:
        words = np.append(offsets, size) >> 2
        self._words = words.astype(np.uint32) if size < 1 << 34 else words
        self._keys = keys
        if not isinstance(keys, range) and keys.min() >= 0 and keys.max() < 1 << 32:
            self._keys = keys.astype(np.uint32)
        self.crc = crc

    def __len__(self) -> int:
        return len(self._words) - 1

    @property
    def nbytes(self) -> int:
        """Memory that it takes, bytes."""
        return int(self._words.nbytes) + (0 if isinstance(self._keys, range) else self._keys.nbytes)

    def offset(self, rows: Int64) -> Int64:
        """Return where records begin, int64[n], bytes."""
        return self._words[rows].astype(np.int64) << 2

    def length(self, rows: Int64) -> Int64:
        """Return the bytes of records, framing included, int64[n]."""
        return self.offset(rows + 1) - self.offset(rows)

    def key(self, rows: Int64) -> Int64:
        """Return the keys of records, int64[n]."""
        if isinstance(self._keys, range):
            return rows + self._keys.start
        return self._keys[rows].astype(np.int64)


def read_part_index(idx_path: str, path: str, size: int) -> PartIndex:
    """Read the index of a part, from its binary if there is one beside it.

    Parameters
    ----------
    idx_path, path : str        the index, and the record file that it belongs to
    size : int                  of the record file, bytes

    Raises
    ------
    StorageError                it cannot be read
    FormatError                 a line is not a whole number, a TAB and an offset; or the offsets
                                are not those of records one behind the other in such a file
    """
    entries: Entries | None
    shared = shared_entries(absolute(idx_path))
    if shared is not None:
        entries, crc = shared
    else:
        text = read_whole(
            idx_path, "cannot read the index of a part", "; `gpuio rec2idx` makes one"
        )
        entries, crc = parse_text(text), zlib.crc32(text)
    if entries is None:
        raise FormatError(
            "expected lines of a whole number, a TAB and a byte offset in the index of a part; "
            f"{_AGAIN}",
            path=idx_path,
        )
    offsets = entries.offsets
    ascending = len(offsets) and not offsets[0] and (offsets[1:] > offsets[:-1]).all()
    if not ascending or (offsets & 3).any() or size & 3 or int(offsets[-1]) >= size:
        raise FormatError(
            f"the index is not that of all records of {path} ({size:,} bytes): expected offsets "
            f"from 0 on, ascending, in steps of four bytes, below the file's size; {_AGAIN}",
            path=idx_path,
        )
    return PartIndex(entries.keys, offsets, size, crc)


def check_part(file: StoredFile, index: PartIndex, idx_path: str) -> None:
    """Look at some records of a part; FormatError if one does not fill its place in the index."""
    rows = np.unique(spread(0, len(index), _LOOKED_AT))
    for at, length in zip(index.offset(rows).tolist(), index.length(rows).tolist(), strict=True):
        try:
            flag, size = head_at(file.read(at, HEADER_BYTES), 0)
            reason = ""
            if flag not in (0, 1):
                reason = "the middle of a record starts there"
            elif flag == 0 and HEADER_BYTES + size + -size % 4 != length:
                reason = f"a record of {size:,} bytes, but the next one begins {length:,} bytes on"
        except FormatError as error:
            reason = error.message
        if reason:
            raise FormatError(
                f"{idx_path} is not the index of all records of this file: {reason}; {_AGAIN}",
                path=file.path,
                offset=at,
            )


def check_etag(file: StoredFile, tag: str, manifest: str) -> None:
    """Raise StorageError if a part has another etag than a manifest says.

    Parameters
    ----------
    file : StoredFile       the part
    tag : str               of the manifest; a time, or a weak etag, says nothing of a copy
    manifest : str          as the message names it
    """
    if _names_one(tag) and _names_one(file.etag) and tag != file.etag:
        raise StorageError(
            f"the part is not the one that {manifest} was made with: etag {tag} then, etag "
            f"{file.etag} now; `gpuio manifest` makes a new one",
            path=file.path,
        )


def _names_one(tag: str) -> bool:
    """Whether a tag is an etag that names one version."""
    return bool(tag) and not tag.isdecimal() and not tag.startswith("W/")


def check_few(table: RecordTable, what: str) -> None:
    """Refuse a manifest of so many records that `what` cannot look at each of them: OptionError."""
    if not table.few:
        raise OptionError(
            f"{what}: looks at every record when it opens the files, and {table.named} lists "
            f"{len(table):,}, more than {MOST_AT_ONCE:,}"
        )


class _Indexes:
    """The indexes of the parts; those used last stay in memory."""

    def __init__(self, manifest: Manifest, kept_bytes: int | None) -> None:
        self._manifest, self._most = manifest, kept_bytes
        self._kept: dict[int, PartIndex] = {}  # the one used last is the last
        self._used = 0
        self._turn = lock()

    def __getitem__(self, number: int) -> PartIndex:
        with self._turn:
            found = self._kept.pop(number, None)
            if found is not None:
                self._kept[number] = found
                return found
        found = self._read(number)  # not under the lock: two threads may read one twice
        with self._turn:
            if number not in self._kept:
                self._kept[number] = found
                self._used += found.nbytes
            while self._most is not None and self._used > self._most and len(self._kept) > 1:
                self._used -= self._kept.pop(next(iter(self._kept))).nbytes
        return found

    def _read(self, number: int) -> PartIndex:
        manifest = self._manifest
        path, idx_path = manifest.paths[number], manifest.index_path(number)
        found = read_part_index(idx_path, path, int(manifest.sizes[number]))
        if found.crc != manifest.index_crc[number] or len(found) != manifest.records[number]:
            raise FormatError(
                f"the index is not the one that {manifest.path} was made with: "
                f"{manifest.records[number]:,} records then, {len(found):,} now; `gpuio manifest` "
                "makes a new manifest",
                path=idx_path,
            )
        return found


class _Column:
    """What a table would hold of each record, looked up when it is asked for.

    Parameters
    ----------
    manifest : Manifest
    found : callable(number, rows)      the values, int64[n], of some rows of one part
    """

    def __init__(self, manifest: Manifest, found: Callable[[int, Int64], Int64]) -> None:
        self._manifest, self._found = manifest, found

    def __len__(self) -> int:
        return int(self._manifest.first[-1])

    def __getitem__(self, rows: Any) -> Any:
        """Return the values at some rows: a number, or int64[n]."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)), dtype=np.int64)
        rows = np.asarray(rows, np.int64)
        if rows.ndim == 0:
            return self[rows[None]][0]
        first = self._manifest.first
        rows = np.where(rows < 0, rows + len(self), rows)
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        part = np.searchsorted(first, rows, side="right") - 1
        made = np.empty(len(rows), np.int64)
        for number in np.unique(part).tolist():
            mine = part == number
            made[mine] = self._found(number, rows[mine] - first[number])
        return made

    def __eq__(self, other: object) -> Any:
        return np.asarray(self) == other

    __hash__ = None  # type: ignore[assignment]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return the values of all records, if they are few enough."""
        if len(self) > MOST_AT_ONCE:
            raise OptionError(
                f"{self._manifest.path} lists {len(self):,} records, more than the "
                f"{MOST_AT_ONCE:,} that this option can look at one by one"
            )
        made: npt.NDArray[Any] = self[:]
        return made if dtype is None else made.astype(dtype)


@attrs.frozen(eq=False)
class ManifestTable(RecordTable):
    """The record table of a manifest: its columns take rows, and look their values up.

    An array of a whole column is made only where one is asked for, and there are at most
    `MOST_AT_ONCE` records.

    Attributes
    ----------
    manifest : Manifest
    """

    manifest: Manifest = attrs.field(kw_only=True, repr=False)
    _copies: list[str] = attrs.field(factory=list, init=False, repr=False)

    @property
    def named(self) -> str:
        """The set, as messages name it."""
        return self.manifest.path

    @property
    def few(self) -> bool:
        """Whether there are at most `MOST_AT_ONCE` records."""
        return len(self) <= MOST_AT_ONCE

    @property
    def mean_length(self) -> int:
        """Bytes of a record on average, framing included."""
        return int(self.manifest.sizes.sum()) // len(self)

    def check_file(self, number: int, file: StoredFile) -> None:
        """Raise StorageError if a part's size or etag is not the manifest's; log another date."""
        manifest = self.manifest
        if file.size != manifest.sizes[number]:
            raise StorageError(
                f"the part has {file.size:,} bytes, {manifest.path} says "
                f"{manifest.sizes[number]:,}: `gpuio manifest` makes a new one",
                path=file.path,
            )
        tag = manifest.tags[number]
        check_etag(file, tag, manifest.path)
        if tag and tag != file.tag and not self._copies:
            self._copies.append(file.path)  # said once
            _log.info(
                "%s has another date than when %s was made, and the same size: parts are taken for "
                "copies",
                file.path,
                manifest.path,
            )


def open_manifest(manifest: Manifest, kept_bytes: int | None = KEPT_BYTES) -> ManifestTable:
    """Return the record table of a manifest; no part is opened for it.

    Parameters
    ----------
    manifest : Manifest
    kept_bytes : int or None    of indexes in memory; None: all that were read
    """
    indexes = _Indexes(manifest, kept_bytes)

    def column(found: Callable[[int, Int64], Int64]) -> Any:
        return _Column(manifest, found)

    return ManifestTable(
        paths=cast("tuple[str, ...]", manifest.paths),
        sizes=manifest.sizes,
        file=column(lambda number, rows: np.full(len(rows), number)),
        offset=column(lambda number, rows: indexes[number].offset(rows)),
        length=column(lambda number, rows: indexes[number].length(rows)),
        key=column(lambda number, rows: indexes[number].key(rows)),
        indexed=True,
        manifest=manifest,
    )
