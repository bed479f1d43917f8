"""Write chosen records of record files, in a chosen order, into a new record file and its index.

Records are copied as they are stored. Invariant: the sources are only read; the target gets its
name complete or not at all, its index last; where no record is chosen nothing is written. Until
then the files are NAME.rec.part and NAME.idx.part, from which a stopped run goes on: the second
holds what the run was asked for, the first as many bytes of the target as were written.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, OptionError, StorageError
from gpuio.recordio.framing import MENDED, unframe
from gpuio.recordio.index import RecordTable, write_index
from gpuio.storage.atomic import check_target, writing
from gpuio.storage.files import exists, open_stored, read_whole, remove
from gpuio.storage.part import lock
from gpuio.storage.paths import absolute, check_regular, unusable
from gpuio.storage.stored import StoredFile
from gpuio.storage.urls import beside, is_url, name_of
from gpuio.tools.entries import Records
from gpuio.tools.progress import progress

__all__ = [
    "Choice",
    "add_target_arguments",
    "check_free",
    "choice_of",
    "images_of",
    "rewrite",
    "tell",
]

Int64 = npt.NDArray[np.int64]

_AT_ONCE = 32 << 20  # bytes read, and then written, at once
_WRITTEN = 4 << 20  # bytes that one call writes
_SYNC_EVERY = 64 << 20  # bytes: what a crash of the machine can cost a run that goes on
_MOST = 1 << 16  # records at once


@attrs.frozen(eq=False)
class Choice:
    """Records of some files, in an order.

    Attributes
    ----------
    paths : tuple of str            the record files
    file : int32[N]                 the file of each record
    offset, length : int64[N]       its place, bytes
    keys : int64[N] or object[N]    its key in the new index
    """

    paths: tuple[str, ...]
    file: npt.NDArray[np.int32]
    offset: Int64
    length: Int64
    keys: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.offset)

    def table(self) -> RecordTable:
        """Return the records as a table."""
        return RecordTable(
            paths=self.paths,
            sizes=np.zeros(len(self.paths), np.int64),
            file=self.file,
            offset=self.offset,
            length=self.length,
            key=np.arange(len(self)),
            indexed=False,
        )

    def take(self, rows: npt.NDArray[Any]) -> Choice:
        """Return some of the records, by numbers or by a mask."""
        return attrs.evolve(
            self,
            file=self.file[rows],
            offset=self.offset[rows],
            length=self.length[rows],
            keys=self.keys[rows],
        )

    def renumbered(self) -> Choice:
        """Return the same records with the keys 0, 1, 2, ..."""
        return attrs.evolve(self, keys=np.arange(len(self)))


def add_target_arguments(parser: argparse.ArgumentParser, *, renumber: bool = True) -> None:
    """Declare what all commands that write records have: --renumber, --force, --resume."""
    if renumber:
        parser.add_argument(
            "--renumber",
            action="store_true",
            help="keys 0, 1, 2, ... in the order of the new file; else each record keeps its key",
        )
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.add_argument("--resume", action="store_true", help="go on where a run was stopped")
    parser.add_argument("--json", action="store_true", help="say as JSON what was written")


def images_of(records: Records) -> tuple[Choice, int]:
    """Return all images of a file with their keys, and how many other records are left out.

    A set of InsightFace's gives its images; the header and identity records are about their order,
    and are left out. A record without a key gets one behind the largest, or, where none has one,
    its number.
    """
    table, keyed = records.table, records.keyed
    keys: npt.NDArray[Any]
    if not keyed.any():
        keys = records.number.copy()
    elif records.texts is None:
        keys = table.key.copy()
        first = int(keys[keyed].max()) + 1
        keys[~keyed] = np.arange(first, first + np.count_nonzero(~keyed))
    else:
        keys = records.texts.copy()
        keys[~keyed] = [f"record {number}" for number in records.number[~keyed].tolist()]
    return choice_of(table, keys), records.total - len(table)


def choice_of(table: RecordTable, keys: npt.NDArray[Any]) -> Choice:
    """Return all records of a table, with keys."""
    return Choice(table.paths, np.asarray(table.file, np.int32), table.offset, table.length, keys)


def check_free(target: str, sources: Sequence[str], *, force: bool, resume: bool) -> None:
    """Refuse a target that is a source, or where files are that nobody wants replaced.

    Raises
    ------
    OptionError         the target's name has another suffix than .rec; or a file is there, and
                        neither `force` nor a run that goes on replaces it
    StorageError        as `check_target`
    """
    if not target.endswith(".rec"):
        raise OptionError(f"{target}: expected a name that ends in .rec")
    if resume and is_url(target):
        raise OptionError(
            f"{target}: --resume goes on with a file on a disk: behind a URL there "
            "is none of a run that was stopped"
        )
    path = absolute(target)
    indexes = [beside(source, suffix=".idx") for source in sources]
    for one, record in ((path, True), (beside(path, suffix=".idx"), False)):
        check_target(one, [*sources, *indexes], record=record)
    for one in (path, *(beside(path, suffix=end) for end in (".idx", ".classes.json"))):
        if exists(one) and not (force or resume):
            raise OptionError(f"{one} exists: name another target, or replace it with --force")


def rewrite(
    choice: Choice,
    target: str,
    asked: Sequence[Any],
    *,
    force: bool = False,
    resume: bool = False,
    how: str = "none",
) -> int:
    """Write the records into a new file and its index.

    Parameters
    ----------
    choice : Choice
    target : str            a name that ends in .rec
    asked : sequence of JSON types      what the choice depends on beside the files, such as a seed
    force : bool            replace files that are there
    resume : bool           go on where a run that was asked for the same was stopped
    how : str               as `progress`

    Returns
    -------
    int                     records that an earlier run had written

    Raises
    ------
    OptionError             as `check_free`
    StorageError            no record is chosen, or a file cannot be read or written
    FormatError             a source is damaged, or its index leads to no record
    """
    check_free(target, choice.paths, force=force, resume=resume)
    if len(choice) == 0:
        raise StorageError("no record is left: nothing is written", path=target)
    if is_url(target):
        _write_behind_url(choice, target, how)
        return 0
    path = Path(absolute(target))
    part, note = path.with_name(path.name + ".part"), path.with_suffix(".idx.part")
    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(open_stored(one)) for one in choice.paths]
        print_of = _fingerprint(choice, sources, asked)
        ends = np.cumsum(choice.length)
        if resume and _published(path, note, print_of, int(ends[-1])):
            done = len(choice)
        else:
            if path.exists() and not force:
                raise OptionError(
                    f"{path} exists and is not what this run would go on with: name another "
                    "target, or replace it with --force"
                )
            done = _write(choice, sources, (part, note), print_of, ends, resume=resume, how=how)
            for source in sources:
                source.check_unchanged()
            path.with_suffix(".idx").unlink(missing_ok=True)  # must not outlive an old target
            part.replace(path)
    write_index(
        path.with_suffix(".idx"), _each(choice.keys), _each(ends - choice.length), choice.paths
    )
    note.unlink(missing_ok=True)
    return done


def _write_behind_url(choice: Choice, target: str, how: str) -> None:
    """Write the records and their index, which goes first if there is an old one."""
    idx, ends = beside(target, suffix=".idx"), np.cumsum(choice.length)
    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(open_stored(one)) for one in choice.paths]
        out = stack.enter_context(writing(target, choice.paths, record=True))
        with progress(f"writing {name_of(target)}", how) as advance:
            for rows, records in _batches(choice, sources, 0):
                out.writelines(records)
                advance(rows.stop, len(choice))
        for source in sources:
            source.check_unchanged()
        remove(idx)
    write_index(idx, _each(choice.keys), _each(ends - choice.length), choice.paths)


def _fingerprint(choice: Choice, sources: Sequence[StoredFile], asked: Sequence[Any]) -> bytes:
    """Return what a run must have in common with the one that it goes on with."""
    told = hashlib.sha256()
    for column in (choice.file, choice.offset, choice.length):
        told.update(np.ascontiguousarray(column).tobytes())
    for key in _each(choice.keys) if choice.keys.dtype == object else ():
        told.update(f"{key}\n".encode())
    told.update(choice.keys.tobytes() if choice.keys.dtype != object else b"")
    files = [[source.path, source.size, source.mtime_ns] for source in sources]
    return json.dumps([told.hexdigest(), files, list(asked)]).encode() + b"\n"


def _published(path: Path, note: Path, print_of: bytes, size: int) -> bool:
    """Whether a run that was stopped had all but written its index."""
    try:
        return read_whole(note) == print_of and path.stat().st_size == size
    except OSError:
        return False


def _write(
    choice: Choice,
    sources: Sequence[StoredFile],
    parts: tuple[Path, Path],
    print_of: bytes,
    ends: Int64,
    *,
    resume: bool,
    how: str,
) -> int:
    """Write the unfinished file; return how many records were there."""
    part, note = parts
    try:
        for one in parts:
            check_regular(one, "cannot write")
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with os.fdopen(fd, "r+b", buffering=0) as file:
            lock(fd, "cannot write", str(part))
            same = resume and note.is_file() and read_whole(note) == print_of
            done = _sound(choice, sources, fd, ends) if same else 0
            os.ftruncate(fd, int(ends[done - 1]) if done else 0)
            file.seek(0, os.SEEK_END)
            with writing(note) as noted:
                noted.write(print_of)
            unsynced = 0
            with progress(f"writing {part.with_suffix('').name}", how) as advance:
                for rows, records in _batches(choice, sources, done):
                    for piece in _joined(records):
                        rest = memoryview(piece)
                        while rest:  # a disk that gets full takes a part first, and says so next
                            rest = rest[file.write(rest) :]
                        unsynced += len(piece)
                    records.clear()  # they would lie beside the next ones
                    if unsynced >= _SYNC_EVERY:
                        os.fsync(fd)
                        unsynced = 0
                    advance(rows.stop, len(choice))
            os.fsync(fd)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise unusable("cannot write", error, part) from error
    return done


def _sound(choice: Choice, sources: Sequence[StoredFile], fd: int, ends: Int64) -> int:
    """Return how many records of the unfinished file are whole; none if its end is another's."""
    done = int(np.searchsorted(ends, os.fstat(fd).st_size, side="right"))
    first = int(np.searchsorted(ends, ends[done - 1] - _SYNC_EVERY)) if done else 0
    for rows, records in _batches(choice.take(np.arange(done)), sources, first):
        begin = int(ends[rows.start] - choice.length[rows.start])
        expected = b"".join(records)
        if os.pread(fd, len(expected), begin) != expected:
            return first
    return done


