"""The .idx file, and the table of where every record of a set lies.

An index is text: key, TAB, byte offset a line. It is optional; without one the record file's
headers are scanned once into the same table.
"""

from __future__ import annotations

import os
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import (
    EmptyDatasetError,
    FormatError,
    GpuioError,
    GpuioWarning,
    StorageError,
)
from gpuio.recordio.foreign import refuse_foreign
from gpuio.recordio.framing import HEADER_BYTES, end_of_record, head_at, is_junk, scan
from gpuio.recordio.index_binary import open_entries
from gpuio.recordio.index_text import read_index, write_index
from gpuio.recordio.keys import Listed, fits, read_listed
from gpuio.recordio.resync import SkippedRange, resync, warn_of_skipped
from gpuio.storage.atomic import check_target
from gpuio.storage.files import open_stored, read_whole, status
from gpuio.storage.stored import StoredFile

__all__ = [
    "RecordTable", "build_index", "file_table", "join_tables", "open_table", "read_index",
    "remake_index", "write_index",
]  # fmt: skip

Int64 = npt.NDArray[np.int64]

_WHOLE = re.compile(r"-?[0-9]{1,18}")  # a key that is a number
_ASKED = 8  # times that an array of consecutive keys is made before it is kept
_AT_ONCE = 1 << 16  # numbers of a column that are Python's at once
_SAMPLED = 64  # records of an index that are looked at when it is opened


def build_index(
    rec_path: str | os.PathLike[str], idx_path: str | os.PathLike[str], *, past_damage: bool = False
) -> int:
    """Scan a record file and write its index with keys 0, 1, 2, ...; return their number.

    Parameters
    ----------
    rec_path, idx_path : path
    past_damage : bool              go on behind damage, with a warning that says what was skipped

    Raises
    ------
    StorageError, FormatError       the record file is missing or damaged; or the index would take
                                    the place of a record file
    """
    offsets, _ = _of_file(rec_path, idx_path, past_damage=past_damage)
    write_index(idx_path, range(len(offsets)), offsets.tolist(), [rec_path])
    return len(offsets)


def remake_index(
    rec_path: str | os.PathLike[str],
    idx_path: str | os.PathLike[str],
    *,
    past_damage: bool = False,
    keys_of: str | None = None,
) -> tuple[int, str]:
    """Scan a record file and write its index with the keys of an older one, by offset.

    Parameters
    ----------
    rec_path, idx_path, past_damage     as `build_index`
    keys_of : str, optional             the older index; without one, or if it is another file's,
                                        keys are the records' numbers

    Returns
    -------
    records : int                       how many
    said : str                          what the keys are, and what of them changed

    Raises
    ------
    StorageError, FormatError           as `build_index`
    EmptyDatasetError                   the record file holds no record: no index is written
    """
    offsets, skipped = _of_file(rec_path, idx_path, past_damage=past_damage)
    if len(offsets) == 0:
        raise EmptyDatasetError("no record found: no index is written", path=os.fspath(rec_path))
    keys, said = _keys_kept(keys_of, offsets, status(rec_path)[0], skipped)
    each = _each(keys) if isinstance(keys, np.ndarray) else keys
    write_index(idx_path, each, _each(offsets), [rec_path])
    return len(offsets), said


def _of_file(
    rec_path: str | os.PathLike[str], idx_path: str | os.PathLike[str], *, past_damage: bool
) -> tuple[Int64, tuple[SkippedRange, ...]]:
    """Return the offsets of a file's records, and what was skipped."""
    check_target(idx_path, [rec_path])
    with open_stored(rec_path) as file:
        offsets, _, skipped = _found(file, past_damage=past_damage)
    return offsets, skipped


