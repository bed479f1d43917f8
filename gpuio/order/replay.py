"""Draws that run on: each starts from the state that the one before it left, found by replay.

Invariant: a result is the same whichever results were asked for before it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from gpuio.forking import lock

__all__ = ["Replay"]

_STATES_KEPT = 64  # 2.5 KB each
_LONG_S = 1.0  # what takes longer is said

_log = logging.getLogger("gpuio")

Key = TypeVar("Key", int, tuple[int, int])
State = TypeVar("State")
Drawn = TypeVar("Drawn")
Result = TypeVar("Result")


class Replay(Generic[Key, State, Drawn, Result]):
    """Results by key; the latest states and results are kept.

    Parameters
    ----------
    first : Key             ordered; of the first draw
    state : State           before it; never changed
    draw : callable         a key and the state before it, not to be changed, to what is drawn, the
                            state after it, and the next key
    make : callable         what is drawn to its result; called for the keys asked for alone
    kept : int              results
    leap : callable, optional
                            a known key, the state before it and a later key to a key at or before
                            that one, and the state before it; faster than one draw after the other

    Notes
    -----
    A replay that takes more than a second says so once, in the log `gpuio`.
    """

    def __init__(
        self,
        first: Key,
        state: State,
        draw: Callable[[Key, State], tuple[Drawn, State, Key]],
        make: Callable[[Drawn], Result],
        *,
        kept: int,
        leap: Callable[[Key, State, Key], tuple[Key, State]] | None = None,
    ) -> None:
        self._first: tuple[Key, State] = first, state
        self._draw: Callable[[Key, State], tuple[Drawn, State, Key]] = draw
        self._make, self._kept = make, kept
        self._leap: Callable[[Key, State, Key], tuple[Key, State]] | None = leap
        self._states: dict[Key, State] = {}
        self._results: dict[Key, Result] = {}
        self._lock = lock()  # states and generators move together

    def reach(self, key: Key) -> None:
        """Find the state before a key, so that `result` need not."""
        with self._lock:
            self._before(key)

    def _before(self, key: Key) -> tuple[Key, State]:
        """Return the last key that is drawn at or before this one, and the state before it."""
        at, state = self._nearest(key)
        begun, said = time.monotonic(), False
        while at < key:
            known = at
            if self._leap is not None:
                at, state = self._leap(at, state, key)
            if at == known:
                _, after, following = self._draw(at, state)
                if following > key:
                    break
                at, state = following, after
            self._states[at] = state
            _forget(self._states, _STATES_KEPT)
            if not said and time.monotonic() - begun > _LONG_S:
                said = True
                _log.warning(
                    "a far epoch: MXNet's shuffle is found by drawing every pass before it; at "
                    "pass %s of %s after %.0f s",
                    *(one[0] if isinstance(one, tuple) else one for one in (at, key)),
                    time.monotonic() - begun,
                )
        return at, state

    def result(self, key: Key) -> Result:
        """Return the result of a key, one that is kept or one drawn now."""
        with self._lock:
            if key not in self._results:
                drawn, state, at = self._draw(*self._before(key))
                self._states[at] = state
                _forget(self._states, _STATES_KEPT)
                self._results[key] = self._make(drawn)
                _forget(self._results, self._kept)
            return self._results[key]

    def _nearest(self, key: Key) -> tuple[Key, State]:
        """Return the last known key at or before one, and the state before its draw."""
        known = max((one for one in self._states if one <= key), default=None)
        return self._first if known is None else (known, self._states[known])


def _forget(held: dict[Any, Any], most: int) -> None:
    """Drop the oldest entries."""
    while len(held) > most:
        del held[next(iter(held))]
