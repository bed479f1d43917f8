"""Slots in a memory-mapped file, which processes share, and which may outlive them.

The file begins with what it holds (`_HEAD`: the key of its source, how far it is filled), then
offset and state of each row, then the slots. It appears under its name only when that much is
written. Each process holds a shared lock on it (flock) as long as it uses it; a file that nobody
holds is stale: one of another source is removed, and claims left in it are taken back.

While slots are taken the process holds the file's other lock (lockf). That one belongs to the
process, not to a descriptor: it keeps no other thread out, and closing any descriptor of the file
lets it go. So whatever takes it or closes one of these files does so inside of `_own`.

Room is reserved with the system before it is written, so that a full disk is an error here, not the
end of the process. A file is never cut or written anew in place: another process may have it mapped
still.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import mmap
import os
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gpuio.cache.store import NO_ROOM
from gpuio.errors import StorageError
from gpuio.forking import lock
from gpuio.storage.paths import unusable

__all__ = ["SUFFIX", "MappedMemory", "open_mapped", "remove_stale"]

SUFFIX = ".gpuio-cache"

_MAGIC = b"gpuio cache 1"
_HEAD = np.dtype(
    [
        ("magic", "S16"),
        ("key", "S64"),  # of source and options
        ("rows", np.int64),  # of the table
        ("capacity", np.int64),  # bytes of the file, at most
        ("next", np.int64),  # where the next slot begins
        ("reserved", np.int64),  # bytes of the file that the system has promised
    ]
)
_PAGE = 4096
_PIECE = 64 << 20  # bytes reserved at once
_TRIES = 16  # to open a file that others make and remove meanwhile

_Ints = npt.NDArray[np.int64]

_own = lock()  # of this process's threads, for all files: two paths may lead to one

_log = logging.getLogger("gpuio")


def open_mapped(path: str, key: str, rows: int, capacity: int, *, kept: bool) -> MappedMemory:
    """Open the file of a cache, or make it.

    Parameters
    ----------
    path : str
    key : str               of the source and of what decides the pixels
    rows : int              of the table
    capacity : int          bytes of a file that is made; one that is there has its own
    kept : bool             the file stays when nobody uses it any more

    Raises
    ------
    StorageError            it cannot be opened, made or mapped: permissions, a full disk; or it is
                            somebody else's
    """
    try:
        for _ in range(_TRIES):
            fd = _opened(path, kept=kept)
            if fd is None:
                _make(path, key, rows, capacity)
                continue
            try:
                writes = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
                alone = _locked(fd, writes=writes)
                if not _is_at(fd, path):
                    _let_go(fd)
                    continue
                if os.fstat(fd).st_uid != os.geteuid():
                    raise StorageError("cannot use a cache that is another user's", path=path)
                wrong = _wrong(fd, key, rows)
                if not wrong:
                    return MappedMemory(fd, path, kept=kept, alone=alone, writes=writes)
                _log.info("cache: %s is made anew: %s", path, wrong)
                os.unlink(path)  # noqa: PTH108
                _let_go(fd)
            except BaseException:
                with contextlib.suppress(OSError):
                    _let_go(fd)
                raise
    except (OSError, ValueError) as error:
        if isinstance(error, StorageError):
            raise
        raise unusable("cannot open the cache", error, path) from error  # type: ignore[arg-type]
    raise StorageError("cannot open the cache: other processes make and remove it", path=path)


def remove_stale(folder: str, prefix: str, but: Collection[str] = ()) -> None:
    """Remove the caches in a folder, by the beginning of their names, that nobody uses.

    Parameters
    ----------
    folder : str
    prefix : str
    but : collection of str     paths that this process uses
    """
    for path in Path(folder).iterdir():
        if not path.name.startswith(prefix) or str(path) in but:
            continue
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(fd, str(path)):
                    path.unlink()
            finally:
                _let_go(fd)


class MappedMemory:
    """Memory for slots: see `gpuio.cache.store.Memory`.

    Parameters
    ----------
    fd : int            open for reading and writing, locked; closed with this
    path : str
    kept : bool         the file stays when nobody uses it any more
    alone : bool        nobody else uses it: claims are those of processes that ended
    writes : bool       it may be written; else what is ready stays, and is all there will be
    """

    apart = np.zeros(0, np.int64)

    def __init__(self, fd: int, path: str, *, kept: bool, alone: bool, writes: bool = True) -> None:
        self._fd, self.path, self.kept, self._pid = fd, path, kept, os.getpid()
        access = mmap.ACCESS_WRITE if writes else mmap.ACCESS_READ
        self._map = mmap.mmap(fd, os.fstat(fd).st_size, access=access)
        whole = np.frombuffer(self._map, np.uint8)
        self._head = whole[: _HEAD.itemsize].view(_HEAD)
        rows = int(self._head["rows"][0])
        self.base = whole.ctypes.data
        self.offsets = whole[_PAGE : _PAGE + 8 * rows].view(np.int64)
        self.states = whole[_PAGE + 8 * rows : _PAGE + 9 * rows]
        self._full, self._writes = not writes, writes
        if not writes:
            self._take_over()
        elif alone:
            self._repair()
            fcntl.flock(fd, fcntl.LOCK_SH)

    def _repair(self) -> None:
        """Take back what processes that ended had claimed, and what cannot be a slot."""
        from gpuio.kernels.slots import EMPTY, READY, REFUSED

        first, stop = _first(len(self.states)), self.nbytes
        bad = (self.states != READY) & (self.states != REFUSED) & (self.states != EMPTY)
        astray = (self.offsets != 0) & ((self.offsets < first) | (self.offsets >= stop))
        self.states[bad | (astray & (self.states == READY))] = EMPTY
        self.offsets[astray] = 0

    def _take_over(self) -> None:
        """Look rows up in an index of this process's own, which may be written."""
        from gpuio.kernels.slots import READY

        self.offsets, self.states = self.offsets.copy(), self.states.copy()
        self._repair()
        self.offsets[self.states != READY] = 0  # nobody writes there
        _log.warning(
            "cache: %s cannot be written: the %d images that are in it are used, others are "
            "decoded in each epoch",
            *(self.path, np.count_nonzero(self.states == READY)),
        )

    @property
    def nbytes(self) -> int:
        """Bytes that are taken."""
        return int(self._head["next"][0]) if self._fd >= 0 else 0

    @property
    def left(self) -> int:
        """Bytes that may still be taken."""
        if self._full or self._fd < 0:
            return 0
        return int(self._head["capacity"][0]) - self.nbytes

    def take(
        self,
        fronts: _Ints,
        pixels: _Ints,
        positions: _Ints,  # noqa: ARG002 -- see Memory
    ) -> _Ints:
        """Return where slots of so many bytes begin; NO_ROOM where they are too many."""
        head, sizes = self._head, fronts + pixels
        stops = int(head["next"][0]) + np.cumsum(sizes)
        if self._full or stops[-1] > head["reserved"][0]:
            return np.array([self._taken(nbytes) for nbytes in sizes.tolist()], np.int64)
        head["next"] = stops[-1]
        begun: _Ints = stops - sizes
        return begun

    def _taken(self, nbytes: int) -> int:
        """Return where a slot of so many bytes begins; NO_ROOM if they are too many."""
        head = self._head
        place = int(head["next"][0])
        if nbytes > self.left or not self._reserve(place + nbytes):
            return NO_ROOM
        head["next"] = place + nbytes
        return place

    def _reserve(self, stop: int) -> bool:
        """Make sure that the system has room for the file up to there."""
        reserved = int(self._head["reserved"][0])
        if stop <= reserved:
            return True
        size = min(max(_PIECE, stop - reserved), int(self._head["capacity"][0]) - reserved)
        try:
            os.posix_fallocate(self._fd, reserved, size)
        except OSError as error:
            self._full = True
            _log.warning(
                "cache: no room for more than %.1f GB in %s: %s; the images that are in it stay, "
                "others are decoded in each epoch",
                reserved / 1e9,
                self.path,
                error.strerror,
            )
            return False
        self._head["reserved"] = reserved + size
        return True

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others from taking and claiming meanwhile: processes, and threads of this one."""
        with _own:
            if not self._writes:  # the index is this process's own
                yield
                return
            fcntl.lockf(self._fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def ask(self, offsets: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> None:
        """Ask the system for ranges that will be read soon, all of them at once."""
        for begin, size in zip((offsets // _PAGE * _PAGE).tolist(), sizes.tolist(), strict=True):
            with contextlib.suppress(OSError, ValueError):
                self._map.madvise(mmap.MADV_WILLNEED, begin, size + _PAGE)

    def close(self) -> None:
        """Let the file go, and remove it if it is not to stay and nobody else uses it."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        none = np.zeros(0, np.uint8)
        self._head, self.offsets, self.states = none.view(_HEAD), none.view(np.int64), none
        with contextlib.suppress(BufferError):  # an array of somebody's: freed with it
            self._map.close()
        if not self.kept and os.getpid() == self._pid:
            with contextlib.suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(fd, self.path):
                    os.unlink(self.path)  # noqa: PTH108
        _let_go(fd)


