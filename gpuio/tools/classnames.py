"""The names of classes: PREFIX.classes.json, which `gpuio im2rec --classes` writes.

The file is a JSON object, name to number. Of PREFIX_train.rec, PREFIX_val.rec, PREFIX_0.rec and
the like it is the one of PREFIX, where they have none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpuio.errors import FormatError
from gpuio.storage.atomic import writing
from gpuio.storage.files import exists, read_whole
from gpuio.storage.urls import beside, name_of

__all__ = [
    "class_names",
    "copy_names",
    "label_text",
    "names_file",
    "shared_names",
    "write_names",
]


_WHOLE = 1e15  # larger numbers are not labels of classes
_PART = re.compile(r"_(train|val|test|\d+)$")  # what im2rec and split put behind a prefix


def names_file(record: str) -> str | None:
    """Return the file of class names that belongs to a record file; None if there is none."""
    stems = [Path(name_of(record)).stem]
    while stems[-1] != (shorter := _PART.sub("", stems[-1])):
        stems.append(shorter)
    found = (beside(record, name=f"{stem}.classes.json") for stem in stems if stem)
    return next((one for one in found if exists(one)), None)


def class_names(record: str) -> dict[int, str]:
    """Return the name of each class of a record file; empty where there are no names.

    Raises
    ------
    FormatError         the file is not one of class names
    StorageError        it cannot be read
    """
    path = names_file(record)
    if path is None:
        return {}
    try:
        read = json.loads(read_whole(path))
        return {int(number): str(name) for name, number in read.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise FormatError(
            "expected a JSON object of class names and their numbers", path=path
        ) from error


def label_text(label: float) -> str:
    """Return a label as text: a whole number with all of its digits, else six of them."""
    number = float(label)
    return f"{number:.0f}" if number.is_integer() and abs(number) < _WHOLE else f"{number:g}"


def shared_names(records: Sequence[str]) -> tuple[dict[int, str], bool]:
    """Return the first file's class names, and whether every file has the same."""
    each = [class_names(record) for record in records]
    return each[0], all(one == each[0] for one in each)


def write_names(record: str, names: Mapping[int, str]) -> None:
    """Write the class names of a record file beside it."""
    turned = {name: number for number, name in sorted(names.items())}
    with writing(beside(record, suffix=".classes.json")) as file:
        file.write(json.dumps(turned, indent=1).encode())


def copy_names(source: str, targets: Sequence[str]) -> None:
    """Write the class names of a record file, where it has some, beside new ones."""
    names = class_names(source)
    for target in targets if names else ():
        write_names(target, names)
