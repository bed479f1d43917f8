"""What one more request to a server costs, in bytes that could come in its place.

The fastest answers say what any request takes. What answers take beyond that they take for their
bytes: their own, and those of others over a link that is full. So bytes are cheap over a link that
is far from full, and dear over one that is full.
"""

from __future__ import annotations

from gpuio.forking import lock

__all__ = ["RequestCost"]

_KEPT = 1 - 1 / 256  # of what older requests say, when one is noted
_FORGOTTEN = 1 + 1e-5  # by which the fastest answer is taken for slower with every request
_FEWEST = 24.0  # requests that a cost can rest on
_SLOW = 4.0  # times the mean: one that was tried again says nothing of the others


class RequestCost:
    """Learn from requests how many bytes cost as much as one more request.

    Parameters
    ----------
    least, first, most : int    bytes: the bounds of `gap_bytes`, and what it is at first
    """

    def __init__(self, least: int, first: int, most: int) -> None:
        self._least, self._first, self._most = least, first, most
        self._turn = lock()
        self._count = self._bytes = self._seconds = 0.0
        self._fastest = float("inf")

    def note(self, nbytes: int, seconds: float) -> None:
        """Take into account what a request of some bytes took, among others on their way."""
        with self._turn:
            if self._count > _FEWEST:
                seconds = min(seconds, _SLOW * self._seconds / self._count)
            self._fastest = min(self._fastest * _FORGOTTEN, seconds)
            self._count = self._count * _KEPT + 1
            self._bytes = self._bytes * _KEPT + nbytes
            self._seconds = self._seconds * _KEPT + seconds

    @property
    def gap_bytes(self) -> int:
        """How far apart ranges may lie that are asked for in one request."""
        with self._turn:
            if self._count < _FEWEST:
                return self._first
            beyond = self._seconds - self._fastest * self._count
            if beyond <= 0:
                return self._most
            return int(min(max(self._fastest * self._bytes / beyond, self._least), self._most))
