"""Saved states: what a loading iterator checks before it moves.

Invariant: whatever is wrong with a state is a StateError that names the field, raised before the
iterator that loads it has changed.
"""

from __future__ import annotations

import json
import logging
import operator
import reprlib
import zlib
from collections.abc import Collection, Mapping
from typing import Any

from gpuio.errors import StateError

__all__ = [
    "FAR",
    "check_state",
    "compact",
    "flag",
    "fraction",
    "items",
    "pixel_changes",
    "say_changes",
    "whole",
]

_log = logging.getLogger("gpuio")

_SHORT = 90  # bytes of JSON for the options of pixels in a short state
_DIGEST = "digest"

FAR = 2**62  # an epoch, or a place, that no run reaches: still far from the end of int64


def check_state(
    state: Any,
    version: int,
    source: dict[str, Any],
    *,
    since: Mapping[str, int] | None = None,
    oldest: int | None = None,
    advice: tuple[Collection[str], str] = ((), ""),
) -> int:
    """Check that a saved state has a version and belongs to a source.

    Parameters
    ----------
    state : dict                    what `state_dict` returned, perhaps through JSON
    version : int                   the version that is written
    source : dict                   what the loading iterator would write under ``"source"``
    since : dict, optional          field of `source` to the first version that has it
    oldest : int, optional          the oldest version that is loaded; `version` if None
    advice : (names, text)          what to do where one of these fields differs

    Returns
    -------
    int                             the state's version

    Raises
    ------
    StateError                      naming each differing field with both values
    """
    found = state.get("version") if isinstance(state, dict) else None
    oldest = version if oldest is None else oldest
    if type(found) is not int or not oldest <= found <= version:
        got = reprlib.repr(found) if isinstance(state, dict) else type(state).__name__
        versions = f"{version}" if oldest == version else f"{oldest} to {version}"
        raise StateError(f"state: expected version {versions}, got {got}")
    theirs = state.get("source")
    if not isinstance(theirs, dict):
        raise _damaged("source", "a dict", theirs)
    wrong = {
        name: f"{name}: saved {reprlib.repr(theirs.get(name))}, here {reprlib.repr(value)}"
        for name, value in source.items()
        if (since or {}).get(name, 0) <= found and theirs.get(name) != value
    }
    if wrong:
        names, text = advice
        told = f". {text}" if wrong.keys() & set(names) else ""
        raise StateError("state belongs to another iterator: " + "; ".join(wrong.values()) + told)
    return found


def whole(
    state: Mapping[str, Any],
    name: str,
    most: int | None = FAR,
    *,
    least: int = 0,
    step: int = 1,
    inside: str = "",
) -> int:
    """Return a field that is a whole number from `least` to `most`, in steps of `step`.

    Parameters
    ----------
    state : dict
    name : str
    most : int or None      None: no limit
    least, step : int
    inside : str            names what the field is a part of, in the error

    Raises
    ------
    StateError              the field is missing, or anything else
    """
    value = state.get(name, _MISSING)
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if (
        number is None
        or number < least
        or (most is not None and number > most)
        or (number - least) % step
    ):
        kind = f"a whole number from {least:,}" + (" on" if most is None else f" to {most:,}")
        raise _damaged(inside + name, kind + (f" in steps of {step}" if step > 1 else ""), value)
    return number


def flag(state: Mapping[str, Any], name: str) -> bool:
    """Return a field that is true or false; StateError if it is missing, or anything else."""
    value = state.get(name, _MISSING)
    if not isinstance(value, bool):
        raise _damaged(name, "true or false", value)
    return value


def fraction(state: Mapping[str, Any], name: str) -> float:
    """Return a field that is a number from 0 to 1; StateError for anything else."""
    value = state.get(name, _MISSING)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise _damaged(name, "a number from 0 to 1", value)
    return float(value)


def items(state: Mapping[str, Any], name: str, most: int | None = None) -> list[Any]:
    """Return a field that is a list, of at most `most` items; StateError for anything else."""
    value = state.get(name, _MISSING)
    if not isinstance(value, (list, tuple)) or (most is not None and len(value) > most):
        raise _damaged(name, "a list" + ("" if most is None else f" of at most {most:,}"), value)
    return list(value)


def compact(pixels: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of pixels for a short state: themselves, or where they are many a digest."""
    text = json.dumps(pixels, sort_keys=True)
    if len(text) <= _SHORT:
        return dict(pixels)
    return {_DIGEST: f"{zlib.crc32(text.encode()):08x}"}


def pixel_changes(
    state: Mapping[str, Any], ours: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> str:
    """Return which options of pixels and labels a state was saved with that are others here.

    Such a state is loaded; one line of the log says what differs.

    Parameters
    ----------
    state : dict                    its ``"pixels"``: option to value, where it is not the default;
                                    states of older versions have none
    ours : dict                     the same of the iterator that loads
    defaults : dict, optional       of the options

    Returns
    -------
    str                             empty where nothing differs

    Raises
    ------
    StateError                      the field is something else
    """
    theirs = state.get("pixels", ours)
    if not isinstance(theirs, dict):
        raise _damaged("pixels", "a dict", theirs)
    if theirs.keys() == {_DIGEST}:
        here = compact(ours)
        return "" if here == theirs else f"saved {theirs}, here {reprlib.repr(here)}"
    changed = []
    for name in sorted({*theirs, *ours}):
        default = (defaults or {}).get(name)
        saved, here = theirs.get(name, default), ours.get(name, default)
        if saved != here:
            changed.append(f"{name} saved {reprlib.repr(saved)}, here {reprlib.repr(here)}")
    return "; ".join(changed)


def say_changes(changes: str) -> None:
    """Log what `pixel_changes` found."""
    if changes:
        _log.warning(
            "a state saved with other options of the images was loaded: its order goes on, but "
            "pixels or labels differ from now on: %s",
            changes,
        )


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


_MISSING = _Missing()


def _damaged(name: str, expected: str, value: Any) -> StateError:
    return StateError(
        f"state: {name}: expected {expected}, found {reprlib.repr(value)}: the state is damaged, "
        "or not of this iterator"
    )
