"""What a fork must not break: no thread of gpuio is in the middle of its work while one happens.

A forked child has one thread. What another thread held at that moment - a lock, a module that it
was importing, a kernel that it was compiling - nobody will ever finish there, and whoever needs it
waits for ever. So threads work inside of `working`, a user's own too where they make an iterator or
import what is imported late, and `os.fork` waits until none does, then lets them continue; where
one takes longer than `_PATIENCE_S` the fork goes on without it.

Invariant: a thread that waits for another one of gpuio does so inside of `waiting`, so that a fork
need not wait for it. Locks come from `lock`: in a child those that another thread held are free.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import Any

__all__ = ["forks_now", "lock", "waiting", "working", "works_now"]

_PATIENCE_S = 3.0

_log = logging.getLogger("gpuio")
_locks: weakref.WeakSet[Any] = weakref.WeakSet()


def lock() -> threading.RLock:
    """Return a lock that a thread may take again, and that is free in a forked child.

    Free unless the thread that forked holds it: that one goes on in the child and releases it.
    """
    made = threading.RLock()
    _locks.add(made)
    return made


class _Mine(threading.local):
    """What a thread is doing: how deep in `working`, and whether it is forking."""

    depth = 0
    forks = False


class _Gate:
    """Count the threads at work; while a fork is under way no further one begins."""

    def __init__(self) -> None:
        self.mine = _Mine()
        # entered directly: every item passes here some four times, and a condition is Python
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.at_work = self.forks = 0

    def enter(self, depth: int) -> None:
        """Begin to work, after the forks under way."""
        if not self.mine.forks:
            with self.lock:
                while self.forks:
                    self.changed.wait()
                self.at_work += 1
        self.mine.depth = depth

    def leave(self) -> int:
        """End or pause this thread's work; return how deep it was."""
        depth, self.mine.depth = self.mine.depth, 0
        if depth and not self.mine.forks:
            with self.lock:
                self.at_work -= 1
                if self.forks:
                    self.changed.notify_all()
        return depth

    def before(self) -> None:
        """Wait until no other thread works."""
        mine = self.mine
        with self.changed:
            self.forks += 1
            self.at_work -= bool(mine.depth)
            mine.forks = True
            if self.forks > 1:
                self.changed.notify_all()
            if not self.changed.wait_for(lambda: self.at_work <= 0, _PATIENCE_S):
                _log.warning(
                    "os.fork() goes on while %d threads of gpuio work, after waiting %g s: the "
                    "child may hang; fork before the first batch, or use spawn",
                    self.at_work,
                    _PATIENCE_S,
                )

    def after_in_parent(self) -> None:
        """Let the threads continue."""
        mine = self.mine
        with self.changed:
            mine.forks = False
            self.forks -= 1
            self.at_work += bool(mine.depth)
            self.changed.notify_all()

    def after_in_child(self) -> None:
        """Begin anew: this is the only thread."""
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.mine.forks, self.forks = False, 0
        self.at_work = int(bool(self.mine.depth))
        for one in list(_locks):
            if not one._is_owned():  # noqa: SLF001 -- as threading does with its own
                one._at_fork_reinit()  # noqa: SLF001


_gate = _Gate()


class _Working:
    """``with working:`` a fork waits until this is over."""

    def __enter__(self) -> None:
        mine = _gate.mine
        if mine.depth:
            mine.depth += 1
        else:
            _gate.enter(1)

    def __exit__(self, *exc_info: object) -> None:
        mine = _gate.mine
        if mine.depth > 1:
            mine.depth -= 1
        else:
            _gate.leave()


class waiting:  # noqa: N801 -- used as a statement, beside `working`
    """``with waiting():`` inside of `working`, a fork need not wait for what happens here."""

    def __enter__(self) -> None:
        self._depth = _gate.leave() if _gate.mine.depth else 0

    def __exit__(self, *exc_info: object) -> None:
        if self._depth:
            _gate.enter(self._depth)


working = _Working()


def forks_now() -> bool:
    """Say whether this thread is inside of `os.fork`, while the others stand still."""
    return _gate.mine.forks


def works_now() -> bool:
    """Say whether this thread is in the middle of an item."""
    return bool(_gate.mine.depth)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_gate.before,
        after_in_parent=_gate.after_in_parent,
        after_in_child=_gate.after_in_child,
    )
