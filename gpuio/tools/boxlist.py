"""Image lists of a detection set: every line's label must be boxes, and right ones."""

from __future__ import annotations

import os

import numpy as np

from gpuio.pipeline.boxes import box_problem
from gpuio.recordio.lists import ListItem, read_list
from gpuio.storage.files import read_whole

__all__ = ["wrong_lines"]


def wrong_lines(path: str | os.PathLike[str]) -> list[str]:
    """Return a sentence for each line of a list whose label is not a detection label.

    Parameters
    ----------
    path : path             of a .lst file: id, header and boxes, path

    Returns
    -------
    list of str             each names the file and the line; lines that cannot be read at all are
                            left to the packing, which names them

    Raises
    ------
    StorageError            the list cannot be read
    """
    found = []
    for item in read_list(path, []):
        problem = box_problem(np.array(item.labels, np.float32))
        if problem:
            found.append((item, problem))
    if not found:
        return []
    numbers = _line_numbers(path)
    return [f"{path}, {_place(item, numbers)}: {problem}" for item, problem in found]


def _line_numbers(path: str | os.PathLike[str]) -> dict[str, list[tuple[int, str]]]:
    """Return the number and the text of the lines of each id, as it is written."""
    numbers: dict[str, list[tuple[int, str]]] = {}
    text = read_whole(path).decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n")
    for number, line in enumerate(text.replace("\r", "\n").split("\n"), 1):
        words = line.split(None, 1)
        if words:
            numbers.setdefault(words[0], []).append((number, line.rstrip()))
    return numbers


def _place(item: ListItem, numbers: dict[str, list[tuple[int, str]]]) -> str:
    """Name an item's line, by number where its id is written as numbers are."""
    for number, line in numbers.get(str(item.index), ()):
        if line.endswith(item.path):
            return f"line {number} ({item.path})"
    return f"the line of id {item.index} ({item.path})"
