"""What a user's path names: several in one text."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["divide"]


def divide(uri: str | Iterable[str]) -> list[str]:
    """Return the pieces of a URI: a list's items, each split at ";"."""
    each = [uri] if isinstance(uri, str) else uri
    return [piece for one in each for piece in one.split(";") if piece]
