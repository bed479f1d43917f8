"""Local files, read by position.

Invariant: reads use `os.pread` alone, so that threads and forked children share a file without
sharing a place in it. A short read is an error, never a short result.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from gpuio.errors import ClosedError, StorageError

__all__ = ["LocalFile"]

# reads closer together than this are one read: 64 KiB cost about what a second call costs
_MERGE_GAP = 64 << 10
# and no merged read is larger, so that a batch's memory is let go record by record
_MERGE_CAP = 4 << 20


class LocalFile:
    """A file of fixed contents, open for reading.

    Parameters
    ----------
    path : str

    Attributes
    ----------
    path : str
    size : int              bytes, when it was opened
    mtime_ns : int          time of last change, when it was opened

    Raises
    ------
    StorageError            the path is missing, a directory, or may not be read
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._fd = -1
        self._open()

    def _open(self) -> None:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError(f"cannot open: {error.strerror}", path=self.path) from error
        status = os.fstat(fd)
        if not os.path.isfile(self.path):  # noqa: PTH113 -- on the hot path of opening many files
            os.close(fd)
            raise StorageError("cannot open: not a regular file", path=self.path)
        self._fd, self.size, self.mtime_ns = fd, status.st_size, status.st_mtime_ns

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset` on.

        Raises
        ------
        StorageError        the file ends before, or the system reports an error
        ClosedError         after `close()`
        """
        data = self._pread(length, offset)
        if len(data) == length:
            return data
        parts, got = [data], len(data)
        while got < length and parts[-1]:  # one call reads at most 2 GiB, and signals cut it short
            parts.append(self._pread(length - got, offset + got))
            got += len(parts[-1])
        if got < length:
            raise StorageError(
                f"file ends at byte {offset + got}, expected {length} bytes: it was cut after it "
                "was opened",
                path=self.path,
                offset=offset,
            )
        return b"".join(parts)

    def _pread(self, length: int, offset: int) -> bytes:
        if self._fd < 0:
            raise ClosedError("file was closed", path=self.path)
        try:
            return os.pread(self._fd, length, offset)
        except OSError as error:
            raise StorageError(
                f"cannot read {length} bytes: {error.strerror}", path=self.path, offset=offset
            ) from error

    def read_ranges(self, offsets: npt.ArrayLike, lengths: npt.ArrayLike) -> list[memoryview]:
        """Return the bytes of several ranges, in the order asked for; near ranges share a read.

        Parameters
        ----------
        offsets, lengths : int64[n]     bytes

        Raises
        ------
        StorageError                    as `read`
        """
        starts = np.asarray(offsets, np.int64)
        stops = starts + np.asarray(lengths, np.int64)
        found: list[Any] = [None] * len(starts)
        order = np.argsort(starts, kind="stable").tolist()
        begin, end = starts.tolist(), stops.tolist()
        group: list[int] = []
        high = 0
        for index in order:
            if group and (
                begin[index] - high > _MERGE_GAP or end[index] - begin[group[0]] > _MERGE_CAP
            ):
                self._read_group(group, begin, end, found)
                group = []
            high = max(end[index], high) if group else end[index]
            group.append(index)
        if group:
            self._read_group(group, begin, end, found)
        return found

    def _read_group(
        self, group: Sequence[int], begin: list[int], end: list[int], found: list[Any]
    ) -> None:
        """Read neighbouring ranges at once and cut the result."""
        low = begin[group[0]]
        data = memoryview(self.read(low, max(end[index] for index in group) - low))
        for index in group:
            found[index] = data[begin[index] - low : end[index] - low]

    def check_unchanged(self) -> None:
        """Raise StorageError if the file at the path is no longer the one that was opened."""
        try:
            now = Path(self.path).stat()
        except OSError as error:
            raise StorageError(f"file is gone: {error.strerror}", path=self.path) from error
        if (now.st_size, now.st_mtime_ns) != (self.size, self.mtime_ns):
            raise StorageError(
                f"file changed while it was open: {self.size} bytes then, {now.st_size} now; "
                "make a new iterator",
                path=self.path,
            )

    def close(self) -> None:
        """Close the file; may be called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return (LocalFile, (self.path,))