def _keys_kept(
    keys_of: str | None, offsets: Int64, size: int, skipped: tuple[SkippedRange, ...]
) -> tuple[Sequence[Any] | Int64, str]:
    """Return the keys of an older index for records at these offsets, and what changed."""
    numbered = f"keys are the records' numbers, 0 to {len(offsets) - 1}"
    if skipped:
        numbered += ", which count only the records that can be read"
    if keys_of is None:
        return range(len(offsets)), numbered
    try:
        listed = read_listed(keys_of)
    except GpuioError as error:
        return range(len(offsets)), f"{numbered}; those of {keys_of} are lost: {error.message}"
    if not len(listed):
        return range(len(offsets)), numbered
    if not fits(listed.offset, offsets, size, [(one.begin, one.end) for one in skipped]):
        lost = f"those of {keys_of} are another file's and are not kept"
        return range(len(offsets)), f"{numbered}; {lost}"
    keys, new = listed.keys_of(offsets)
    said = f"keys are those of {keys_of}"
    if new:
        said += f"; {new} records that it does not list have new keys, the first is "
        said += str(next(key for key, old in zip(keys, listed.find(offsets)[1], strict=True)
                         if not old))  # fmt: skip
    return keys, said


class _Consecutive:
    """The keys of records that are numbered one by one, an array only where somebody asks for it.

    Opening a set asks a few times and lets the arrays go; if more is asked, one is kept.
    """

    def __init__(self, numbers: range) -> None:
        self._numbers = numbers
        self._asked = 0
        self._kept: Int64 | None = None

    def __getitem__(self, rows: slice | Int64) -> Int64 | _Consecutive:
        if isinstance(rows, slice) and rows.step in (None, 1):
            return _Consecutive(self._numbers[rows])
        return self.array()[rows]

    def span(self) -> tuple[int, int]:
        """Return the first key, and how many there are."""
        return self._numbers.start, len(self._numbers)

    def array(self) -> Int64:
        """Return the keys, int64[N]."""
        if self._kept is not None:
            return self._kept
        made = _array(self._numbers)
        self._asked += 1
        if self._asked > _ASKED:
            self._kept = made
        return made


@attrs.frozen(eq=False)
class RecordTable:
    """Where every record lies, in the order of the files and, in a file, of the offsets.

    The arrays may be views that cannot be written to.

    Attributes
    ----------
    paths : tuple of str
    sizes : int64[F]            of the files, bytes
    file : int32[N]             index into `paths`
    offset : int64[N]           of the record in its file, bytes
    length : int64[N]           bytes to read for the record, framing included
    key : int64[N]              from the index; without one 0, 1, 2, ... in each file
    indexed : bool              whether index files were given
    skipped : tuple of SkippedRange     what is left out of the files because it is damaged
    """

    paths: tuple[str, ...]
    sizes: Int64
    file: npt.NDArray[np.int32]
    offset: Int64
    length: Int64
    _key: Int64 | _Consecutive
    indexed: bool
    skipped: tuple[SkippedRange, ...] = ()

    @property
    def key(self) -> Int64:
        """Each record's key, int64[N]."""
        return self._key.array() if isinstance(self._key, _Consecutive) else self._key

    def __len__(self) -> int:
        return len(self.offset)

    @property
    def named(self) -> str:
        """The files, as messages name them."""
        return ", ".join(self.paths)

    @property
    def few(self) -> bool:
        """Whether there is memory and time to look at every record."""
        return True

    @property
    def mean_length(self) -> int:
        """Bytes of a record on average, framing included."""
        return int(self.length.mean())

    def checksum(self) -> int:
        """Return a CRC-32 of which records lie where, and of their keys.

        Keys that are numbered one by one count as their first and their number: an array of them
        is not made.
        """
        numbers = np.arange(len(self.paths) + 1, dtype=self.file.dtype)
        bounds = np.searchsorted(self.file, numbers).astype(np.int64)
        ends = np.array([self.length.sum(), self.length[-1]], np.int64)
        key, arrays = self._key, [bounds, ends, self.offset]
        if isinstance(key, _Consecutive):
            arrays.append(np.array(key.span(), np.int64))
        elif (key[1:] - key[:-1] == 1).all():
            arrays.append(np.array([key[0], len(key)], np.int64))
        else:
            arrays.append(key)
        made = 0
        for array in arrays:
            made = zlib.crc32(np.ascontiguousarray(array).data, made)
        return made

    def check_file(self, number: int, file: StoredFile) -> None:
        """Raise StorageError if a file is not as long as it was when its records were found."""
        size = int(self.sizes[number])
        if file.size != size:
            raise StorageError(
                f"file changed while it was opened: {size} bytes then, {file.size} now",
                path=file.path,
            )

    def take(self, rows: slice | Int64) -> RecordTable:
        """Return the table of some of the records, by ascending row; the files stay as they are.

        A slice copies nothing.
        """
        return attrs.evolve(
            self,
            file=self.file[rows],
            offset=self.offset[rows],
            length=self.length[rows],
            key=self._key[rows],
        )

    def with_keys(self, key: Int64) -> RecordTable:
        """Return the table with other keys, int64[N]."""
        return attrs.evolve(self, key=key)


