"""A cache on a disk: it measures what the disk costs, and steps aside where decoding costs less.

An image of a cache costs the time in which the reading thread brings it into memory: next to none
while the system keeps the file's pages there, which it says (major page faults). Beside it stands
the time of decoding it, which all threads share. That is measured when it is first needed: once
some images have come from a disk, the next ones are made as if there were no cache.
"""

from __future__ import annotations

import logging
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.cache.store import Claim, Found, Store
from gpuio.cache.use import Cache

__all__ = ["DiskCache", "read_rate"]

_Ints = npt.NDArray[np.int64]

_PROBE = 32 << 20  # bytes written and read to find out how fast a disk is
_FEW = 8  # images read at once, and before it is concluded that a disk is far too slow
_AT_ONCE = 8 << 20  # bytes of images read at once while none comes from a disk
_MEASURED = 48  # images, read or made without the cache, before anything else is concluded
_FAR = 2.0  # times as long as decoding
_STALLED, _STALLED_S = 2.0, 2.0  # to keep images threads may wait so many times as long as decoding
# them takes and images wait that are not kept, and so many seconds of all threads more, before it
# is given up
_PATIENCE = 20  # times so many rows are let pass until those images are there

_SCHEDULED = Path("/proc/thread-self/schedstat")  # of a thread: ns on a core, ns ready for one

_log = logging.getLogger("gpuio")


