"""A remote file, read by position.

Invariant: every byte is of the version that was opened. Ranges that are near are one request, of
some MiB at most, and the requests of one read are on their way together. How near that is, requests
to the same host have shown. Of a file that is small batches keep in memory what they read.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gpuio import hooks
from gpuio.errors import ClosedError, StorageError
from gpuio.forking import lock
from gpuio.storage.block_cache import open_cache
from gpuio.storage.connections import limits
from gpuio.storage.kept_bytes import KeptBytes, keep
from gpuio.storage.remote import RemoteObject
from gpuio.storage.stored import StoredFile
from gpuio.storage.stores import Version

__all__ = ["BLOCK_BYTES", "Blocks", "RemoteFile"]

_KEPT_GAP = 256 << 10  # of ranges that are kept: what lies between them is wanted soon
_COPIED_GAP = 4 << 10  # of ranges in memory: what lies between them is copied along
_CAP = 8 << 20  # bytes of a request: a connection that fails loses no more
# a read that goes on where the last one ended asks for more than it needs, more each time
_FIRST_AHEAD, _MOST_AHEAD, _GROWTH = 64 << 10, 4 << 20, 4

BLOCK_BYTES = 4 << 20  # of a file that is read in whole blocks


class Blocks(Protocol):
    """Where blocks are kept; several threads may ask for one, which is then fetched once."""

    def take(
        self,
        url: str,
        version: Version,
        number: int,
        part: tuple[int, int],
        fetch: Callable[[], Any],
    ) -> Any:
        """Return bytes `part` of a block, from here or out of what `fetch` returns.

        An object with the buffer protocol; `fetch` returns all of the block.
        """


class RemoteFile(StoredFile):
    """A file behind a URL.

    Parameters
    ----------
    url : str
    blocks : Blocks, optional       read whole blocks, which are kept there; None: those of the disk
                                    cache if there is one, else only what is asked for

    Raises
    ------
    StorageError        nothing is there, it may not be read, or the server does not answer
    """

    is_remote = True
    merge_cap = _CAP

    def __init__(self, url: str, blocks: Blocks | None = None) -> None:
        self._object = RemoteObject(url)
        self._version = self._object.head()
        self.path, self.size, self.etag = url, self._version.size, self._version.etag
        # of another version another one, also within the second that services name
        self.mtime_ns = self._version.modified_ns + zlib.crc32(self._version.etag.encode()) % 10**9
        taken = limits()
        self._in_flight = taken.in_flight
        if blocks is None and taken.block_cache:
            blocks = open_cache(taken.block_cache, taken.block_cache_bytes, taken.deadline_s)
        self._blocks = blocks
        self._may_keep = taken.memory_bytes if blocks is None else 0
        self._kept: KeptBytes | None = None
        self._let_go: Callable[[], Any] = _nothing
        self._keeping = lock()
        self._closed = False
        self._ahead: tuple[int, Any] = (0, b"")  # where the last answer begins, and it
        self._step = _FIRST_AHEAD

    def __repr__(self) -> str:
        return f"RemoteFile({self.path!r})"

    @property
    def merge_gap(self) -> int:  # type: ignore[override]
        """Bytes between two ranges that cost no more than a request for each of them."""
        return self._object.cost.gap_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset` on; what follows is read along.

        Raises
        ------
        StorageError        the file ends earlier, changed, or cannot be read within the deadline
        ClosedError         after `close()`
        """
        self._check(offset, length)
        if not length:
            return b""
        at, data = self._ahead
        if at <= offset and offset + length <= at + len(data):
            return bytes(memoryview(data)[offset - at : offset - at + length])
        if self._blocks is not None:
            memory = np.empty(length, np.uint8)
            self._fetch_each(_cut(offset, offset + length, memory))
            return memory.tobytes()
        goes_on = at <= offset <= at + len(data) + _FIRST_AHEAD and len(data) > 0
        self._step = min(self._step * _GROWTH, _MOST_AHEAD) if goes_on else _FIRST_AHEAD
        if length >= self._step:
            return self._whole(offset, offset + length)
        stop = min(offset + self._step, self.size)
        data = memoryview(self._object.get(offset, stop, self._version))
        self._ahead = offset, data
        return bytes(data[:length])

    def _check(self, offset: int, length: int) -> None:
        """Raise what a read of these bytes must raise."""
        if self._closed:
            raise ClosedError("file was closed", path=self.path)
        if offset < 0 or offset + length > self.size:
            raise StorageError(
                f"file ends at byte {self.size:,}, expected {length:,} bytes from {offset:,} on",
                path=self.path,
                offset=offset,
            )

    def _whole(self, start: int, stop: int) -> bytes:
        """Return bytes, in several requests at once if they are many."""
        if stop - start <= _CAP:
            return bytes(self._object.get(start, stop, self._version))
        memory = np.empty(stop - start, np.uint8)
        cuts = list(range(start, stop, _CAP))
        self._fetch_each([(low, min(low + _CAP, stop), memory[low - start :]) for low in cuts])
        return memory.tobytes()

    def _fetch_each(self, wanted: list[tuple[int, int, npt.NDArray[np.uint8]]]) -> None:
        """Read ranges into memory: (start, stop, where to) each, several requests at once."""
        fetch = self._fetch if self._blocks is None else self._take
        if len(wanted) <= 1:
            for one in wanted:
                fetch(one)
            return
        workers = min(self._in_flight, len(wanted))
        with hooks.call(
            "ahead", fetch, wanted, depth=2 * workers, workers=workers, name="gpuio-remote"
        ) as ahead:
            for _ in ahead:
                pass

    def _fetch(self, wanted: tuple[int, int, npt.NDArray[np.uint8]]) -> None:
        """Read a range by a request of its own."""
        start, stop, memory = wanted
        begun = time.perf_counter()
        data = self._object.get(start, stop, self._version)
        self._object.cost.note(stop - start, time.perf_counter() - begun)
        memory[: stop - start] = np.frombuffer(data, np.uint8)

    def _take(self, wanted: tuple[int, int, npt.NDArray[np.uint8]]) -> None:
        """Read a range that lies in one block."""
        assert self._blocks is not None
        start, stop, memory = wanted
        number = start // BLOCK_BYTES
        begin = number * BLOCK_BYTES
        end = min(begin + BLOCK_BYTES, self.size)
        fetch = partial(self._object.get, begin, end, self._version)
        part = start - begin, stop - begin
        data = self._blocks.take(self.path, self._version, number, part, fetch)
        memory[: stop - start] = np.frombuffer(data, np.uint8)

    def _read_each(self, lows: list[int], highs: list[int]) -> list[bytes]:
        """Return the bytes of some reads, all on their way together."""
        for low, high in zip(lows, highs, strict=True):
            self._check(low, high - low)
        memory = [np.empty(high - low, np.uint8) for low, high in zip(lows, highs, strict=True)]
        self._fetch_each(self._requests(lows, highs, memory))
        return [one.tobytes() for one in memory]

    def _requests(
        self, lows: list[int], highs: list[int], memory: list[npt.NDArray[np.uint8]]
    ) -> list[tuple[int, int, npt.NDArray[np.uint8]]]:
        """Return what to fetch for some reads, each of which has memory of its own."""
        pairs = zip(lows, highs, memory, strict=True)
        if self._blocks is None:
            return [one for one in pairs if one[1] > one[0]]
        return [piece for low, high, into in pairs for piece in _cut(low, high, into)]

    def _packed(
        self,
        starts: npt.NDArray[np.int64],
        stops: npt.NDArray[np.int64],
        allocate: Callable[[int], npt.NDArray[np.uint8]],
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Read ranges straight into the memory that they are wanted in, or copy what is kept."""
        order = np.argsort(starts, kind="stable")
        kept = self._keep()
        gap = None if kept is None else _COPIED_GAP
        lows, highs, firsts = self._merge(starts[order].tolist(), stops[order].tolist(), gap)
        for low, high in zip(lows, highs, strict=True):
            self._check(low, high - low)
        ends = np.cumsum([0, *(high - low for low, high in zip(lows, highs, strict=True))])
        memory = allocate(int(ends[-1]))
        parts = [memory[begin:] for begin in ends[:-1].tolist()]
        if kept is None:
            self._fetch_each(self._requests(lows, highs, parts))
        else:
            self._object.check_fork()
            held = kept.take(lows, highs, _KEPT_GAP, _CAP, self._fetch_each)
            for low, high, part in zip(lows, highs, parts, strict=True):
                part[: high - low] = held[low:high]
        number = np.repeat(np.arange(len(lows)), np.diff([*firsts, len(starts)]))
        start = np.empty_like(starts)
        start[order] = starts[order] - np.array(lows, np.int64)[number] + ends[number]
        return memory, start

    def _keep(self) -> KeptBytes | None:
        """Return where what batches read stays; None where there is no room for the file."""
        if self._may_keep:
            with self._keeping:
                if self._may_keep and not self._closed:
                    kept = keep(self, self.path, self._version, self._may_keep)
                    if kept is not None:
                        self._kept, self._let_go = kept
                self._may_keep = 0
        return self._kept

    def check_unchanged(self) -> None:
        """Raise StorageError if another version is there; a read that names its version says so.

        Where reads do, nothing is asked: what was opened is what is read, or reading it fails.
        What is kept is read without asking, and so asked for here.
        """
        if self._kept is not None or not (self._object.pins and self._version.pinned):
            self._object.check(self._version)

    def check_contents(self) -> None:
        """Nothing: each read says whether it is of the version that was opened."""

    def close(self) -> None:
        """Let go of what was read along, and of what is kept; may be called twice."""
        with self._keeping:
            self._closed, self._ahead = True, (0, b"")
            self._kept = None
        self._let_go()

    def __reduce__(self) -> tuple[Any, ...]:
        return (RemoteFile, (self.path,))


def _nothing() -> None:
    """Let go of nothing."""


def _cut(
    start: int, stop: int, memory: npt.NDArray[np.uint8]
) -> list[tuple[int, int, npt.NDArray[np.uint8]]]:
    """Cut a range at the borders of blocks."""
    made = []
    low = start
    while low < stop:
        high = min((low // BLOCK_BYTES + 1) * BLOCK_BYTES, stop)
        made.append((low, high, memory[low - start :]))
        low = high
    return made