def open_table(
    paths: Sequence[str], idx_paths: Sequence[str | Listed] = (), *, past_damage: bool = False
) -> RecordTable:
    """Find every record of a set of files.

    Parameters
    ----------
    paths : sequence of str         .rec files
    idx_paths : sequence of str or Listed       one index a file, or none at all; what was read of
                                    one stands for its path
    past_damage : bool              go on behind damage, with a warning for each file and its ranges
                                    in `skipped`. An index finds the records behind damage itself:
                                    with one this only leaves out what lies beyond the file's end

    Raises
    ------
    StorageError            a file cannot be read
    FormatError             a record file is damaged, or an index does not belong to it
    EmptyDatasetError       no file holds a record

    Notes
    -----
    With an index, a damaged record stays in the table: reading it fails, and it alone.
    """
    if idx_paths and len(idx_paths) != len(paths):
        raise FormatError(
            f"{len(paths)} record files and {len(idx_paths)} index files: expected one index for "
            "each record file"
        )
    indexes: Sequence[str | Listed | None] = idx_paths or [None] * len(paths)
    pairs = zip(paths, indexes, strict=True)
    return join_tables([file_table(*pair, past_damage=past_damage) for pair in pairs])


def file_table(path: str, index: str | Listed | None, *, past_damage: bool) -> RecordTable:
    """Find every record of one file, which may hold none; index and errors as `open_table`."""
    key: range | Int64
    with open_stored(path) as file:
        if index is not None:
            offset, length, key, skipped = _indexed(file, index, past_damage=past_damage)
        else:
            offset, length, skipped = _found(file, past_damage=past_damage)
            key = range(len(offset))
    return RecordTable(
        paths=(path,),
        sizes=np.array([file.size], np.int64),
        file=np.broadcast_to(np.int32(0), len(offset)),  # 0 bytes per record
        offset=offset,
        length=length,
        key=_Consecutive(key) if isinstance(key, range) else key,
        indexed=index is not None,
        skipped=skipped,
    )


def join_tables(tables: Sequence[RecordTable]) -> RecordTable:
    """Return one table of several of one file each; EmptyDatasetError if none holds a record."""

    def column(name: str) -> npt.NDArray[np.int64]:
        return np.concatenate([getattr(table, name) for table in tables])

    paths = tuple(table.paths[0] for table in tables)
    counts = [len(table) for table in tables]
    if sum(counts) == 0:
        raise EmptyDatasetError("no record in any file", path=", ".join(paths))
    if len(tables) == 1:
        return tables[0]
    return RecordTable(
        paths=paths,
        sizes=column("sizes"),
        file=np.repeat(np.arange(len(tables), dtype=np.int32), counts),
        offset=column("offset"),
        length=column("length"),
        key=column("key"),
        indexed=tables[0].indexed,
        skipped=tuple(one for table in tables for one in table.skipped),
    )


def _found(file: StoredFile, *, past_damage: bool) -> tuple[Int64, Int64, tuple[SkippedRange, ...]]:
    """Return offsets and lengths of the records of a file, and what was skipped."""
    if not past_damage:
        return *scan(file), ()
    offset, length, skipped = resync(file)
    if len(offset) == 0:
        refuse_foreign(file)
    warn_of_skipped(
        skipped,
        "hold no record that can be read, and are skipped (without an index, the numbers of the "
        "records behind them count only those that can be read)",
    )
    return offset, length, skipped