def _batches(
    choice: Choice, sources: Sequence[StoredFile], first: int
) -> Iterator[tuple[slice, list[bytes | memoryview]]]:
    """Yield records from number `first` on, some MiB at once; each was looked at."""
    while first < len(choice):
        sizes = np.cumsum(choice.length[first : first + _MOST])
        stop = first + max(1, int(np.searchsorted(sizes, _AT_ONCE, side="right")))
        rows = slice(first, stop)
        found: list[bytes | memoryview] = [b""] * (stop - first)
        for number, source in enumerate(sources):
            here = np.flatnonzero(choice.file[rows] == number)
            if len(here) == 0:
                continue
            offset, length = choice.offset[rows][here], choice.length[rows][here]
            for some in _near(offset, length):
                ranges = source.read_ranges(offset[some], length[some])
                copied = bytes if len(some) < stop - first else memoryview
                for row, at, framed in zip(
                    here[some].tolist(), offset[some].tolist(), ranges, strict=True
                ):
                    _check(framed, source, at)
                    found[row] = copied(framed)
                ranges.clear()
        yield rows, found
        first = stop


def _joined(records: list[bytes | memoryview]) -> Iterator[bytes]:
    """Yield the bytes of records, some MiB at once, so that little of them is there twice."""
    begin = size = 0
    for stop, record in enumerate(records, 1):
        size += len(record)
        if size >= _WRITTEN or stop == len(records):
            yield b"".join(records[begin:stop])
            begin, size = stop, 0


