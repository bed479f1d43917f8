"""What a lower layer calls of a higher one: a name, whose module is imported when it is called.

Imports go down; the few calls that go up are listed in `gpuio/__init__.py`, by name, and nowhere
else.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["call", "provide"]

_PLACES: dict[str, str] = {}


def provide(**places: str) -> None:
    """Say where functions are: their names here, and ``"module:function"``."""
    _PLACES.update(places)


def call(name: str, *args: Any) -> Any:
    """Call a function of a higher layer; its module is imported now, if it is not yet."""
    module, _, function = _PLACES[name].partition(":")
    return getattr(importlib.import_module(module), function)(*args)
