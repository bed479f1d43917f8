"""The text of an .idx file: key, TAB, byte offset a line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gpuio.errors import FormatError, OptionError
from gpuio.recordio.foreign import foreign_index
from gpuio.storage.atomic import writing
from gpuio.storage.files import read_whole

__all__ = ["check_key", "is_key", "read_index", "write_index"]


def check_key(key: Any, path: str | os.PathLike[str]) -> None:
    """Refuse a key that `read_index` would not give back.

    Parameters
    ----------
    key : object            its text is what an index holds
    path : path             of the index, for the error

    Raises
    ------
    OptionError             the text is empty, holds a TAB or a line break, begins or ends with a
                            blank or NUL, begins with a byte order mark, or is not Unicode
    """
    if not is_key(key):
        raise OptionError(
            f"the key {str(key)!r} cannot be read back from an index: expected a text without "
            "TABs, line breaks, and blanks at an end",
            path=os.fspath(path),
        )


def is_key(key: object) -> bool:
    """Say whether `read_index` would give a key back; see `check_key`."""
    if isinstance(key, int):
        return True
    text = str(key)
    blank = text.strip().strip("\0\ufeff") != text
    if text and not blank and text.isprintable():
        return True
    return bool(text) and not blank and not set("\t\n\r") & set(text) and _encodable(text)


def _encodable(text: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_index(
    path: str | os.PathLike[str], key_type: Callable[[Any], Any] = int
) -> tuple[list[Any], list[int]]:
    """Read an index file.

    Blank lines, CRLF, blanks for the TAB, a byte order mark, trailing NUL bytes and a missing last
    newline are accepted; fields behind the offset are not looked at.

    Returns
    -------
    keys : list of key_type
    offsets : list of int       bytes; both in the order of the file

    Raises
    ------
    StorageError                the file cannot be read
    FormatError                 a line is not a key and an offset; the message names the line
    """
    path = os.fspath(path)
    content = read_whole(path, "cannot read the index", "; `gpuio rec2idx` makes one")
    text = content.decode("utf-8-sig", "replace")
    keys: list[Any] = []
    offsets: list[int] = []
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        line = line.strip(" \t\r\n\0")  # noqa: PLW2901
        if not line:
            continue
        fields = line.split("\t")
        if len(fields) < 2:
            fields = line.split()
        try:
            keys.append(key_type(fields[0].strip()))
            offset = int(fields[1])
        except (IndexError, ValueError):
            said = foreign_index(path)
            if said:
                raise FormatError(said, path=path) from None
            raise FormatError(
                f"index line {number} is {line[:60]!r}: expected a key, a TAB and a byte offset",
                path=path,
            ) from None
        if offset < 0:
            raise FormatError(f"index line {number}: offset {offset} is below 0", path=path)
        offsets.append(offset)
    return keys, offsets


def write_index(
    path: str | os.PathLike[str],
    keys: Iterable[Any],
    offsets: Iterable[int],
    sources: Sequence[str | os.PathLike[str]] = (),
) -> None:
    """Write an index file, all of it or nothing.

    Raises
    ------
    StorageError        the file cannot be written, is a record file, or one of `sources`
    OptionError         as `check_key`
    """
    with writing(path, sources) as file:
        for key, offset in zip(keys, offsets, strict=True):
            check_key(key, path)
            file.write(f"{key}\t{offset}\n".encode())