def _near(offset: Int64, length: Int64) -> Iterator[Int64]:
    """Cut ranges into groups, each of which one piece of the file of some MiB holds."""
    order = np.argsort(offset)
    end = (offset + length)[order]
    begin = 0
    while begin < len(order):
        limit = offset[order[begin]] + _AT_ONCE
        stop = max(begin + 1, int(np.searchsorted(end, limit, side="right")))
        yield order[begin:stop]
        begin = stop


def _check(framed: memoryview, source: StoredFile, offset: int) -> None:
    """Raise FormatError if bytes are not those of a record."""
    try:
        unframe(framed)
    except FormatError as error:
        raise FormatError(f"{error.message}; {MENDED}", path=source.path, offset=offset) from error


def _each(column: npt.NDArray[Any]) -> Iterator[Any]:
    """Yield the values of a column as Python's, without a list of all of them."""
    for at in range(0, len(column), _MOST):
        yield from column[at : at + _MOST].tolist()


def tell(args: argparse.Namespace, written: Sequence[tuple[str, int]], left_out: int) -> None:
    """Say what was written: as JSON, or in lines on standard error."""
    if args.json:
        files = [{"path": path, "records": count} for path, count in written]
        print(json.dumps({"files": files, "left_out": left_out}, indent=1))
        return
    for path, count in written:
        print(f"{path}: {count:,} records", file=sys.stderr)
    if left_out:
        print(f"  left out: {left_out:,}", file=sys.stderr)
