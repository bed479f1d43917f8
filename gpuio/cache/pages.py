"""Memory that is brought in before it is written: many pages in one call, not a fault for each.

Huge pages cost least where the system has them at hand, and are read faster later. A virtual
machine that hands free memory back to its host has to ask for all of each: there, small ones, of
memory that the machine still has, cost a third. So both ways are tried, and what a byte took
decides.
"""

from __future__ import annotations

import ctypes
import mmap
import time

__all__ = ["HUGE", "Pages"]

HUGE = 2 << 20  # bytes of a huge page
_STEP = 4 << 20  # bytes brought in at once: some milliseconds, in which others wait to claim
_LEAST = 64 << 10
_AGAIN = 32  # steps after which the dearer way is tried again
_LATER = 1.25  # huge pages may cost so many times as much: they are read in each epoch
_POPULATE_WRITE = 23  # of madvise, Linux 5.14; Python does not name it

_Way = bool  # huge, or not


class Pages:
    """Bring pieces of memory in, one behind the other.

    Parameters
    ----------
    huge : bool         the memory may be of huge pages; it is a process's own
    """

    def __init__(self, *, huge: bool) -> None:
        self._ways: tuple[_Way, ...] = (False, True) if huge and _can_be_huge() else (False,)
        self._cost: dict[_Way, float] = {}  # seconds per byte, when a way was last taken
        self._steps, self._stop = 0, 0
        self._works = hasattr(mmap, "MADV_NORMAL")

    def reach(self, begin: int, stop: int, end: int) -> None:
        """Have memory up to `stop`, and some behind it, there; nothing where that fails.

        Parameters
        ----------
        begin : int     address at which it begins; no part in front of it was brought in
        stop : int      address
        end : int       address behind the last byte that may be brought in
        """
        if not begin <= self._stop <= end:
            self._stop = begin
        while self._works and self._stop < stop:
            start = self._stop // mmap.PAGESIZE * mmap.PAGESIZE
            step = min(_STEP, max(_LEAST, start - begin))  # of a small cache little is not used
            whole = step == _STEP
            self._stop = min((start + step) // HUGE * HUGE if whole else start + step, end)
            self._bring(start, self._stop - start, self._way() if whole else False)

    def _bring(self, start: int, nbytes: int, way: _Way) -> None:
        """Bring one step in, and note what it took."""
        self._steps += 1
        begun = time.thread_time()
        if way:
            _advise(start, nbytes, mmap.MADV_HUGEPAGE)
        # an older system, or it has no memory left: pages then come as they are written
        self._works = _advise(start, nbytes, _POPULATE_WRITE)
        self._cost[way] = (time.thread_time() - begun) / nbytes

    def _way(self) -> _Way:
        """Return which way to take next."""
        for way in self._ways:
            if way not in self._cost:
                return way
        if len(self._ways) == 1:
            return self._ways[0]
        huge = self._cost[True] <= _LATER * self._cost[False]
        return huge if self._steps % _AGAIN else not huge


def _can_be_huge() -> bool:
    return hasattr(mmap, "MADV_HUGEPAGE")


def _advise(start: int, nbytes: int, advice: int) -> bool:
    """Call madvise; say whether it was done. Python's own keeps other threads waiting."""
    call = ctypes.CDLL(None).madvise
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    done: int = call(start, nbytes, advice)
    return done == 0
