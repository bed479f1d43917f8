"""Saved states: what a loading iterator checks before it moves."""

from __future__ import annotations

from typing import Any

from gpuio.errors import StateError

__all__ = ["check_state"]


def check_state(state: Any, version: int, source: dict[str, Any]) -> None:
    """Check that a saved state has a version and belongs to a source.

    Parameters
    ----------
    state : dict                    what `state_dict` returned, perhaps through JSON
    version : int                   the version that can be loaded
    source : dict                   what the loading iterator would write under ``"source"``

    Raises
    ------
    StateError                      naming each differing field with both values
    """
    if not isinstance(state, dict) or state.get("version") != version:
        found = state.get("version") if isinstance(state, dict) else type(state).__name__
        raise StateError(f"state: expected version {version}, got {found}")
    theirs = state.get("source") or {}
    wrong = [
        f"{name}: saved {theirs.get(name)!r}, here {value!r}"
        for name, value in source.items()
        if theirs.get(name) != value
    ]
    if wrong:
        raise StateError("state belongs to another iterator: " + "; ".join(wrong))
