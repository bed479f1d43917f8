"""A file of fixed contents that is read by position, wherever it lies.

Invariant: a short read is an error, never a short result; what is read is of the version that was
opened, or an error says that the file changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Self

import numpy as np
import numpy.typing as npt

__all__ = ["StoredFile"]


_TOGETHER, _TOGETHER_BYTES = 32, 8 << 20  # ranges, and bytes of them, on their way at once


class StoredFile(ABC):
    """A file that is open for reading, by several threads at once.

    Attributes
    ----------
    path : str              absolute, or a URL
    size : int              bytes, when it was opened
    mtime_ns : int          time of last change, when it was opened; 0 where that is not known
    etag : str              a server's name of the version that was opened; "" where there is none
    is_remote : bool        whether it lies behind a network
    merge_gap : int         ranges closer together than this share a read, bytes
    merge_cap : int         no merged read is larger, so that memory is freed piece by piece, bytes
    """

    path: str
    size: int
    mtime_ns: int
    etag = ""
    is_remote = False
    # 64 KiB cost about as much as a second call that waits for a disk, or that Python makes
    merge_gap = 64 << 10
    merge_cap = 1 << 20

    @property
    def tag(self) -> str:
        """What tells that the file changed: etag, or time of last change; "" if unknown."""
        return self.etag or (str(self.mtime_ns) if self.mtime_ns else "")

    @abstractmethod
    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset` on.

        Raises
        ------
        StorageError        the file ends earlier, or cannot be read
        ClosedError         after `close()`
        """

    @abstractmethod
    def check_unchanged(self) -> None:
        """Raise StorageError if the file at the path is no longer the one that was opened."""

    @abstractmethod
    def check_contents(self) -> None:
        """Raise StorageError if the opened file was written to since; cheap, for every batch."""

    @abstractmethod
    def close(self) -> None:
        """Close the file; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def read_ranges(self, offsets: npt.ArrayLike, lengths: npt.ArrayLike) -> list[memoryview]:
        """Return the bytes of several ranges, in the order asked for; near ranges share a read.

        Parameters
        ----------
        offsets, lengths : int64[n]     bytes

        Raises
        ------
        StorageError                    as `read`
        """
        buffers, number, start = self.read_merged(offsets, lengths)
        stop = start + np.asarray(lengths, np.int64)
        views = [memoryview(buffer) for buffer in buffers]
        return [
            views[which][begin:end]
            for which, begin, end in zip(
                number.tolist(), start.tolist(), stop.tolist(), strict=True
            )
        ]

    def read_each(
        self, offsets: npt.ArrayLike, lengths: npt.ArrayLike
    ) -> Iterator[bytes | memoryview]:
        """Yield the bytes of ranges that lie apart, one by one, in the order asked for.

        Behind a network some of them, 8 MiB at most, are on their way together.

        Parameters
        ----------
        offsets, lengths : int64[n]     bytes

        Raises
        ------
        StorageError                    as `read`
        """
        starts, sizes = np.asarray(offsets, np.int64), np.asarray(lengths, np.int64)
        at = 0
        while at < len(starts):
            stop = at + 1
            if self.is_remote:
                held = np.cumsum(sizes[at : at + _TOGETHER])
                stop = at + max(1, int(np.searchsorted(held, _TOGETHER_BYTES, side="right")))
                yield from self.read_ranges(starts[at:stop], sizes[at:stop])
            else:
                yield self.read(int(starts[at]), int(sizes[at]))
            at = stop

    def read_merged(
        self, offsets: npt.ArrayLike, lengths: npt.ArrayLike
    ) -> tuple[list[bytes], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Read several ranges as `read_ranges` does, and say where each of them lies.

        No object is made per range.

        Parameters
        ----------
        offsets, lengths : int64[n]     bytes

        Returns
        -------
        buffers : list of bytes         what was read, in ascending order of the file
        number : int64[n]               the buffer of each range, in the order asked for
        start : int64[n]                byte of that buffer at which the range starts

        Raises
        ------
        StorageError                    as `read`
        """
        starts = np.asarray(offsets, np.int64)
        stops = starts + np.asarray(lengths, np.int64)
        order = np.argsort(starts, kind="stable")
        lows, highs, firsts = self._merge(starts[order].tolist(), stops[order].tolist())
        buffers = self._read_each(lows, highs)
        edges = np.array([*firsts, len(starts)], np.int64)
        number = np.empty(len(starts), np.int64)
        number[order] = np.repeat(np.arange(len(buffers)), edges[1:] - edges[:-1])
        return buffers, number, starts - np.array(lows, np.int64)[number]

    def read_packed(
        self,
        offsets: npt.ArrayLike,
        lengths: npt.ArrayLike,
        allocate: Callable[[int], npt.NDArray[np.uint8]],
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Read several ranges into one piece of memory; near ranges share a read.

        Parameters
        ----------
        offsets, lengths : int64[n]     bytes
        allocate : callable             returns uint8[m], C order, for a number of bytes m

        Returns
        -------
        memory : uint8[m]               what `allocate` returned: the ranges, and what lies in the
                                        file between those that are near
        start : int64[n]                byte of the memory at which each range begins, in the order
                                        asked for

        Raises
        ------
        StorageError                    as `read`
        ClosedError                     after `close()`
        """
        starts = np.asarray(offsets, np.int64)
        return self._packed(starts, starts + np.asarray(lengths, np.int64), allocate)

    def _packed(
        self,
        starts: npt.NDArray[np.int64],
        stops: npt.NDArray[np.int64],
        allocate: Callable[[int], npt.NDArray[np.uint8]],
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Do what `read_packed` does, in Python alone."""
        buffers, number, start = self.read_merged(starts, stops - starts)
        ends = np.cumsum([0, *map(len, buffers)])
        memory = allocate(int(ends[-1]))
        for buffer, end in zip(buffers, ends[1:].tolist(), strict=True):
            memory[end - len(buffer) : end] = np.frombuffer(buffer, np.uint8)
        return memory, start + ends[number]

    def _read_each(self, lows: list[int], highs: list[int]) -> list[bytes]:
        """Return the bytes of some reads."""
        return [self.read(low, high - low) for low, high in zip(lows, highs, strict=True)]

    def _merge(
        self, begin: list[int], end: list[int], gap: int | None = None
    ) -> tuple[list[int], list[int], list[int]]:
        """Join ranges, ascending by `begin`, that are near: `merge_gap`; return what to read.

        Returns
        -------
        lows, highs : list of int       bytes; one a read
        firsts : list of int            the first range of each read
        """
        lows: list[int] = []
        highs: list[int] = []
        firsts: list[int] = []
        low = high = 0
        gap = self.merge_gap if gap is None else gap
        for index, (start, stop) in enumerate(zip(begin, end, strict=True)):
            if firsts and start - high <= gap and stop - low <= self.merge_cap:
                if stop > high:
                    high = highs[-1] = stop
                continue
            low, high = start, stop
            lows.append(low)
            highs.append(high)
            firsts.append(index)
        return lows, highs, firsts
