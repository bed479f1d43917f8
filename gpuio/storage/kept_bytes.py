"""The bytes of small remote files, which stay in memory once they were read.

Invariants: no byte of a version of a file is fetched twice, but where fetching it failed, however
often the file is open. All files together keep no more than the cap; one that nobody has open any
more gives its share back.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.forking import lock, waiting
from gpuio.storage.stores import Version

__all__ = ["KeptBytes", "keep"]

_PAGE = 4 << 10  # bytes that are there, or are not, together
_ABSENT, _COMING, _THERE = 0, 1, 2

_Piece = tuple[int, int, npt.NDArray[np.uint8]]  # start, stop, where to

_Name = tuple[str, Version]

_kept: dict[_Name, tuple[KeptBytes, int]] = {}  # and how many have the file open
_turn = lock()


def keep(
    owner: Any, url: str, version: Version, most: int
) -> tuple[KeptBytes, Callable[[], Any]] | None:
    """Return the bytes of a version of a file, the same for all that have it open.

    Parameters
    ----------
    owner : object              who has it open; what is dropped has let go of it
    url, version
    most : int                  bytes of all files together

    Returns
    -------
    (KeptBytes, callable) or None       the bytes, and what to call at the end, any number of times;
                                None where all files would have more than `most` bytes, or nothing
                                tells versions of the file apart
    """
    name = url, version
    with _turn:
        found = _kept[name][0] if name in _kept else None
        if found is None:
            named = version.etag or version.modified_ns
            taken = sum(other.size for _, other in list(_kept))
            if not (version.size and named) or taken + version.size > most:
                return None
            found = KeptBytes(version.size)
        users = _kept[name][1] if name in _kept else 0  # a file may have been collected meanwhile
        _kept[name] = found, users + 1
        return found, weakref.finalize(owner, _let_go, name)


def _let_go(name: _Name) -> None:
    """Count one less who has a file open; nobody's bytes are forgotten."""
    with _turn:
        found, users = _kept.pop(name)
        if users > 1:
            _kept[name] = found, users - 1


class KeptBytes:
    """The bytes of one file, as far as they were read; several threads may ask for them.

    Parameters
    ----------
    size : int          bytes of the file; memory is taken for those that were read
    """

    def __init__(self, size: int) -> None:
        self._memory = np.empty(size, np.uint8)
        self._pages = np.full(-(-size // _PAGE), _ABSENT, np.uint8)
        self._changed = threading.Condition(lock())

    def take(
        self,
        lows: Sequence[int],
        highs: Sequence[int],
        gap: int,
        cap: int,
        fetch: Callable[[list[_Piece]], None],
    ) -> npt.NDArray[np.uint8]:
        """Return the file's memory, in which some ranges are there now.

        Parameters
        ----------
        lows, highs : sequence of int       the ranges, ascending
        gap, cap : int                      bytes: pieces that lie nearer are one; most of one
        fetch : callable                    reads pieces of the file into memory: (start, stop,
                                            where to) each

        Raises
        ------
        StorageError                        of `fetch`, which reads nothing that is there
        """
        wanted = self._wanted(lows, highs)
        while True:
            with self._changed:
                state = self._pages[wanted]
                missing = wanted[state == _ABSENT]
                if not len(missing):
                    if not (state == _COMING).any():
                        return self._memory
                    with waiting():
                        self._changed.wait()
                    continue
                mine = self._runs(missing, gap, cap)
                for first, stop in mine:
                    self._pages[first:stop] = _COMING
            made = _ABSENT
            try:
                fetch([self._piece(first, stop) for first, stop in mine])
                made = _THERE
            finally:
                with self._changed:
                    for first, stop in mine:
                        self._pages[first:stop] = made
                    self._changed.notify_all()

    def _wanted(self, lows: Sequence[int], highs: Sequence[int]) -> npt.NDArray[np.int64]:
        """Return the numbers of the pages in which ranges lie, ascending."""
        low, high = np.asarray(lows, np.int64), np.asarray(highs, np.int64)
        some = high > low
        edges = np.zeros(len(self._pages) + 1, np.int64)
        np.add.at(edges, low[some] // _PAGE, 1)
        np.add.at(edges, -(-high[some] // _PAGE), -1)
        return np.flatnonzero(np.cumsum(edges[:-1]))

    def _runs(self, missing: npt.NDArray[np.int64], gap: int, cap: int) -> list[tuple[int, int]]:
        """Join missing pages that are near, where nothing between them is there; return runs."""
        known = np.concatenate([[0], np.cumsum(self._pages != _ABSENT)])
        left, right = missing[:-1], missing[1:]
        apart = (right - left > 1 + gap // _PAGE) | (known[left] != known[right])
        firsts = missing[np.concatenate([[True], apart])].tolist()
        lasts = missing[np.concatenate([apart, [True]])].tolist()
        step = max(cap // _PAGE, 1)
        return [
            (at, min(at + step, last + 1))
            for first, last in zip(firsts, lasts, strict=True)
            for at in range(first, last + 1, step)
        ]

    def _piece(self, first: int, stop: int) -> _Piece:
        memory = self._memory[first * _PAGE : stop * _PAGE]
        return first * _PAGE, first * _PAGE + len(memory), memory

    def __reduce__(self) -> Any:
        raise TypeError("bytes in memory are not pickled: open the file again")
