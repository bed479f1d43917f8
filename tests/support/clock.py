"""Time that a test makes pass, and time that is measured again where the machine was busy."""

import contextlib
import threading
import time

PATIENCE_S = 60.0  # of a test that would wait for ever


class Clock:
    """Stands in for `time.perf_counter`: seconds pass only in `spend`.

    So what is measured does not depend on the machine. A thread that works ahead spends its seconds
    while the consumer waits (`asking`), as all of them would pass where it is what limits.
    """

    def __init__(self):
        self.now, self._changed = 1000.0, threading.Condition()
        self._asks = self._over = False

    def spend(self, seconds, *, ahead=False):
        """Let seconds pass; `ahead`: as soon as the consumer waits."""
        with self._changed:
            if ahead:
                assert self._changed.wait_for(lambda: self._asks or self._over, PATIENCE_S)
            if not self._over:
                self.now += seconds

    @contextlib.contextmanager
    def asking(self):
        """The consumer waits."""
        self._tell(asks=True)
        try:
            yield
        finally:
            self._tell(asks=False)

    @contextlib.contextmanager
    def running(self):
        """Afterwards nobody waits for the consumer any more, and no time passes."""
        try:
            yield
        finally:
            self._tell(asks=False, over=True)

    def _tell(self, *, asks, over=False):
        with self._changed:
            self._asks, self._over = asks, self._over or over
            self._changed.notify_all()


def ticking(monkeypatch):
    """Return a clock that is Python's for the rest of a test."""
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    return clock


def undisturbed(measure, tries=10):
    """Call what measures seconds and asserts; again where that fails.

    Other work on the machine spoils a try or two, a fault of the code all of them.
    """
    for left in reversed(range(tries)):
        try:
            return measure()
        except AssertionError:
            if not left:
                raise
    return None


__all__ = ["PATIENCE_S", "Clock", "ticking", "undisturbed"]
