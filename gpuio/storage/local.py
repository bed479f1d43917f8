"""Local files, read by position.

Invariant: reads use `pread` only, so that threads and forked children share a file without sharing
a position in it. A short read is an error, never a short result. Transient errors (EIO, ESTALE,
...) are retried three times with increasing waits.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import ClosedError, StorageError
from gpuio.forking import lock
from gpuio.storage.paths import absolute, open_regular, unusable
from gpuio.storage.stored import StoredFile

__all__ = ["LocalFile", "read_whole"]

# where a read neither waits for a disk nor is made by Python, it costs as much as copying this
_NEAR = 4 << 10
# seconds per read, and bytes per second beside them, beyond which a file lies on a disk, not in
# memory: if the thread waited in half of its reads, or so often. Else it was the processor, which
# others use, too, that took so long
_READ_S, _BYTES_PER_S, _WAITS = 30e-6, 1e9, 4
# seconds before each retry of a read that failed; a worker thread sleeps them
_WAITS_S = (0.05, 0.2, 0.8)
_PASSING = {errno.EIO, errno.EAGAIN, errno.ESTALE, errno.ETIMEDOUT, errno.EBUSY, errno.ENOMEM}

_log = logging.getLogger("gpuio")


def read_whole(path: str | os.PathLike[str], what: str = "cannot read", advice: str = "") -> bytes:
    """Return all bytes of a file.

    Parameters
    ----------
    path : path
    what, advice : str      how the message of an error begins and ends

    Raises
    ------
    StorageError            it is missing, not a file, or cannot be read
    """
    path = absolute(path)
    try:
        with open(path, "rb", opener=open_regular) as file:
            return file.read()
    except OSError as error:
        raise unusable(what, error, path, advice) from error
    except ValueError as error:  # a name with a NUL character
        raise StorageError(f"{what}: {error}{advice}", path=os.fspath(path)) from error


class LocalFile(StoredFile):
    """A file of fixed contents, open for reading.

    Parameters
    ----------
    path : str

    Attributes
    ----------
    path : str              absolute
    size : int              bytes, when it was opened
    mtime_ns : int          time of last change, when it was opened

    Raises
    ------
    StorageError            the path is missing, a directory, or may not be read

    Notes
    -----
    A file that nobody holds any more is closed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = absolute(path)
        self._fd = -1
        self._closing = lock()  # held while a descriptor is closed or used again
        self._far = True  # whether the last ranges came from a disk
        self._open()

    def _open(self) -> None:
        try:
            fd = open_regular(self.path, os.O_RDONLY)
        except OSError as error:
            raise unusable("cannot open", error, self.path) from error
        try:
            status = os.fstat(fd)
        except OSError as error:
            os.close(fd)
            raise unusable("cannot open", error, self.path) from error
        self._fd, self.size, self.mtime_ns = fd, status.st_size, status.st_mtime_ns

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset` on.

        Raises
        ------
        StorageError        the file ends earlier, or the system reports an error at each of four
                            tries
        ClosedError         after `close()`
        """
        data = self._pread(length, offset, offset)
        if len(data) == length:
            return data
        parts, got = [data], len(data)
        while got < length:  # one call reads at most 2 GiB, and signals cut it short
            parts.append(self._pread(length - got, offset + got, offset))
            got += len(parts[-1])
        return b"".join(parts)

    def _pread(self, length: int, at: int, offset: int) -> bytes:
        """Return 1 to `length` bytes, or none where none are asked for; errors name `offset`."""
        for wait_s in (*_WAITS_S, None):
            fd = self._fd
            if fd < 0:
                raise ClosedError("file was closed", path=self.path)
            try:
                data = os.pread(fd, length, at)
                if data or length == 0:
                    return data
                what = f"file ends at byte {at:,}, expected {length:,} bytes more"
                # if the size says that there is more, a server may not have it yet
                cause, passing = None, os.fstat(fd).st_size > at
            except OSError as error:
                what = f"cannot read {length:,} bytes: {error.strerror}"
                cause, passing = error, error.errno in _PASSING
            if wait_s is None or not passing:
                if cause is None:
                    what += ": it was cut after it was opened"
                raise StorageError(what, path=self.path, offset=offset) from cause
            _log.warning("%s: %s [offset=%d]; again in %g s", self.path, what, offset, wait_s)
            time.sleep(wait_s)
            if cause is not None and cause.errno == errno.ESTALE:
                self._reopen(fd)
        raise AssertionError  # the last try returns or raises

    def _reopen(self, fd: int) -> None:
        """Open the path again under the same descriptor, so that other threads go on reading."""
        try:
            new = open_regular(self.path, os.O_RDONLY)
        except OSError:
            return  # the next try reports what is wrong
        try:
            self._compare(os.fstat(new))
            with self._closing:
                if self._fd == fd:  # else it is closed, and the descriptor may be another file's
                    os.dup2(new, fd, inheritable=False)
        finally:
            os.close(new)

    def read_packed(
        self,
        offsets: npt.ArrayLike,
        lengths: npt.ArrayLike,
        allocate: Callable[[int], npt.NDArray[np.uint8]],
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Do what `StoredFile.read_packed` does, without the GIL."""
        starts = np.ascontiguousarray(offsets, np.int64)
        sizes = np.ascontiguousarray(lengths, np.int64)
        compiled = _compiled()
        if compiled is None:
            return self._packed(starts, starts + sizes, allocate)
        low, high, place = np.empty((3, len(starts)), np.int64)
        gap = self.merge_gap if self._far else _NEAR
        order = starts.argsort()  # of equal ones any may come first
        reads, nbytes = compiled.lay_out(starts, sizes, order, gap, low, high, place)
        low, high, memory = low[:reads], high[:reads], allocate(nbytes)
        done, waited, begun = 0, 0, time.perf_counter()
        while done < reads:
            done, waits = self._read_quickly(compiled, low, high, done, memory)
            waited += _WAITS if waits < 0 else waits
            if done < reads:  # whatever it was: errors and their second tries are of Python
                data = self.read(int(low[done]), int(high[done] - low[done]))
                done += 1
                end = int((high[:done] - low[:done]).sum())
                memory[end - len(data) : end] = np.frombuffer(data, np.uint8)
        expected_s = reads * _READ_S + nbytes / _BYTES_PER_S
        slow = time.perf_counter() - begun > expected_s
        self._far = slow and 2 * waited >= min(reads, 2 * _WAITS)
        return memory, place

    def _read_quickly(
        self,
        compiled: Any,
        low: npt.NDArray[np.int64],
        high: npt.NDArray[np.int64],
        done: int,
        memory: npt.NDArray[np.uint8],
    ) -> tuple[int, int]:
        """Read ranges from number `done` on until one fails; return its number, and the waits."""
        fd = self._fd
        if fd < 0:
            raise ClosedError("file was closed", path=self.path)
        try:
            # another thread may close the file meanwhile, and its number be another file's
            own = os.dup(fd)
        except OSError:
            return done, 0
        try:
            if self._far and hasattr(os, "posix_fadvise"):  # all at once: a disk has many heads
                for begin, end in zip(low[done:].tolist(), high[done:].tolist(), strict=True):
                    os.posix_fadvise(own, begin, end - begin, os.POSIX_FADV_WILLNEED)
            failed, waits = compiled.read_ranges(own, low, high, done, memory)
        finally:
            os.close(own)
        return int(failed), int(waits)

    def check_unchanged(self) -> None:
        """Raise StorageError if the file at the path is no longer the one that was opened."""
        try:
            now = Path(self.path).stat()
        except OSError as error:
            raise unusable("file is gone", error, self.path) from error
        self._compare(now)

    def check_contents(self) -> None:
        """Raise StorageError if the opened file was written to since; cheap, for every batch.

        Another file that took its path is not noticed: what is open stays as it was.
        """
        fd = self._fd
        if fd >= 0:
            self._compare(os.fstat(fd))

    def _compare(self, now: os.stat_result) -> None:
        """Raise StorageError if a status is not that of the file that was opened."""
        if (now.st_size, now.st_mtime_ns) != (self.size, self.mtime_ns):
            raise StorageError(
                f"file changed while it was open: {self.size} bytes then, {now.st_size} now; "
                "make a new iterator",
                path=self.path,
            )

    def close(self) -> None:
        """Close the file; may be called twice."""
        with self._closing:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)

    def __del__(self) -> None:
        if hasattr(self, "_closing"):  # else its path was wrong
            self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return (LocalFile, (self.path,))


@functools.cache
def _compiled() -> Any:
    """Return the module of compiled reads; None where the C library has no `pread`."""
    try:
        from gpuio.kernels import ranges
    except ImportError:
        return None
    return ranges
