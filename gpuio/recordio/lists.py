"""List files (.lst): id, labels and path per line.

Invariant: a label is what its line states, or the line is refused by number. Fields are separated
by TABs (by blanks in a line that has no TAB); the first is the id, the last is the path, and what
is between them are the labels. im2rec and every iterator read lists here.
"""

from __future__ import annotations

import codecs
import logging
import os
import re
from collections.abc import Iterable, Iterator

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError
from gpuio.recordio.foreign import foreign_list
from gpuio.storage.atomic import writing
from gpuio.storage.files import read_whole
from gpuio.storage.paths import absolute, unusable

__all__ = ["ListItem", "read_label_list", "read_list", "write_list"]

_LOG = logging.getLogger("gpuio")

_BLANKS = " \t\r\v\f"  # others, such as the no-break space, may belong to a name
_GAP = re.compile(r"[ \v\f]+")
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)", re.IGNORECASE
)
_MOST = float(np.finfo(np.float32).max)
_SHOWN = 80  # characters of a line, in errors

_Row = tuple[int, list[float], str]


@attrs.frozen
class ListItem:
    """One line: id, path relative to the root, labels."""

    index: int
    path: str
    labels: tuple[float, ...]


def read_list(
    path: str | os.PathLike[str],
    problems: list[str] | None = None,
    *,
    widths: tuple[int, ...] | None = None,
    signed: bool = True,
) -> Iterator[ListItem]:
    """Read a list.

    Parameters
    ----------
    path : str
    widths : tuple of int, optional     numbers of labels that a line may have; None: any
    signed : bool                       whether an id may be negative or 2^64 and more: keys of an
                                        index may, ids of records may not
    problems : list of str, optional
        gets a sentence for each line that is left out; without it such a line is a FormatError

    Raises
    ------
    StorageError            the file cannot be read
    FormatError             a line has fewer than three fields, its id is not a whole number, or a
                            label is not a number; a line has another number of labels; an id
                            stands in two lines
    """
    for identity, labels, name in _rows(path, widths, problems, signed=signed):
        yield ListItem(identity, name, tuple(labels))


def read_label_list(
    path: str | os.PathLike[str], label_width: int | None
) -> dict[int, npt.NDArray[np.float32]]:
    """Read the labels of a list.

    Parameters
    ----------
    path : str
    label_width : int or None   labels of every line; None: any number of them

    Returns
    -------
    dict of id to float32[labels of its line]

    Raises
    ------
    StorageError            the file cannot be read
    FormatError             as `read_list`

    Notes
    -----
    MXNet's ImageRecordIter separates fields at any white space, takes the first `label_width`
    behind the id, whatever follows them, reads a word as the number at its start or 0, and takes
    the last of several lines of an id.
    """
    read: dict[int, npt.NDArray[np.float32]] = {}
    named = False
    widths = None if label_width is None else (label_width,)
    for identity, labels, name in _rows(path, widths, None, signed=label_width is None):
        read[identity] = np.array(labels, np.float32)
        named = named or _NUMBER.fullmatch(name) is None
    if read and not named:
        _LOG.warning(
            "%s: the last field of every line is a number, and is taken for the path: if it is a "
            "label, add a path behind it",
            os.fspath(path),
        )
    return read


def _rows(
    path: str | os.PathLike[str],
    widths: tuple[int, ...] | None,
    problems: list[str] | None,
    *,
    signed: bool,
) -> Iterator[_Row]:
    """Yield id, labels and path of each line; see `read_list`."""
    seen: set[int] = set()
    for number, line in enumerate(_lines(path), 1):
        line = line.strip(_BLANKS)  # noqa: PLW2901
        if not line:
            continue
        row = _row(line, widths)
        if not (signed or isinstance(row, str) or 0 <= row[0] < 1 << 64):
            row = f"its id {row[0]} is not a whole number from 0 to 2^64 - 1"
        if isinstance(row, str):
            sentence = f"line {number} is {line[:_SHOWN]!r}: {row}"
            if problems is None:
                raise FormatError(f"Bad ImageList format: {sentence}", path=os.fspath(path))
            problems.append(sentence)
            continue
        if row[0] in seen:
            raise FormatError(
                f"Bad ImageList format: id {row[0]} stands in line {_line_of(path, row[0])} and "
                f"in line {number}: give every line an id of its own",
                path=os.fspath(path),
            )
        seen.add(row[0])
        yield row


def _lines(path: str | os.PathLike[str]) -> list[str]:
    """Return the lines of a list, without a byte order mark."""
    path = absolute(path)
    try:
        kind = foreign_list(path)
    except OSError as error:
        raise unusable("cannot read the list", error, path) from error
    data = b"" if kind else read_whole(path, "cannot read the list")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        kind = "this is text in UTF-16: save the list as UTF-8"
    if kind:
        raise FormatError(kind, path=os.fspath(path))
    return data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape").split("\n")


def _fields(line: str) -> list[str]:
    """Split a line at TABs; at blanks if it has none."""
    if "\t" in line:
        return [field.strip(_BLANKS) for field in line.split("\t")]
    return _GAP.split(line)


def _row(line: str, widths: tuple[int, ...] | None) -> _Row | str:
    """Return a line's id, labels and path, or what is wrong with it."""
    fields = _fields(line)
    separated = "TAB" if "\t" in line else "blank"
    if len(fields) < 3:
        return (
            f"{len(fields)} {separated}-separated fields, expected a whole number, the label(s) "
            "and a path"
        )
    identity, *words, path = fields
    if _WHOLE.fullmatch(identity) is None:
        return f"its id {identity[:_SHOWN]!r} is not a whole number"
    labels: list[float] = []
    for word in words:
        if _NUMBER.fullmatch(word) is None:
            return f"its label {word[:_SHOWN]!r} is not a number{_advice(word, separated)}"
        value = float(word)
        if not -_MOST <= value <= _MOST and "n" not in word.lower():
            return f"its label {word[:_SHOWN]!r} is beyond the range of float32"
        labels.append(value)
    if widths is not None and len(labels) not in widths:
        return (
            f"its {len(fields)} fields are an id, {len(labels)} label(s) and a path, label_width "
            f"asks for {widths[-1]} label(s)"
        )
    return int(identity), labels, path


def _advice(word: str, separated: str) -> str:
    """Say what may be meant by a word in the place of a label."""
    if re.fullmatch(r"[+-]?[0-9]*,[0-9]+", word):
        return ": write a point for the comma"
    if separated == "blank":
        return ": a path with blanks needs a line separated by TABs"
    return ": name classes by numbers, and put the path last"


def _line_of(path: str | os.PathLike[str], identity: int) -> int:
    """Return the first line with an id."""
    for number, line in enumerate(_lines(path), 1):
        row = _row(line.strip(_BLANKS), None)
        if not isinstance(row, str) and row[0] == identity:
            return number
    return 0


def write_list(path: str | os.PathLike[str], items: Iterable[ListItem]) -> None:
    """Write a list as im2rec does: labels with six decimals, more where float32 needs them.

    Raises
    ------
    StorageError            the file cannot be written
    """
    with writing(path) as file:
        for item in items:
            labels = "".join(f"{_text(label)}\t" for label in item.labels)
            file.write(f"{item.index}\t{labels}{item.path}\n".encode("utf-8", "surrogateescape"))


def _text(label: float) -> str:
    """Return a label in MXNet's form if that reads back as the same float32, else the shortest."""
    short, value = f"{label:f}", np.float32(label)
    return short if np.float32(short) == value else str(value)
