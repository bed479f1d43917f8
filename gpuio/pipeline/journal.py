"""The unfinished files of a run that writes a record file, from which a stopped run goes on."""

from __future__ import annotations

import contextlib
import glob
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from gpuio.errors import FormatError, GpuioError, StorageError
from gpuio.recordio.framing import end_of_record
from gpuio.recordio.index import write_index
from gpuio.storage.files import open_stored, read_whole
from gpuio.storage.paths import check_regular
from gpuio.storage.stored import StoredFile

__all__ = ["Journal"]


class Journal:
    """The unfinished files of a run: NAME.rec.part and NAME.idx.part.

    The journal is text. Its first line holds the fingerprint; then come a line "key TAB offset TAB
    position" for each record, "! TAB position TAB problem" for each item left out, and at last
    "end". A record's bytes are handed to the system before its line is.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self._rec = path.with_suffix(".rec")
        self._idx = path.with_suffix(".idx")
        self._rec_part = self._rec.with_name(self._rec.name + ".part")
        self._log_part = self._idx.with_name(self._idx.name + ".part")
        self._fingerprint = fingerprint
        self._keys: list[int] = []
        self._offsets = array("q")
        self._at = 0
        self.finished = False
        self._data: IO[bytes] | None = None
        self._log: IO[bytes] | None = None

    def recover(self, told: list[str]) -> int:
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
            data = open_stored(str(self._rec if published else self._rec_part))
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
                    self._keys.append(key)
                    self._offsets.append(offset)
                    self._at, position = end, here
                kept.append(line)
        if (
            published and not self.finished
        ):  # the record file was replaced after that run was killed
            return 0
        if not self.finished:
            os.truncate(self._rec_part, self._at)
            self._log_part.write_bytes(b"\n".join(kept) + b"\n")
        told += problems
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
                    self._keys, self._offsets, self._at = [], array("q"), 0
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
        self._keys.append(key)
        self._offsets.append(self._at)
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
        return not self._keys

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
            write_index(self._idx, self._keys, self._offsets)
            self._log_part.unlink()
            for stale in self._idx.parent.glob(f".{glob.escape(self._idx.name)}.*"):
                stale.unlink(missing_ok=True)  # of a run that was killed while it wrote the index
        except OSError as error:
            if isinstance(error, GpuioError):
                raise
            raise StorageError(f"cannot write: {error.strerror}", path=str(self._rec)) from error
        return len(self._keys)


def _end(data: StoredFile, offset: int) -> int | None:
    """Return where the record at `offset` ends; None if it is cut short."""
    try:
        return end_of_record(data, offset) if offset < data.size else None
    except FormatError:
        return None