def _indexed(
    file: StoredFile, index: str | Listed, *, past_damage: bool
) -> tuple[Int64, Int64, range | Int64, tuple[SkippedRange, ...]]:
    """Return offsets, lengths and keys of a file with an index, checked by samples."""
    idx_path = index.path if isinstance(index, Listed) else index
    key, offset = _int_index(index) if isinstance(index, Listed) else _read_int_index(index)
    order = None
    if not (offset[1:] > offset[:-1]).all():
        order = np.argsort(offset, kind="stable")
        key, offset = _array(key)[order], offset[order]
        double = np.flatnonzero(np.diff(offset) == 0) + 1
        if len(double):
            warnings.warn(
                GpuioWarning(
                    f"{idx_path}: {len(double)} lines repeat an offset, the first is byte "
                    f"{offset[double[0]]}; the first line of each is taken"
                ),
                stacklevel=4,
            )
            key, offset, order = (np.delete(array, double) for array in (key, offset, order))
    first = int(np.searchsorted(offset, file.size - HEADER_BYTES, side="right"))
    beyond = len(offset) - first
    skipped: tuple[SkippedRange, ...] = ()
    if beyond:
        where = "beyond" if offset[first] >= file.size else "too near"  # for a record's header
        what = (
            f"{idx_path}: key {key[first]} lies at byte {offset[first]:,} (line "
            f"{(first if order is None else order[first]) + 1}), {where} the end of the record "
            f"file ({file.size:,} bytes)"
        )
        if beyond > 1:
            what += f", and {beyond - 1} more do"
        if not past_damage:
            refuse_foreign(file)
            raise FormatError(
                f"{what}; is it another file's index? `gpuio rec2idx` makes a new one. If the "
                "record file was cut, resync=True reads what is left, and `gpuio repair` copies it",
                path=file.path,
                key=int(key[first]),
                offset=int(offset[first]),
            )
        begin, end = min(int(offset[first]), file.size), max(int(offset[-1]), file.size)
        skipped = (SkippedRange(file.path, begin, end, what),)
        warn_of_skipped(skipped, f"are missing, with {beyond} records")
        key, offset = key[:first], offset[:first]
    length = _lengths(offset, file.size)
    if _looks_wrong(file, offset, length):
        length = _against_the_file(file, idx_path, _array(key), offset, length)
    if not isinstance(key, range):
        _warn_of_keys(idx_path, key)
    return offset, length, key, skipped


def _lengths(offset: Int64, end: int) -> Int64:
    """Return how far it is from each offset to the next, and from the last one to the end."""
    length = np.empty(len(offset), np.int64)
    np.subtract(offset[1:], offset[:-1], out=length[:-1])
    length[-1:] = end - offset[-1:]
    return length


def _warn_of_keys(idx_path: str, key: Int64) -> None:
    """Warn of keys that stand at several records: all are read, the names in errors are not one."""
    if (np.diff(key) > 0).all():
        return
    values, counts = np.unique(key, return_counts=True)
    double = values[counts > 1]
    if len(double):
        warnings.warn(
            GpuioWarning(
                f"{idx_path}: {len(double)} keys stand at more than one record, the first is "
                f"{double[0]}; all of the records are read"
            ),
            stacklevel=5,
        )


def _each(column: Int64) -> Iterator[int]:
    """Yield the numbers of a column as Python's, without a list of all of them."""
    for at in range(0, len(column), _AT_ONCE):
        yield from column[at : at + _AT_ONCE].tolist()


def _array(key: range | Int64) -> Int64:
    """Return keys as an array."""
    if isinstance(key, range):
        return np.arange(key.start, key.stop, dtype=np.int64)
    return key


def _read_int_index(idx_path: str) -> tuple[range | Int64, Int64]:
    """Read keys and offsets of an index; keys that are not numbers are numbered by their lines."""
    entries = open_entries(idx_path)
    return _read_odd_index(idx_path) if entries is None else (entries.keys, entries.offsets)


def _read_odd_index(idx_path: str) -> tuple[Int64, Int64]:
    """Read an index that is not of the common form."""
    try:
        raw = read_whole(idx_path)
        if raw.count(b"\t") == raw.count(b"\n") and raw.isascii() and b"\0" not in raw:
            table = np.loadtxt(idx_path, np.int64, delimiter="\t", ndmin=2) if raw else None
            if table is not None and table.shape[1] == 2:
                return table[:, 0], table[:, 1]
    except (OSError, ValueError, OverflowError):
        pass  # read_index finds out what is wrong and says so
    return _numbered(idx_path, *read_index(idx_path, str))


