"""List files (.lst): index, labels and path per line.

Two rules exist in MXNet and both are kept. im2rec's: fields are separated by TABs, the first is a
whole number, the last is the path, the labels are between them. path_imglist's: fields are
separated by any white space, the first is the id, the next `label_width` are labels, the rest is
ignored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, StorageError
from gpuio.storage.atomic import writing

__all__ = ["ListItem", "read_label_list", "read_list", "write_list"]

# what C's strtof accepts at the start of a word; anything else is 0
_NUMBER = re.compile(
    r"[+-]?(?:\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|inf(?:inity)?|nan)", re.IGNORECASE
)


@attrs.frozen
class ListItem:
    """One line: number, path relative to the root, labels."""

    index: int
    path: str
    labels: tuple[float, ...]


def _lines(path: str | os.PathLike[str]) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    except OSError as error:
        raise StorageError(
            f"cannot read the list: {error.strerror}", path=os.fspath(path)
        ) from error


def read_list(
    path: str | os.PathLike[str], problems: list[str] | None = None
) -> Iterator[ListItem]:
    """Read a list by im2rec's rule.

    Parameters
    ----------
    path : str
    problems : list of str, optional
        gets a sentence for each line that is left out; without it such a line is a FormatError

    Raises
    ------
    StorageError            the file cannot be read
    FormatError             a line has fewer than three fields, or an index or label is not a number
    """
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.strip().split("\t")]
        trouble = ""
        if len(fields) < 3:
            trouble = f"{len(fields)} TAB-separated fields, expected index, label(s) and path"
        else:
            try:
                yield ListItem(int(fields[0]), fields[-1], tuple(map(float, fields[1:-1])))
            except ValueError:
                trouble = "index and labels must be numbers"
        if trouble:
            sentence = f"line {number} is {line[:80]!r}: {trouble}"
            if problems is None:
                raise FormatError(sentence, path=os.fspath(path))
            problems.append(sentence)


def read_label_list(
    path: str | os.PathLike[str], label_width: int | None
) -> dict[int, npt.NDArray[np.float32]]:
    """Read a list by path_imglist's rule.

    Parameters
    ----------
    path : str
    label_width : int or None   None: a label is all columns between the id and the last one

    Returns
    -------
    dict of id to float32[label_width]      of a repeated id the last line

    Raises
    ------
    StorageError            the file cannot be read
    FormatError             a line has too few columns, or its id is not a whole number
    """
    labels: dict[int, npt.NDArray[np.float32]] = {}
    for number, line in enumerate(_lines(path), 1):
        fields = line.split()
        if not fields:
            continue
        width = len(fields) - 2 if label_width is None else label_width
        if width < 1 or len(fields) < 1 + width or not fields[0].isdigit():
            raise FormatError(
                f"Bad ImageList format: line {number} is {line[:80]!r}, expected a whole number "
                f"and {label_width or 'some'} label(s)",
                path=os.fspath(path),
            )
        row = [_float_prefix(field) for field in fields[1 : 1 + width]]
        labels[int(fields[0])] = np.array(row, np.float32)
    return labels


def _float_prefix(text: str) -> float:
    """Return the number at the start of a word; 0 if there is none."""
    found = _NUMBER.match(text)
    return float(found.group()) if found else 0.0


def write_list(path: str | os.PathLike[str], items: Iterable[ListItem]) -> None:
    """Write a list as im2rec does: labels with six decimals.

    Raises
    ------
    StorageError            the file cannot be written
    """
    with writing(path) as file:
        for item in items:
            labels = "".join(f"{label:f}\t" for label in item.labels)
            file.write(f"{item.index}\t{labels}{item.path}\n".encode("utf-8", "surrogateescape"))