def _let_go(fd: int) -> None:
    """Close a descriptor of a cache's file, not while a thread of this process has it locked."""
    with _own:
        os.close(fd)


def _opened(path: str, *, kept: bool) -> int | None:
    """Return a descriptor of the file; None where there is none.

    Of one that stays, and that may not be written, a descriptor for reading.
    """
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, os.O_RDWR | flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        if not kept or error.errno not in (errno.EROFS, errno.EACCES):
            raise
        return os.open(path, os.O_RDONLY | flags)


def _locked(fd: int, *, writes: bool) -> bool:
    """Lock a file as one of its users; say whether there is no other.

    Who only reads it is one of several: that lock needs nothing written, on any file system.
    """
    if writes:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            return True
    fcntl.flock(fd, fcntl.LOCK_SH)
    return False


def _is_at(fd: int, path: str) -> bool:
    """Say whether a path still leads to an open file."""
    try:
        found, own = os.stat(path, follow_symlinks=False), os.fstat(fd)  # noqa: PTH116
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)


def _wrong(fd: int, key: str, rows: int) -> str:
    """Say why a file is not the cache of a source; "" if it is."""
    size = os.fstat(fd).st_size
    data = os.pread(fd, _HEAD.itemsize, 0)
    if len(data) < _HEAD.itemsize:
        return "it is not a cache"
    head = np.frombuffer(data, _HEAD)[0]
    if head["magic"] != _MAGIC:
        return "it is not a cache of this version"
    if head["key"] != key.encode() or head["rows"] != rows:
        return "its source has changed, or how it is decoded"
    first = _first(rows)
    if not (first <= head["next"] <= head["reserved"] <= head["capacity"] == size):
        return "it is damaged"
    return ""


def _first(rows: int) -> int:
    """Return the byte at which the first slot begins."""
    return -(-(_PAGE + 9 * rows) // _PAGE) * _PAGE


def _make(path: str, key: str, rows: int, capacity: int) -> None:
    """Make an empty cache under a path, unless somebody else has made one by then."""
    first = _first(rows)
    capacity = max(capacity, first + _PAGE)
    fd, temporary = tempfile.mkstemp(
        prefix=f"{Path(path).name}.", dir=Path(path).parent, suffix=".new"
    )
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)  # it is not stale
        if not _is_at(fd, temporary):  # another process took it for stale before
            return
        os.posix_fallocate(fd, 0, first)
        os.ftruncate(fd, capacity)
        head = np.zeros(1, _HEAD)
        head["magic"], head["key"], head["rows"] = _MAGIC, key.encode(), rows
        head["capacity"], head["next"], head["reserved"] = capacity, first, first
        os.pwrite(fd, head.tobytes(), 0)
        os.fsync(fd)
        _name(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        os.close(fd)


def _name(temporary: str, path: str) -> None:
    """Give a file its name, unless there is one of that name."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        if not os.path.lexists(path):
            os.rename(temporary, path)  # noqa: PTH104