def _int_index(listed: Listed) -> tuple[range | Int64, Int64]:
    """Return keys and offsets of an index that was read, as `_read_int_index`."""
    if isinstance(listed.lines, tuple):
        return _numbered(listed.path, *listed.lines)
    return listed.lines.keys, listed.lines.offsets


def _numbered(idx_path: str, keys: list[str], offsets: list[int]) -> tuple[Int64, Int64]:
    """Return the lines of an index as arrays; keys that are not numbers are those of the lines."""
    too_large = [offset for offset in offsets if offset >= 1 << 63]
    if too_large:
        raise FormatError(f"index holds offset {too_large[0]}, beyond any file", path=idx_path)
    whole = all(_WHOLE.fullmatch(key) for key in keys)
    numbered = [int(key) for key in keys] if whole else list(range(len(keys)))
    return np.array(numbered, np.int64), np.array(offsets, np.int64)


def _looks_wrong(file: StoredFile, offset: Int64, length: Int64) -> bool:
    """Look at some records; True if one has no head or ends before the next begins."""
    last = len(offset) - 1
    rng = np.random.default_rng(len(offset))
    sample = {0, last, *rng.integers(0, last + 1, _SAMPLED).tolist()} if last >= 0 else set()
    if last >= 0 and int(offset[0]) != 0:
        return True
    chosen = np.array(sorted(sample), np.int64)
    heads = file.read_each(offset[chosen], np.full(len(chosen), HEADER_BYTES))
    for at, head in zip(chosen.tolist(), heads, strict=True):
        try:
            flag, size = head_at(head, 0)
        except FormatError:
            return True
        if flag not in (0, 1) or (flag == 0 and HEADER_BYTES + size + -size % 4 < length[at]):
            return True
    return False


def _against_the_file(
    file: StoredFile, idx_path: str, key: Int64, offset: Int64, length: Int64
) -> Int64:
    """Scan the file and return the lengths of the records that the index lists.

    Parameters
    ----------
    key, offset : int64[N]      the index, by offset
    length : int64[N]           bytes to the next offset, or to the end of the file

    Raises
    ------
    FormatError                 no record starts at an offset, and that is not the file's damage
    """
    every, lengths, damaged = resync(file)
    if len(every) == 0:
        refuse_foreign(file)
    where = np.minimum(np.searchsorted(every, offset), max(len(every) - 1, 0))
    known = every[where] == offset if len(every) else np.zeros(len(offset), bool)
    begins = np.array([one.begin for one in damaged], np.int64)
    ends = np.array([one.end for one in damaged], np.int64)
    inside = np.searchsorted(begins, offset, side="right") - 1
    hit = inside >= 0
    hit[hit] = offset[hit] < ends[inside[hit]]
    for at in np.flatnonzero(~known if not known.any() else ~known & ~hit).tolist():
        try:  # another record's damaged length may reach over this one
            end_of_record(file, int(offset[at]))
        except FormatError as error:
            if damaged and 2 * np.count_nonzero(known) >= len(known):
                continue  # what was moved about is read as the damage it is
            raise FormatError(
                f"{idx_path}: no record starts where key {key[at]} points: {error.message}; is it "
                "another file's index? `gpuio rec2idx` makes a new one",
                path=file.path,
                key=int(key[at]),
                offset=int(offset[at]),
            ) from None
    unlisted = int(np.count_nonzero(~np.isin(every, offset)))
    if unlisted:
        said = f"lists {len(offset)} of {len(offset) + unlisted} records of {file.path}"
        if damaged:  # a record that was moved must not be counted twice
            said = f"does not list {unlisted} of the records found in {file.path}"
        warnings.warn(
            GpuioWarning(f"{idx_path} {said}; what it leaves out is not read"), stacklevel=5
        )
    if damaged and is_junk(file, damaged[-1].begin):
        warn_of_skipped(damaged[-1:], "are not read")
    return np.where(known, np.minimum(lengths[where], length), length) if len(every) else length
