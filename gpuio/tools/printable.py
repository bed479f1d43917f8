"""Text for a terminal: what a file's name holds must not move the cursor or end a line."""

from __future__ import annotations

import unicodedata

__all__ = ["printable"]


def printable(text: str) -> str:
    r"""Return text with its control characters escaped, as in ``\n``, ``\x1b`` and ``\u202e``.

    Bytes of a name that are not UTF-8 are escaped, too.
    """
    return "".join(
        character if character.isprintable() or _is_space(character) else _escaped(character)
        for character in text
    )


def _is_space(character: str) -> bool:
    """Whether a character is a space of some width, of which `isprintable` knows one."""
    return unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
