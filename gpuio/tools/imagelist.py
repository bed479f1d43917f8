"""Make image lists from a folder, as MXNet's im2rec makes them.

Invariant: the same folder gives the same files as MXNet's, byte for byte: order, class numbers and
shuffle are MXNet's. Where MXNet's lose images, or hold none, these do not; hidden folders are not
classes.
"""

from __future__ import annotations

import itertools
import math
import os
import random
from collections.abc import Iterator, Sequence

import attrs

from gpuio.errors import OptionError, StorageError
from gpuio.recordio.lists import ListItem, write_list

__all__ = ["ROUNDING", "Found", "find_images", "make_lists", "unlistable", "usable_exts"]

ROUNDING = 1e-9  # of the sum of two ratios
_SHUFFLE_SEED = 100  # im2rec's


@attrs.define
class Found:
    """What a folder holds.

    Attributes
    ----------
    items : list of ListItem        numbered from 0, paths relative to the folder
    classes : dict                  relative folder to class number; empty unless recursive
    skipped : list of str           relative paths of hidden folders, and of the files that macOS
                                    writes beside others (._NAME)
    dangling : list of str          relative paths of links to nothing, and of what is not a file
    """

    items: list[ListItem] = attrs.field(factory=list)
    classes: dict[str, int] = attrs.field(factory=dict)
    skipped: list[str] = attrs.field(factory=list)
    dangling: list[str] = attrs.field(factory=list)


def usable_exts(exts: Sequence[str]) -> list[str]:
    """Return extensions in lower case and with a dot, given in any case, with or without one."""
    return [f".{ext.strip().removeprefix('*').removeprefix('.').lower()}" for ext in exts]


def find_images(root: str, exts: Sequence[str], *, recursive: bool) -> Found:
    """Find the images of a folder.

    Parameters
    ----------
    root : str
    exts : sequence of str      accepted extensions, as `usable_exts` returns them
    recursive : bool            walk sub-folders, links followed, hidden ones left out; each folder
                                that holds an image is a class, numbered in the order met. Otherwise
                                the label is 0

    Raises
    ------
    StorageError                a folder cannot be read
    """
    made = Found()
    for folder, files in _walk(root, made.skipped) if recursive else [(root, _names(root))]:
        for name in files:
            path = os.path.join(folder, name)  # noqa: PTH118 -- folder and name as listed
            if os.path.splitext(name)[1].lower() not in exts or os.path.isdir(path):  # noqa: PTH112, PTH122
                continue
            relative = os.path.relpath(path, root)
            if name.startswith("._"):
                made.skipped.append(relative)
            elif not os.path.isfile(path):  # noqa: PTH113
                made.dangling.append(relative)
            else:
                label = 0
                if recursive:
                    of = os.path.relpath(folder, root)
                    label = made.classes.setdefault(of, len(made.classes))
                made.items.append(ListItem(len(made.items), relative, (float(label),)))
    return made


def unlistable(path: str) -> bool:
    """Whether a list cannot hold a path: lists are split at TABs and newlines, and stripped."""
    return path != path.strip() or any(character in path for character in "\t\n\r")


def _names(folder: str) -> list[str]:
    """Return the sorted names of a folder."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 -- as os.walk names them
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> StorageError:
    """Return the error of a folder that cannot be read."""
    return StorageError(
        f"cannot read the folder, whose images would be missing: {error.strerror}",
        path=str(error.filename),
    )


def _walk(root: str, skipped: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield folders and files, sorted, depth first; links back to a parent are not followed."""

    def stop(error: OSError) -> None:
        raise _unreadable(error) from error

    for folder, inner, files in os.walk(root, onerror=stop, followlinks=True):
        above = os.path.realpath(folder)
        hidden = [name for name in inner if name.startswith(".") or name == "__MACOSX"]
        skipped += sorted(os.path.relpath(os.path.join(folder, name), root) for name in hidden)  # noqa: PTH118
        inner[:] = sorted(
            name
            for name in inner
            if name not in hidden and not _leads_back(os.path.join(folder, name), above)  # noqa: PTH118
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
    train_ratio: float | None = None,
    test_ratio: float = 0.0,
) -> list[tuple[str, int]]:
    """Write the list files of a set of images; every image is in one of them.

    Parameters
    ----------
    prefix : str
    items : list of ListItem
    shuffle : bool                  with Python's generator, seed 100; images keep their numbers
    chunks : int                    lists to divide the images among, >= 1
    train_ratio, test_ratio : float in [0, 1]
        below 1 a chunk becomes PREFIX_test.lst (unless test_ratio is 0), PREFIX_train.lst, and, if
        the two add up to less than 1, PREFIX_val.lst. None: what test_ratio leaves

    Returns
    -------
    list of (str, int)              the files written, and their numbers of images

    Raises
    ------
    OptionError                     a list would hold no image; nothing is written
    StorageError                    a file cannot be written

    Notes
    -----
    Where the ratios add up to 1, MXNet loses the image that rounding leaves over; here it is a
    training image. MXNet takes the ratios of a last chunk that is shorter from the length of the
    others.
    """
    items = list(items)
    if shuffle:
        random.Random(_SHUFFLE_SEED).shuffle(items)
    train = 1.0 - test_ratio if train_ratio is None else train_ratio
    lists: list[tuple[str, list[ListItem]]] = []
    for number, chunk in enumerate(_chunks(items, chunks)):
        start = prefix if chunks == 1 else f"{prefix}_{number}"
        lists += [
            (f"{start}{suffix}.lst", part) for suffix, part in _parts(chunk, train, test_ratio)
        ]
    for path, part in lists:
        if not part:
            raise OptionError(
                f"of {len(items)} images none is left for this list: nothing is written, older "
                "lists stay",
                path=path,
            )
    for path, part in lists:
        write_list(path, part)
    return [(path, len(part)) for path, part in lists]


def _chunks(items: list[ListItem], count: int) -> list[list[ListItem]]:
    """Divide items among lists: MXNet's chunks, or, if the last would be empty, equal ones."""
    size = math.ceil(len(items) / count)
    ends = [min(number * size, len(items)) for number in range(count + 1)]
    if ends[-2] == len(items):
        ends = [number * len(items) // count for number in range(count + 1)]
    return [items[first:stop] for first, stop in itertools.pairwise(ends)]


def _parts(
    chunk: list[ListItem], train_ratio: float, test_ratio: float
) -> list[tuple[str, list[ListItem]]]:
    """Divide a chunk into its lists, each with what its name ends in."""
    if train_ratio == 1.0:
        return [("", chunk)]
    train, test = int(len(chunk) * train_ratio), int(len(chunk) * test_ratio)
    parts: list[tuple[str, list[ListItem]]] = []
    if test_ratio:
        parts.append(("_test", chunk[:test]))
    if train_ratio + test_ratio < 1.0 - ROUNDING:
        parts.append(("_val", chunk[test + train :]))
        parts.append(("_train", chunk[test : test + train]))
    else:
        parts.append(("_train", chunk[test:]))
    return parts
