"""How many threads make batches where the user leaves it open: chosen anew while they work.

Invariant: it decides how many threads work, never what they make.
"""

from __future__ import annotations

import attrs

__all__ = ["ThreadCount"]

_LOOK_S = 0.5  # seconds, and batches, that a decision rests on, at least
_LOOK_BATCHES = 8
_WAITS, _BUSY = 0.05, 0.8  # shares of the time from which on more threads are tried
_IDLE = 0.6  # share of the time for which one thread less would be busy at most
_GAIN = 1.03  # a thread more has to give this rate
_PATIENCE = 20  # looks until what did not help is tried again


@attrs.frozen
class _Look:
    """Totals at one moment: seconds waited and made, summed over threads, and batches."""

    now: float
    wait_s: float
    make_s: float
    batches: int


class ThreadCount:
    """Choose the number of threads from what was measured.

    Parameters
    ----------
    start : int         threads at first
    most : int          never more, >= start

    Attributes
    ----------
    threads : int       that should work now
    """

    def __init__(self, start: int, most: int) -> None:
        self.threads, self._most = start, most
        self._last: _Look | None = None
        self._tried: tuple[int, float] | None = None  # threads before the last try, and their rate
        self._rest_more = self._rest_less = 0  # looks without a try

    def look(self, now: float, wait_s: float, make_s: float, batches: int) -> int:
        """Return how many threads should work from now on; cheap, for every batch.

        Parameters
        ----------
        now : float         seconds of a clock that only goes forward
        wait_s : float      seconds in all that the consumer waited
        make_s : float      seconds in all of making batches, summed over threads
        batches : int       in all
        """
        last = self._last
        if last is None:
            self._last = _Look(now, wait_s, make_s, batches)
        elif now - last.now >= _LOOK_S and batches - last.batches >= _LOOK_BATCHES:
            self._last = _Look(now, wait_s, make_s, batches)
            elapsed = now - last.now
            busy = (make_s - last.make_s) / elapsed
            self._decide((wait_s - last.wait_s) / elapsed, busy, (batches - last.batches) / elapsed)
        return self.threads

    def pause(self) -> None:
        """Forget the time since the last decision: nobody asked for batches in a part of it."""
        self._last = None

    def _decide(self, waits: float, busy: float, rate: float) -> None:
        """Change the number of threads by what one look saw.

        Parameters
        ----------
        waits : float       share of the time that the consumer waited
        busy : float        threads that were busy, on average
        rate : float        batches per second
        """
        tried, self._tried = self._tried, None
        self._rest_more, self._rest_less = max(0, self._rest_more - 1), max(0, self._rest_less - 1)
        if tried is not None and waits >= _WAITS and rate < tried[1] * _GAIN:
            self.threads, self._rest_more = tried[0], _PATIENCE  # it did not help
        elif waits >= _WAITS and busy >= _BUSY * self.threads:
            if self.threads < self._most and not self._rest_more:
                self._tried = self.threads, rate
                self.threads = min(self._most, self.threads + max(1, self.threads // 4))
                self._rest_less = _PATIENCE
        elif waits < _WAITS / 5 and busy < _IDLE * (self.threads - 1) and not self._rest_less:
            self.threads -= 1
