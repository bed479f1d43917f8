"""What a lower layer calls of a higher one: a name, whose module is imported when it is called.

Imports go down; the few calls that go up are listed in `gpuio/__init__.py`, by name, and nowhere
else.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["call", "missing", "provide"]

_PLACES: dict[str, str] = {}


def provide(**places: str) -> None:
    """Say where functions are: their names here, and ``"module:function"``."""
    _PLACES.update(places)


def call(name: str, /, *args: Any, **keywords: Any) -> Any:
    """Call a function of a higher layer; its module is imported now, if it is not yet."""
    module, _, function = _PLACES[name].partition(":")
    return getattr(importlib.import_module(module), function)(*args, **keywords)


def missing(module: str, name: str) -> AttributeError:
    """Return the error for a name that a module of ours does not have, but MXNet's may."""
    return AttributeError(
        f"module {module!r} has no attribute {name!r}: gpuio has what data scripts use of MXNet, "
        "and no training code; docs/mxnet_scripts.md lists what there is and what is not",
        name=name,
    )
