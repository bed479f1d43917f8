"""Many files, of which few are open at a time.

Invariant: a file that somebody reads is not closed under him. One that was set aside closes when
the last reader lets go of it; opened again, it must be the file that it was.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np

from gpuio import hooks
from gpuio.errors import ClosedError, StorageError
from gpuio.forking import lock
from gpuio.storage.connections import limits
from gpuio.storage.files import open_stored
from gpuio.storage.stored import StoredFile
from gpuio.storage.urls import is_url

__all__ = ["OpenFiles", "open_at_once"]

_MOST = 256


def open_at_once() -> int:
    """Return how many files may be open at once: 256, or half of the process's limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else max(min(_MOST, soft // 2), 1)


class OpenFiles(Sequence[StoredFile]):
    """The files at some paths, opened when they are asked for; those used last stay open.

    Parameters
    ----------
    paths : sequence of str
    check : callable(number, file), optional    called when a file is first opened; may raise
    most : int, optional        files that are open at once; `open_at_once()` if None. A file that
                                a thread is reading from stays open beside them

    Raises
    ------
    StorageError                from ``files[number]``: the file cannot be opened, or is not the one
                                that was opened before
    ClosedError                 the same, after `close()`
    """

    def __init__(
        self,
        paths: Sequence[str],
        check: Callable[[int, StoredFile], None] | None = None,
        most: int | None = None,
    ) -> None:
        self._paths, self._check = paths, check
        self._most = open_at_once() if most is None else most
        self._open: dict[int, StoredFile] = {}  # the one used last is the last
        self._seen = np.full((2, len(paths)), -1, np.int64)  # size, mtime_ns at the first opening
        self._turn = lock()
        self._closed = False

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, number: int) -> StoredFile: ...
    @overload
    def __getitem__(self, number: slice) -> list[StoredFile]: ...
    def __getitem__(self, number: int | slice) -> StoredFile | list[StoredFile]:
        """Return an open file; hold it no longer than it is read from."""
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if not 0 <= number < len(self._paths):
            raise IndexError(number)
        with self._turn:
            found = self._open.pop(number, None)
            if found is not None:
                self._open[number] = found
                return found
            if self._closed:
                raise ClosedError("file was closed", path=self._paths[number])
            while len(self._open) >= self._most:
                del self._open[next(iter(self._open))]
        file = self._opened(number)  # not under the lock: others go on reading
        with self._turn:
            if self._closed:
                raise ClosedError("file was closed", path=self._paths[number])
            return self._open.setdefault(number, file)

    def _opened(self, number: int) -> StoredFile:
        """Open a file, which must be the one that it was."""
        file = open_stored(self._paths[number])
        size, mtime_ns = self._seen[:, number].tolist()
        if size < 0:
            if self._check is not None:
                self._check(number, file)
            self._seen[:, number] = file.size, file.mtime_ns
        elif (size, mtime_ns) != (file.size, file.mtime_ns):
            raise StorageError(
                f"file changed while it was in use: {size} bytes then, {file.size} now; make a new "
                "iterator",
                path=file.path,
            )
        return file

    def __iter__(self) -> Iterator[StoredFile]:
        return (self[number] for number in range(len(self)))

    def open_each(self) -> None:
        """Open every file once, so that what is wrong with one is said now."""
        for _ in self:
            pass

    def check_unchanged(self) -> None:
        """Raise StorageError if a file that was opened is no longer what it was.

        Servers are asked for several files at once.
        """
        numbers: list[int] = np.flatnonzero(self._seen[0] >= 0).tolist()
        far = sum(is_url(self._paths[number]) for number in numbers)
        if far < 2:
            for number in numbers:
                self[number].check_unchanged()
            return
        workers = min(limits().in_flight, far)
        with hooks.call(
            "ahead",
            lambda number: self[number].check_unchanged(),
            numbers,
            depth=2 * workers,
            workers=workers,
            name="gpuio-remote",
        ) as checks:
            for _ in checks:
                pass

    def close(self) -> None:
        """Close the files; may be called twice."""
        with self._turn:
            self._closed = True
            files, self._open = list(self._open.values()), {}
        with contextlib.ExitStack() as stack:
            for file in files:
                stack.callback(file.close)
