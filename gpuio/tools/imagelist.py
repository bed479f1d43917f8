"""Make image lists from a folder, as MXNet's im2rec makes them.

Invariant: the same folder gives the same files as MXNet's, byte for byte: order, class numbers and
shuffle are MXNet's.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from gpuio.errors import StorageError
from gpuio.recordio.lists import ListItem, write_list

__all__ = ["find_images", "make_lists", "unlistable"]

_SHUFFLE_SEED = 100  # im2rec's


def find_images(
    root: str, exts: Sequence[str], *, recursive: bool
) -> tuple[list[ListItem], dict[str, int]]:
    """Find the images of a folder.

    Parameters
    ----------
    root : str
    exts : sequence of str      accepted extensions, lower case, with their dots
    recursive : bool            walk sub-folders, links followed; each folder that holds an image is
                                a class, numbered in the order met. Otherwise the label is 0

    Returns
    -------
    items : list of ListItem    numbered from 0, paths relative to `root`
    classes : dict              relative folder to class number; empty unless recursive
    """
    items: list[ListItem] = []
    classes: dict[str, int] = {}
    for folder, files in (
        _walk(root) if recursive else [(root, sorted(path.name for path in Path(root).iterdir()))]
    ):
        for name in files:
            path = os.path.join(folder, name)  # noqa: PTH118 -- folder and name as listed
            if os.path.splitext(name)[1].lower() not in exts or not os.path.isfile(path):  # noqa: PTH113, PTH122
                continue
            label = 0
            if recursive:
                label = classes.setdefault(os.path.relpath(folder, root), len(classes))
            items.append(ListItem(len(items), os.path.relpath(path, root), (float(label),)))
    return items, classes


def unlistable(path: str) -> bool:
    """Whether a list cannot hold a path: lists are split at TABs and newlines, and stripped."""
    return path != path.strip() or any(character in path for character in "\t\n\r")


def _walk(root: str) -> Iterator[tuple[str, list[str]]]:
    """Yield folders and files, sorted, depth first; links back to a parent are not followed."""
    for folder, inner, files in os.walk(root, followlinks=True):
        above = os.path.realpath(folder)
        inner[:] = sorted(
            name
            for name in inner
            if not _leads_back(os.path.join(folder, name), above)  # noqa: PTH118
        )
        yield folder, sorted(files)


def _leads_back(path: str, above: str) -> bool:
    """Whether a folder is a link to a folder that contains it."""
    if not os.path.islink(path):  # noqa: PTH114
        return False
    target = os.path.realpath(path)
    return above == target or above.startswith(target + os.sep)


def make_lists(
    prefix: str,
    items: list[ListItem],
    *,
    shuffle: bool = True,
    chunks: int = 1,
    train_ratio: float = 1.0,
    test_ratio: float = 0.0,
) -> list[Path]:
    """Write the list files of a set of images.

    Parameters
    ----------
    prefix : str
    items : list of ListItem
    shuffle : bool                  with Python's generator, seed 100; images keep their numbers
    chunks : int                    lists to divide the images among, >= 1
    train_ratio, test_ratio : float in [0, 1]
        below 1 a chunk becomes PREFIX_test.lst (unless test_ratio is 0), PREFIX_train.lst, and, if
        the two add up to less than 1, PREFIX_val.lst

    Returns
    -------
    list of Path                    the files written

    Raises
    ------
    StorageError                    a file cannot be written, or one that is not empty would become
                                    empty; nothing is written then
    """
    items = list(items)
    if shuffle:
        random.Random(_SHUFFLE_SEED).shuffle(items)
    size = math.ceil(len(items) / chunks)
    lists: list[tuple[Path, list[ListItem]]] = []
    for number in range(chunks):
        chunk = items[number * size : (number + 1) * size]
        start = prefix if chunks == 1 else f"{prefix}_{number}"
        train, test = int(size * train_ratio), int(size * test_ratio)
        parts: list[tuple[str, list[ListItem]]] = []
        if train_ratio == 1.0:
            parts.append(("", chunk))
        else:
            if test_ratio:
                parts.append(("_test", chunk[:test]))
            if train_ratio + test_ratio < 1.0:
                parts.append(("_val", chunk[test + train :]))
            parts.append(("_train", chunk[test : test + train]))
        for suffix, part in parts:
            lists.append((Path(f"{start}{suffix}.lst"), part))
    for path, part in lists:
        if not part and path.exists() and path.stat().st_size:
            raise StorageError(
                "no image is left for this list: the older one stays", path=str(path)
            )
    for path, part in lists:
        write_list(path, part)
    return [path for path, _ in lists]
