"""Pack the images of a list into a .rec and .idx, in the list's order, on several threads.

Invariant: the files get their names complete or not at all, the index last. Until then they are
NAME.rec.part and a journal, from which a killed run can be resumed to the same bytes.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import attrs

from gpuio.errors import FormatError, GpuioError, StorageError
from gpuio.pipeline.prefetch import Prefetcher
from gpuio.recordio.framing import end_of_record
from gpuio.recordio.index import write_index
from gpuio.recordio.lists import read_list
from gpuio.storage.atomic import check_target
from gpuio.storage.local import LocalFile, read_whole
from gpuio.storage.part import lock
from gpuio.storage.paths import check_regular, open_regular, unusable
from gpuio.tools.framed_image import PackOptions, frame_image

__all__ = ["Packed", "pack_list"]


@attrs.define
class Packed:
    """The result of packing.

    Attributes
    ----------
    records : int               written
    several : int               lines with more than one label
    problems : list of str      a sentence for each item left out
    """

    records: int = 0
    several: int = 0
    problems: list[str] = attrs.field(factory=list)


def pack_list(
    list_path: Path,
    root: str,
    options: PackOptions,
    *,
    threads: int = 1,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Packed:
    """Write LIST.rec and LIST.idx beside a list.

    Parameters
    ----------
    list_path : Path
    root : str                      folder that the list's paths are relative to
    options : PackOptions
    threads : int                   that read and encode; the files are the same for any number
    resume : bool                   continue where a killed run of the same list and options stopped
    progress : callable(done, total)

    Raises
    ------
    StorageError                    the list cannot be read, the files cannot be written, or another
                                    process packs this list

    Notes
    -----
    Where no item can be packed nothing is written, and older files stay.
    """
    check_target(list_path.with_suffix(".idx"))
    with _alone(list_path):
        return _pack(list_path, root, options, threads, resume=resume, progress=progress)


@contextlib.contextmanager
def _alone(list_path: Path) -> Iterator[None]:
    """Lock a list: two runs would write the same unfinished files."""
    try:
        file = open(list_path, "rb", opener=open_regular)  # noqa: SIM115
    except OSError as error:
        raise unusable("cannot read the list", error, list_path) from error
    with file:
        lock(file.fileno(), "cannot pack this list", str(list_path))
        yield


def _pack(
    list_path: Path,
    root: str,
    options: PackOptions,
    threads: int,
    *,
    resume: bool,
    progress: Callable[[int, int], None] | None,
) -> Packed:
    """Write the files of a list that nobody else packs."""
    made = Packed()
    items = list(read_list(list_path, made.problems, signed=False))
    made.several = sum(len(item.labels) > 1 for item in items)
    journal = _Journal(list_path, _fingerprint(list_path, options))
    start = journal.recover(made) if resume else 0
    if not journal.finished:
        with journal.writing(resume=start > 0):
            with Prefetcher(
                lambda pair: frame_image(pair[1], root, options),
                enumerate(items[start:]),
                depth=4 * threads,
                workers=threads,
                name="gpuio-pack",
            ) as ahead:
                for position, (framed, problem) in enumerate(ahead, start):
                    if framed is None:
                        journal.add_problem(position, problem)
                        made.problems.append(problem)
                    else:
                        journal.add(items[position].index, position, framed)
                    if progress is not None:
                        progress(position + 1, len(items))
            journal.finish()
    if journal.empty:
        journal.discard()
        return made
    made.records = journal.publish()
    return made


def _fingerprint(list_path: Path, options: PackOptions) -> str:
    """Return what a run must have in common with the run that it resumes."""
    listed = hashlib.sha256(read_whole(list_path, "cannot read the list")).hexdigest()
    return json.dumps([listed, attrs.astuple(options)])


class _Journal:
    """The unfinished files of a run: NAME.rec.part and NAME.idx.part.

    The journal is text. Its first line holds the fingerprint; then come a line "key TAB offset TAB
    position" for each record, "! TAB position TAB problem" for each item left out, and at last
    "end". A record's bytes are handed to the system before its line is.
    """

    def __init__(self, list_path: Path, fingerprint: str) -> None:
        self._rec = list_path.with_suffix(".rec")
        self._idx = list_path.with_suffix(".idx")
        self._rec_part = self._rec.with_name(self._rec.name + ".part")
        self._log_part = self._idx.with_name(self._idx.name + ".part")
        self._fingerprint = fingerprint
        self._entries: list[tuple[int, int]] = []
        self._at = 0
        self.finished = False
        self._data: IO[bytes] | None = None
        self._log: IO[bytes] | None = None

    def recover(self, made: Packed) -> int:
        """Find where an earlier run stopped; return how many items of the list it finished."""
        try:
            lines = read_whole(self._log_part).split(b"\n")[:-1]  # the last one was cut short
        except FileNotFoundError:
            return 0
        if not lines or lines[0].decode() != self._fingerprint:
            return 0
        kept: list[bytes] = [lines[0]]
        problems: list[str] = []
        position = -1
        self.finished = lines[-1] == b"end"
        published = self.finished and not self._rec_part.exists()
        try:
            data = LocalFile(str(self._rec if published else self._rec_part))
        except StorageError:
            self.finished = False
            return 0
        with data:
            for line in lines[1:]:
                fields = line.split(b"\t", 2)
                if fields[0] == b"end":
                    break
                if fields[0] == b"!":
                    position = int(fields[1])
                    problems.append(fields[2].decode("utf-8", "surrogateescape"))
                else:
                    key, offset, here = (int(field) for field in fields)
                    end = _end(data, offset)
                    if offset != self._at or end is None:
                        self.finished = False
                        break
                    self._entries.append((key, offset))
                    self._at, position = end, here
                kept.append(line)
        if (
            published and not self.finished
        ):  # the record file was replaced after that run was killed
            return 0
        if not self.finished:
            os.truncate(self._rec_part, self._at)
            self._log_part.write_bytes(b"\n".join(kept) + b"\n")
        made.problems += problems
        return position + 1

    @contextlib.contextmanager
    def writing(self, *, resume: bool) -> Iterator[None]:
        """Open the unfinished files; new ones unless a run is resumed."""
        mode = "ab" if resume else "wb"
        try:
            for part in (self._rec_part, self._log_part):
                check_regular(part, "cannot write")
            with self._rec_part.open(mode) as data, self._log_part.open(mode) as log:
                self._data, self._log = data, log
                if not resume:
                    self._entries, self._at = [], 0
                    log.write(self._fingerprint.encode() + b"\n")
                yield
        except OSError as error:
            if isinstance(error, GpuioError):
                raise
            raise StorageError(
                f"cannot write: {error.strerror}", path=str(self._rec_part)
            ) from error

    def add(self, key: int, position: int, framed: bytes) -> None:
        """Append a record and its line."""
        assert self._data is not None
        assert self._log is not None
        self._data.write(framed)
        self._data.flush()
        self._log.write(f"{key}\t{self._at}\t{position}\n".encode())
        self._entries.append((key, self._at))
        self._at += len(framed)

    def add_problem(self, position: int, problem: str) -> None:
        """Append the line of an item left out."""
        assert self._log is not None
        text = problem.replace("\n", " ")
        self._log.write(f"!\t{position}\t{text}\n".encode("utf-8", "surrogateescape"))

    def finish(self) -> None:
        """Mark the run complete; all of it reaches the disk."""
        assert self._data is not None
        assert self._log is not None
        os.fsync(self._data.fileno())
        self._log.write(b"end\n")
        self._log.flush()
        os.fsync(self._log.fileno())
        self.finished = True

    @property
    def empty(self) -> bool:
        """Whether no item became a record."""
        return not self._entries

    def discard(self) -> None:
        """Remove the unfinished files."""
        try:
            self._rec_part.unlink(missing_ok=True)
            self._log_part.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot remove: {error.strerror}", path=str(self._rec_part)
            ) from error

    def publish(self) -> int:
        """Give the files their names, the index last; return the number of records.

        An older index is removed first, so that it never exists beside the new records.
        """
        try:
            if self._rec_part.exists():
                self._idx.unlink(missing_ok=True)
                self._rec_part.replace(self._rec)
            write_index(
                self._idx,
                (key for key, _ in self._entries),
                (offset for _, offset in self._entries),
            )
            self._log_part.unlink()
            for stale in self._idx.parent.glob(f".{glob.escape(self._idx.name)}.*"):
                stale.unlink(missing_ok=True)  # of a run that was killed while it wrote the index
        except OSError as error:
            if isinstance(error, GpuioError):
                raise
            raise StorageError(f"cannot write: {error.strerror}", path=str(self._rec)) from error
        return len(self._entries)


def _end(data: LocalFile, offset: int) -> int | None:
    """Return where the record at `offset` ends; None if it is cut short."""
    try:
        return end_of_record(data, offset) if offset < data.size else None
    except FormatError:
        return None
