"""Draws that run on: each starts from the state that the one before it left, found by replay.

Invariant: a result is the same whichever results were asked for before it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Replay"]

_STATES_KEPT = 64  # 2.5 KB each

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
    """

    def __init__(
        self,
        first: Key,
        state: State,
        draw: Callable[[Key, State], tuple[Drawn, State, Key]],
        make: Callable[[Drawn], Result],
        *,
        kept: int,
    ) -> None:
        self._first: tuple[Key, State] = first, state
        self._draw: Callable[[Key, State], tuple[Drawn, State, Key]] = draw
        self._make, self._kept = make, kept
        self._states: dict[Key, State] = {}
        self._results: dict[Key, Result] = {}
        self._lock = threading.Lock()  # states and generators move together

    def result(self, key: Key) -> Result:
        """Return the result of a key, one that is kept or one drawn now."""
        with self._lock:
            if key not in self._results:
                at, state = self._nearest(key)
                while at <= key:
                    drawn, state, at = self._draw(at, state)
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
