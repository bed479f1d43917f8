"""A file under construction: PATH.part, which takes the name PATH when it is complete.

Invariant: until `publish` the file at PATH is what it was. One writer at a time: the part is locked
against other processes, and a newer writer of this process takes the place of an older one. What a
forked child holds of it leads nowhere, so that no byte in a buffer is written twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import weakref
from typing import BinaryIO

from gpuio.errors import ClosedError, StorageError
from gpuio.storage.paths import absolute, check_regular, unusable

__all__ = ["PartFile", "lock"]

_open: weakref.WeakSet[PartFile] = weakref.WeakSet()


class PartFile:
    """Write PATH.part; give it its name at the end.

    Parameters
    ----------
    path : path         of the complete file; through a link, the file that it leads to
    buffer : int        bytes kept before they are written
    what : str          how the messages of errors begin

    Raises
    ------
    StorageError        it cannot be made, another process is writing it, or something that is not a
                        file is there

    Attributes
    ----------
    file : binary file  to write into
    part : str          the path of the unfinished file
    """

    def __init__(
        self, path: str | os.PathLike[str], buffer: int = 1 << 16, what: str = "cannot write"
    ) -> None:
        self.path = os.path.realpath(absolute(path))
        self.part = self.path + ".part"
        self._pid = os.getpid()
        self._named, self._what = os.fspath(path), what
        check_regular(self.path, what)
        check_regular(self.part, what)
        self._taken = False
        for other in list(_open):
            if other.part == self.part:
                other._taken = True  # noqa: SLF001 -- its own kind
                other._end()  # noqa: SLF001
        self.file: BinaryIO = os.fdopen(self._locked(), "wb", buffer)
        _open.add(self)

    def _locked(self) -> int:
        """Return the descriptor of the part, empty and locked."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            if os.path.exists(self.path) and not os.access(self.path, os.W_OK):  # noqa: PTH110
                raise PermissionError(13, os.strerror(13))
            while True:
                fd = os.open(self.part, flags, 0o666)
                try:
                    lock(fd, self._what, self._named)
                    if _is_at(fd, self.part):  # not one that got its name, or went, meanwhile
                        os.ftruncate(fd, 0)
                        return fd
                except BaseException:
                    os.close(fd)
                    raise
                os.close(fd)
        except OSError as error:
            raise unusable(self._what, error, self._named) from error

    def check(self) -> None:
        """Raise ClosedError if a newer writer of this process has the file."""
        if self._taken:
            raise ClosedError(
                "cannot write: another writer of this process opened the file after this one, "
                "whose records are not kept: close() one before the next is made",
                path=self._named,
            )

    def flush(self) -> None:
        """Hand all bytes to the system; where an older file is to be replaced, to the disk.

        Raises
        ------
        ClosedError         as `check`
        OSError             the system's: the disk is full
        """
        self.check()
        self.file.flush()
        if os.path.exists(self.path):  # noqa: PTH110
            os.fsync(self.file.fileno())

    def publish(self) -> None:
        """Give the file its name and close it.

        Raises
        ------
        ClosedError, OSError        as `flush`; the older file stays
        """
        try:
            self.flush()
            with contextlib.suppress(OSError):  # no older file; or it is somebody else's
                os.fchmod(self.file.fileno(), stat.S_IMODE(os.stat(self.path).st_mode))  # noqa: PTH116
            os.replace(self.part, self.path)  # noqa: PTH105
        finally:
            self._end()

    def abandon(self) -> None:
        """Close the file under its unfinished name, if it is open; the older file stays."""
        self._end()

    def discard(self) -> None:
        """Close the file and remove it; the older file stays."""
        self._end()
        os.unlink(self.part)  # noqa: PTH108

    @property
    def ours(self) -> bool:
        """Whether this is the process that opened the file, not a fork of it."""
        return self._pid == os.getpid()

    def _end(self) -> None:
        """Close the file, whatever becomes of the bytes in its buffer."""
        _open.discard(self)
        with contextlib.suppress(OSError):
            self.file.close()

    def __del__(self) -> None:
        if hasattr(self, "file"):
            self._end()


def lock(fd: int, what: str, path: str) -> None:
    """Lock a descriptor's file until it is closed; where the file system has no locks, do not.

    Parameters
    ----------
    fd : int
    what, path : str        how the message begins, and the path that it names

    Raises
    ------
    StorageError            another process has locked it
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StorageError(
            f"{what}: another process is writing this file; wait for it, or name another file",
            path=path,
        ) from error
    except OSError:
        return


def _is_at(fd: int, path: str) -> bool:
    """Whether a descriptor's file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))  # noqa: PTH116
    except FileNotFoundError:
        return False


def _lead_nowhere() -> None:
    """In a forked child: what its copies of the buffers still hold must not reach the files."""
    for one in list(_open):
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(nowhere, one.file.fileno(), inheritable=False)
            os.close(nowhere)
        except (OSError, ValueError):
            continue


os.register_at_fork(after_in_child=_lead_nowhere)
