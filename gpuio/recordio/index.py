"""The .idx file, and the table of where every record of a set lies.

An index is text: key, TAB, byte offset a line. It is optional; without one the record file's
headers are scanned once into the same table.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import EmptyDatasetError, FormatError, GpuioWarning, StorageError
from gpuio.recordio.framing import HEADER_BYTES, head_at, scan
from gpuio.storage.atomic import writing
from gpuio.storage.local import LocalFile

__all__ = ["RecordTable", "build_index", "open_table", "read_index", "write_index"]

Int64 = npt.NDArray[np.int64]

_SAMPLED = 64  # records of an index that are looked at when it is opened


def read_index(
    path: str | os.PathLike[str], key_type: Callable[[Any], Any] = int
) -> tuple[list[Any], list[int]]:
    """Read an index file.

    Blank lines, CRLF, blanks for the TAB, a byte order mark, trailing NUL bytes and a missing last
    newline are accepted; fields behind the offset are not looked at.

    Returns
    -------
    keys : list of key_type
    offsets : list of int       bytes; both in the order of the file

    Raises
    ------
    StorageError                the file cannot be read
    FormatError                 a line is no key and offset; the message names the line
    """
    path = os.fspath(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise StorageError(
            f"cannot read the index: {error.strerror}; `gpuio rec2idx` makes one", path=path
        ) from error
    keys: list[Any] = []
    offsets: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip(" \t\r\n\0")  # noqa: PLW2901
        if not line:
            continue
        fields = line.split("\t")
        if len(fields) < 2:
            fields = line.split()
        try:
            keys.append(key_type(fields[0].strip()))
            offset = int(fields[1])
        except (IndexError, ValueError):
            raise FormatError(
                f"index line {number} is {line[:60]!r}: expected a key, a TAB and a byte offset",
                path=path,
            ) from None
        if offset < 0:
            raise FormatError(f"index line {number}: offset {offset} is below 0", path=path)
        offsets.append(offset)
    return keys, offsets


def write_index(path: str | os.PathLike[str], keys: Iterable[Any], offsets: Iterable[int]) -> None:
    """Write an index file, all of it or nothing.

    Raises
    ------
    StorageError        the file cannot be written
    """
    with writing(path) as file:
        file.writelines(
            f"{key}\t{offset}\n".encode() for key, offset in zip(keys, offsets, strict=True)
        )


def build_index(rec_path: str | os.PathLike[str], idx_path: str | os.PathLike[str]) -> int:
    """Scan a record file and write its index with keys 0, 1, 2, ...; return their number.

    Raises
    ------
    StorageError, FormatError       the record file is missing or damaged
    """
    with LocalFile(rec_path) as file:
        offsets, _ = scan(file)
    write_index(idx_path, range(len(offsets)), offsets.tolist())
    return len(offsets)


@attrs.frozen(eq=False)
class RecordTable:
    """Where every record lies, in the order of the files and, in a file, of the offsets.

    Attributes
    ----------
    paths : tuple of str
    sizes : int64[F]            of the files, bytes
    file : int32[N]             index into `paths`
    offset : int64[N]           of the record in its file, bytes
    length : int64[N]           bytes to read for the record, framing included
    key : int64[N]              from the index; without one 0, 1, 2, ... in each file
    indexed : bool              whether index files were given
    """

    paths: tuple[str, ...]
    sizes: Int64
    file: npt.NDArray[np.int32]
    offset: Int64
    length: Int64
    key: Int64
    indexed: bool

    def __len__(self) -> int:
        return len(self.offset)

    def take(self, rows: slice | Int64) -> RecordTable:
        """Return the table of some of the records, by ascending row; the files stay as they are.

        A slice copies nothing.
        """
        return attrs.evolve(
            self,
            file=self.file[rows],
            offset=self.offset[rows],
            length=self.length[rows],
            key=self.key[rows],
        )


def open_table(paths: Sequence[str], idx_paths: Sequence[str] = ()) -> RecordTable:
    """Find every record of a set of files.

    Parameters
    ----------
    paths : sequence of str         .rec files
    idx_paths : sequence of str     one index a file, or none at all

    Raises
    ------
    StorageError            a file cannot be read
    FormatError             a record file is damaged, or an index does not belong to it
    EmptyDatasetError       no file holds a record
    """
    if idx_paths and len(idx_paths) != len(paths):
        raise FormatError(
            f"{len(paths)} record files and {len(idx_paths)} index files: expected one index for "
            "each record file"
        )
    tables = []
    for number, path in enumerate(paths):
        with LocalFile(path) as file:
            tables.append(
                (file.size, *(_indexed(file, idx_paths[number]) if idx_paths else _scanned(file)))
            )
    counts = [len(offset) for _, offset, _, _ in tables]
    if sum(counts) == 0:
        raise EmptyDatasetError("no record in any file", path=", ".join(paths))
    return RecordTable(
        paths=tuple(paths),
        sizes=np.array([size for size, _, _, _ in tables], np.int64),
        file=np.repeat(np.arange(len(paths), dtype=np.int32), counts),
        offset=np.concatenate([offset for _, offset, _, _ in tables]),
        length=np.concatenate([length for _, _, length, _ in tables]),
        key=np.concatenate([key for _, _, _, key in tables]),
        indexed=bool(idx_paths),
    )


def _scanned(file: LocalFile) -> tuple[Int64, Int64, Int64]:
    """Return offsets, lengths and keys of a file without an index."""
    offset, length = scan(file)
    return offset, length, np.arange(len(offset), dtype=np.int64)


def _indexed(file: LocalFile, idx_path: str) -> tuple[Int64, Int64, Int64]:
    """Return offsets, lengths and keys of a file with an index, checked by samples."""
    key, offset = _read_int_index(idx_path)
    order = np.argsort(offset, kind="stable")
    key, offset = key[order], offset[order]
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
    beyond = np.flatnonzero(offset > file.size - HEADER_BYTES)
    if len(beyond):
        raise FormatError(
            f"{idx_path}: key {key[beyond[0]]} lies at byte {offset[beyond[0]]:,} (line "
            f"{order[beyond[0]] + 1}), beyond the end of the record file ({file.size:,} bytes), "
            f"and {len(beyond) - 1} more do; is it another file's index? `gpuio rec2idx` makes a "
            "new one",
            path=file.path,
            key=int(key[beyond[0]]),
            offset=int(offset[beyond[0]]),
        )
    length = np.diff(np.append(offset, file.size))
    if _sampled_gap(file, idx_path, key, offset, length):
        offset, length, key = _without_gaps(file, idx_path, key, offset)
    _warn_of_keys(idx_path, key)
    return offset, length, key


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


def _read_int_index(idx_path: str) -> tuple[Int64, Int64]:
    """Read an index of whole-number keys; other keys are numbered by their lines."""
    try:
        raw = Path(idx_path).read_bytes()
        if raw.count(b"\t") == raw.count(b"\n") and raw.isascii() and b"\0" not in raw:
            table = np.loadtxt(idx_path, np.int64, delimiter="\t", ndmin=2) if raw else None
            if table is not None and table.shape[1] == 2:
                return table[:, 0], table[:, 1]
    except (OSError, ValueError, OverflowError):
        pass  # read_index finds out what is wrong and says so
    keys, offsets = read_index(idx_path, str)
    too_large = [offset for offset in offsets if offset >= 1 << 63]
    if too_large:
        raise FormatError(f"index holds offset {too_large[0]}, beyond any file", path=idx_path)
    whole = all(key.lstrip("-").isdigit() for key in keys)
    numbered = [int(key) for key in keys] if whole else list(range(len(keys)))
    return np.array(numbered, np.int64), np.array(offsets, np.int64)


def _sampled_gap(file: LocalFile, idx_path: str, key: Int64, offset: Int64, length: Int64) -> bool:
    """Look at some records; True if one ends before the next begins.

    Raises
    ------
    FormatError         no record starts at an offset of the index
    """
    last = len(offset) - 1
    rng = np.random.default_rng(len(offset))
    sample = {0, last, *rng.integers(0, last + 1, _SAMPLED).tolist()} if last >= 0 else set()
    gap = last >= 0 and int(offset[0]) != 0
    for at in sorted(sample):
        start = int(offset[at])
        try:
            flag, size = head_at(file.read(start, HEADER_BYTES), 0)
            if flag not in (0, 1):
                raise FormatError(f"a part flagged {flag} stands there, no record's start")
        except FormatError as error:
            raise FormatError(
                f"{idx_path}: no record starts where key {key[at]} points: {error.message}; is it "
                "another file's index? `gpuio rec2idx` makes a new one",
                path=file.path,
                key=int(key[at]),
                offset=start,
            ) from None
        gap = gap or (flag == 0 and HEADER_BYTES + size + -size % 4 < length[at])
    return gap


def _without_gaps(
    file: LocalFile, idx_path: str, key: Int64, offset: Int64
) -> tuple[Int64, Int64, Int64]:
    """Scan the file and keep the records that the index lists, with their own lengths."""
    every, lengths = scan(file, trailing="warn")
    where = np.searchsorted(every, offset)
    known = np.isin(offset, every)
    if not known.all():
        at = int(np.flatnonzero(~known)[0])
        raise FormatError(
            f"{idx_path}: no record starts where key {key[at]} points; `gpuio rec2idx` makes a new "
            "index",
            path=file.path,
            key=int(key[at]),
            offset=int(offset[at]),
        )
    if len(offset) < len(every):
        warnings.warn(
            GpuioWarning(
                f"{idx_path} lists {len(offset)} of {len(every)} records of {file.path}; the "
                "others are not read"
            ),
            stacklevel=5,
        )
    return offset, lengths[where], key
