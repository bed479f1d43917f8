"""Blocks of remote files, kept on a disk of this machine for all of its processes.

FOLDER/<name of file and version>/<number> holds a block's bytes, then a CRC-32 of every 64 KiB of
them, and the trailer: magic, length of the block, number of checksums, CRC-32 of the checksums.

Invariants: a block file gets its name complete or not at all. Whatever is read is compared with its
checksum; what does not fit is fetched again. The files together are never larger than the cap.
Nothing that goes wrong here is an error: reading goes on over the network.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import logging
import os
import random
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gpuio.forking import waiting
from gpuio.storage.stores import Version

__all__ = ["BlockCache", "open_cache"]

_MAGIC = b"gpuioBLK"
_TRAILER = struct.Struct("<8sQII")
_CHECKED = 64 << 10  # bytes under one checksum
_TOUCHED_S = 60.0  # a block's time of use is not written more often
_STALE_S = 3600.0  # after which an unfinished file is one of a killed process
_FULL = 0.9  # of the cap, which is left when blocks are removed
_POLL_S = 0.01  # between looks at a block that another process fetches

_log = logging.getLogger("gpuio")


@functools.cache
def open_cache(folder: str, max_bytes: int, patience_s: float) -> BlockCache:
    """Return the cache of a folder, the same object for all files."""
    return BlockCache(folder, max_bytes, patience_s)


class BlockCache:
    """A folder of blocks.

    Parameters
    ----------
    folder : str            made if it is not there, for this user only
    max_bytes : int         of all block files together
    patience_s : float      how long a block that another process fetches is waited for
    """

    def __init__(self, folder: str, max_bytes: int, patience_s: float) -> None:
        self._folder, self._max_bytes, self._patience_s = Path(folder), max_bytes, patience_s
        self._writes = self._reads = self._prepare()

    def _prepare(self) -> bool:
        """Make the folder; say whether it can be used."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._folder.stat().st_uid != os.getuid():
                raise PermissionError(13, "the folder is another user's")
            self._folder.chmod(0o700)
        except OSError as error:
            self._complain("cannot be used", error)
            return False
        return True

    def _complain(self, what: str, error: OSError) -> None:
        """Say once that blocks are not kept."""
        _log.warning(
            "block cache %s %s: %s; reading goes on without it",
            self._folder,
            what,
            error.strerror or error,
        )

    def take(
        self,
        url: str,
        version: Version,
        number: int,
        part: tuple[int, int],
        fetch: Callable[[], Any],
    ) -> Any:
        """Return some bytes of a block, from here or out of what `fetch` returns.

        Parameters
        ----------
        url, version, number        of the file, and of the block in it
        part : (start, stop)        bytes of the block
        fetch : callable            returns all of the block
        """
        named = version.etag or version.modified_ns
        if not self._reads or not named:  # without a name of the version, old bytes look like new
            return memoryview(fetch())[slice(*part)]
        name = f"{url}\0{version.size}\0{version.etag}\0{version.modified_ns}"
        path = self._folder / hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
        path /= str(number)
        found = _read(path, *part)
        if found is not None:
            return found
        with self._alone(path):
            found = _read(path, *part)  # another process may have been quicker
            if found is not None:
                return found
            data = memoryview(fetch())
            self._keep(path, data)
        return data[slice(*part)]

    @contextlib.contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        """Let one process or thread fetch a block, as far as the file system can lock."""
        beside = path.with_name(f"{path.name}.lock")
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            yield
            return
        try:
            deadline = time.monotonic() + self._patience_s
            with waiting():
                while not _locked(fd) and time.monotonic() < deadline:
                    time.sleep(_POLL_S)
            yield
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)  # a forked child holds the descriptor, too
            os.close(fd)

    def _keep(self, path: Path, data: memoryview) -> None:
        """Write a block, if there is room for it and the disk takes it."""
        if not self._writes:
            return
        sums = b"".join(
            zlib.crc32(data[at : at + _CHECKED]).to_bytes(4, "little")
            for at in range(0, len(data), _CHECKED)
        )
        end = _TRAILER.pack(_MAGIC, len(data), len(sums) // 4, zlib.crc32(sums))
        size = len(data) + len(sums) + len(end)
        if size > self._max_bytes:
            return
        part = path.with_name(f"{path.name}.{os.getpid()}.{random.getrandbits(32):08x}.part")
        try:
            self._make_room(size)
            with part.open("xb") as file:
                file.writelines((data, sums, end))
            part.replace(path)
        except OSError as error:
            self._writes = False
            self._complain("takes no more blocks", error)
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        """Count bytes that are to be written; remove the blocks that were not used for longest.

        What is counted and never written is found at the next look through the folder.
        """
        fd = os.open(self._folder / ".bytes", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with contextlib.suppress(OSError), waiting():
                fcntl.flock(fd, fcntl.LOCK_EX)
            text = os.pread(fd, 32, 0)
            used = int(text) if text.strip().isdigit() else self._removed_to(self._max_bytes - size)
            if used + size > self._max_bytes:
                goal = min(int(self._max_bytes * _FULL), self._max_bytes - size)
                used = self._removed_to(goal)
            os.pwrite(fd, b"%-32d" % (used + size), 0)
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def _removed_to(self, goal: int) -> int:
        """Remove old blocks until no more than `goal` bytes are left; return how many are."""
        found, now = [], time.time()
        for path in self._folder.glob("*/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                if path.suffix:
                    if now - status.st_mtime > _STALE_S:
                        path.unlink()
                    continue
                found.append((status.st_mtime, status.st_size, path))
        used = sum(size for _, size, _ in found)
        for _, size, path in sorted(found, key=lambda one: one[0]):
            if used <= goal:
                break
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                used -= size
        return used


def _locked(fd: int) -> bool:
    """Try to lock a file; a file system without locks counts as locked."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _read(path: Path, start: int, stop: int) -> memoryview | None:
    """Return bytes of a block file; None where it is not there or not what was written."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        end = os.pread(fd, _TRAILER.size, status.st_size - _TRAILER.size)
        magic, length, count, crc = _TRAILER.unpack(end)
        sums = os.pread(fd, 4 * count, length)
        sound = magic == _MAGIC and status.st_size == length + 4 * count + _TRAILER.size
        if not sound or zlib.crc32(sums) != crc or stop > length:
            return None
        first = start // _CHECKED * _CHECKED
        data = memoryview(os.pread(fd, min(-(-stop // _CHECKED) * _CHECKED, length) - first, first))
        for at in range(0, len(data), _CHECKED):
            number = (first + at) // _CHECKED
            stated = int.from_bytes(sums[4 * number : 4 * number + 4], "little")
            if zlib.crc32(data[at : at + _CHECKED]) != stated:
                return None
        if time.time() - status.st_mtime > _TOUCHED_S:
            os.utime(fd)
    except (OSError, struct.error):
        return None
    finally:
        os.close(fd)
    return data[start - first : stop - first]