def read_rate(folder: str, nbytes: int = _PROBE) -> float:
    """Return the bytes per second that a folder's disk gives, beside the system's page cache.

    Raises
    ------
    OSError             nothing can be written there
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        fd = file.fileno()
        piece = os.urandom(1 << 20)
        for _ in range(nbytes >> 20):
            os.write(fd, piece)
        os.fsync(fd)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        begun = time.perf_counter()
        for at in range(0, nbytes, 1 << 20):
            os.pread(fd, 1 << 20, at)
        return nbytes / max(time.perf_counter() - begun, 1e-9)


def _major_faults() -> int:
    """Return how many pages this thread has waited for a disk for."""
    return resource.getrusage(getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)).ru_majflt


def _asleep_s() -> float:
    """Return the seconds in which this thread wanted no core, up to a constant.

    Neither those in which it had one, nor those in which others had it: they say nothing of a disk.
    """
    try:
        ready_s = 1e-9 * int(_SCHEDULED.read_bytes().split()[1])
    except (OSError, ValueError, IndexError):  # another system
        ready_s = 0.0
    return time.perf_counter() - time.thread_time() - ready_s


class DiskCache(Cache):
    """Decoded images of one iterator's records, on a disk.

    Parameters
    ----------
    kind, store, share, release : as `Cache`
    decode_s : float        seconds that one thread takes to decode all of an image
    threads : int           that decode
    image_bytes : float     of a decoded one; 0: it is not known
    """

    def __init__(
        self,
        kind: str,
        store: Store,
        share: float,
        release: Callable[[], None],
        *,
        decode_s: float,
        threads: int,
        image_bytes: float,
    ) -> None:
        super().__init__(kind, store, share, release)
        self._decode_s, self._threads = decode_s, threads
        self._fetched, self._fetch_s = 0, 0.0
        self._alone, self._alone_s = 0, 0.0  # images made without the cache
        self._tries = False  # that is being measured: nothing is read or kept meanwhile
        self._kept, self._wait_s = 0, 0.0
        self._doubts = False  # whether keeping waits too long: nothing is kept meanwhile
        self._asked = 0  # rows that were not kept for that
        self._others, self._others_s = 0, 0.0  # images made then, and what they waited
        self._usual_s = 0.0  # what an image waits that is not kept, for other threads mostly
        self._mine = threading.local()
        self._reads = self._writes = True
        self._rows = _FEW  # read at once: twice as many from time to time, while they are in memory
        self._most = max(_FEW, int(_AT_ONCE // max(image_bytes, 1.0))) if image_bytes else _FEW
        self._far = False  # the last images came from a disk, so the next ones are asked for ahead

    def find(self, positions: _Ints) -> Found | None:
        """Return what is ready of rows of the table, in memory; None where nothing is."""
        if not self._reads or self._release is None:
            return None
        if self._tries and not (self._tried() and self._reads):
            return None
        rows, found = np.flatnonzero(self._store.has(positions)), Found.none(len(positions))
        while len(rows):
            few, rows = np.split(rows, [self._rows])
            faults, begun = _major_faults(), time.perf_counter()
            some = self._store.fetch(positions[few], ahead=self._far)
            self._far = _major_faults() > faults
            self._rows = _FEW if self._far else min(2 * self._rows, self._most)
            if self._far:
                self._weigh(len(few), time.perf_counter() - begun)
            if some is not None:
                found.put(few, some)
            if self._tries or not self._reads:  # the others are decoded
                break
        return found if found.slots.any() else None

    def has(self, positions: _Ints) -> npt.NDArray[np.bool_]:
        """Say which rows `find` would find now: see `Cache.has`."""
        if not self._reads or self._tries:
            return np.zeros(len(positions), np.bool_)
        return super().has(positions)

    def claim(self, *args: Any) -> Claim | None:
        """Take the rows that are to be kept: see `Cache.claim`."""
        self._mine.before_s = None
        if not self._writes or self._tries:
            return None
        put_off = self._put_off(len(args[0]))
        claim = None if put_off else super().claim(*args)
        if put_off or claim is not None:  # asking costs as much as making several small images
            self._mine.before_s = _asleep_s()
        return claim

    def _put_off(self, rows: int) -> bool:
        """Say whether rows are not kept, because others are made without it to compare with.

        Where each share has images of the cache, none is. Then keeping goes on.
        """
        with self._lock:
            if not self._doubts:
                return False
            self._asked += rows
            if self._asked > _PATIENCE * _MEASURED:
                self._doubts, self._kept, self._wait_s = False, 0, 0.0
            return self._doubts

    def made_alone(self, images: int, seconds: float) -> None:
        """Note what images cost without the cache: see `Cache.made_alone`."""
        with self._lock:
            self._alone += images
            self._alone_s += seconds
            if not self._doubts or self._mine.before_s is None:
                return
            self._others += images
            self._others_s += _asleep_s() - self._mine.before_s
            if self._others >= _MEASURED:
                self._usual_s = self._others_s / self._others
                self._others, self._others_s, self._doubts = 0, 0.0, False
                self._conclude()

    def _tried(self) -> bool:
        """Say whether enough images were made without the cache; then conclude from them."""
        if self._alone < _MEASURED:
            return False
        self._tries = False
        self._weigh(0, 0.0)
        return True

    def settle(self, claim: Claim, kept: npt.NDArray[np.bool_], *, tried: bool) -> None:
        """Say what became of claimed rows: see `Cache.settle`; stop where that waits too long.

        By the thread that claimed them. A disk that cannot follow lets it wait as it writes pixels.
        """
        super().settle(claim, kept, tried=tried)
        with self._lock:
            self._kept += len(kept)
            self._wait_s += _asleep_s() - self._mine.before_s
            if self._kept < _MEASURED or self._doubts:
                return
            if self._stalls():
                self._doubts, self._asked = (
                    True,
                    0,
                )  # threads may wait for each other as long: that is measured
            elif self._wait_s <= _STALLED * self._kept * (self._decode_s + self._usual_s):
                self._kept, self._wait_s = 0, 0.0  # else the seconds go on

    def _stalls(self) -> bool:
        """Say whether images that are kept wait too long."""
        usual = self._kept * (self._decode_s + self._usual_s)
        return self._writes and self._wait_s > _STALLED * usual + _STALLED_S

    def _conclude(self) -> None:
        """Keep no more images where that waits too long, beside what others wait as well."""
        if self._stalls():
            self._writes = False
            _log.warning(
                "cache='disk' keeps no more images: to keep one a thread waited %.1f ms, without "
                "the cache %.1f ms, to decode it takes %.1f ms: the disk of cache_dir is too slow",
                1e3 * self._wait_s / self._kept,
                1e3 * self._usual_s,
                1e3 * self._decode_s,
            )
        self._kept, self._wait_s = 0, 0.0

    def _weigh(self, images: int, seconds: float) -> None:
        """Note what images cost, and step aside where decoding them costs less."""
        with self._lock:
            self._weigh_locked(images, seconds)

    def _weigh_locked(self, images: int, seconds: float) -> None:
        """Do so, with the lock held."""
        self._fetched += images
        self._fetch_s += seconds
        if self._alone < _MEASURED:
            self._tries = True
            return
        a_read, a_make = self._fetch_s / self._fetched, self._alone_s / self._alone / self._threads
        measured = self._fetched >= _MEASURED
        if a_read > (a_make if measured else _FAR * a_make):
            self._reads = self._writes = False
            _log.warning(
                "cache='disk' steps aside: reading an image from it took %.2f ms, decoding takes "
                "%.2f ms on %d threads: the disk of cache_dir is too slow",
                1e3 * a_read,
                1e3 * a_make,
                self._threads,
            )
        if measured:
            self._fetched, self._fetch_s = 0, 0.0

    def counts(self) -> dict[str, Any]:
        """Return what `Cache.counts` does, and whether the cache has stepped aside."""
        return {**super().counts(), "aside": not self._reads}
