"""A manifest: the parts of a data set, by name, with what must be known of them before one is read.

The file is JSON, one line per part: name, records, bytes, number of the part's first record, CRC-32
of its index, and by what storage tells that the file changed (time of last change, or etag).

Invariant: which part a record lies in, and which of its records it is, follows from the manifest
alone. A manifest that is damaged, or that contradicts itself, is not believed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any, overload

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import EmptyDatasetError, FormatError, OptionError
from gpuio.storage.atomic import check_target, writing
from gpuio.storage.files import read_whole
from gpuio.storage.paths import absolute, divide

__all__ = [
    "Manifest",
    "Part",
    "index_path",
    "is_manifest",
    "manifest_named",
    "read_manifest",
    "write_manifest",
]

Int64 = npt.NDArray[np.int64]

_SUFFIX = ".json"
_START = '{"gpuio_manifest"'
_VERSION = 1
_COLUMNS = ("name", "records", "bytes", "first", "index_crc32", "tag")
_AGAIN = "`gpuio manifest` makes a new one"


@attrs.frozen
class Part:
    """One part of a set.

    Attributes
    ----------
    name : str          of the .rec file, from the set's folder
    records : int       >= 1
    size : int          bytes of the .rec file
    index_crc : int     CRC-32 of the .idx file
    tag : str           what storage says when the file changed; "" if unknown
    """

    name: str
    records: int
    size: int
    index_crc: int
    tag: str = ""


class PartPaths(Sequence[str]):
    """The paths of the parts, made when they are asked for."""

    def __init__(self, root: str, names: Sequence[str]) -> None:
        self._root, self._names = root, names

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        """Return the path of a part, or those of several."""
        if isinstance(number, slice):
            return [f"{self._root}/{name}" for name in self._names[number]]
        return f"{self._root}/{self._names[number]}"


@attrs.frozen(eq=False)
class Manifest:
    """The parts of a set of P parts.

    Attributes
    ----------
    path : str              of the manifest
    root : str              the folder that names are relative to
    payload : str           "image_record", or "raw": as `Contents` has it
    names : sequence of P str
    records, sizes : int64[P]       number of records, and bytes, of each part
    index_crc : int64[P]    CRC-32 of each part's index
    tags : sequence of P str
    digest : str            of names, records, bytes and indexes: the same for a copy of the set
    first : int64[P + 1]    number of each part's first record; last the number of all records
    """

    path: str
    root: str
    payload: str
    names: Sequence[str]
    records: Int64
    sizes: Int64
    index_crc: Int64
    tags: Sequence[str]
    digest: str
    first: Int64 = attrs.field(init=False)

    @first.default
    def _add_up(self) -> Int64:
        return np.concatenate([[0], np.cumsum(self.records)]).astype(np.int64)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def paths(self) -> PartPaths:
        """The paths of the .rec files."""
        return PartPaths(self.root, self.names)

    def index_path(self, number: int) -> str:
        """Return the path of a part's index, which lies beside it."""
        return index_path(self.paths[number])


def index_path(path: str) -> str:
    """Return where the index of a part lies, by the path of its record file."""
    return os.path.splitext(path)[0] + ".idx"  # noqa: PTH122 -- may be a URL


def manifest_named(uri: str | Iterable[str]) -> str | None:
    """Return the manifest that a path names by its ending, .json; None if it names record files.

    Raises
    ------
    OptionError             it is named beside other files
    """
    pieces = divide(uri)
    named = [piece for piece in pieces if piece.lower().endswith(_SUFFIX)]
    if not named:
        return None
    if len(pieces) > 1:
        raise OptionError(
            f"path_imgrec: {named[0]!r} is a manifest, which stands alone: `gpuio manifest` makes "
            "one of all parts"
        )
    return named[0].removeprefix("file://")


def is_manifest(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a manifest."""
    return head.startswith(_START.encode())


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read a manifest; no part is opened.

    Raises
    ------
    StorageError            it cannot be read
    FormatError             it is not a manifest, of another version, damaged, or contradicts itself
    """
    path = absolute(path)
    text = read_whole(path, "cannot read the manifest")
    if not is_manifest(text):
        raise FormatError(
            "this is not a manifest of gpuio: `gpuio manifest FOLDER` makes one", path=path
        )
    try:
        stated = json.loads(text)
    except ValueError as error:
        raise FormatError(f"the manifest is damaged: {error}; {_AGAIN}", path=path) from None
    del text
    version = stated["gpuio_manifest"]
    if version != _VERSION:
        raise FormatError(
            f"the manifest is of version {version!r}, expected {_VERSION}: {_AGAIN}, or install a "
            "newer gpuio",
            path=path,
        )
    try:
        return _believed(path, stated)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise FormatError(f"the manifest is damaged: {reason}; {_AGAIN}", path=path) from None


def _believed(path: str, stated: dict[str, Any]) -> Manifest:
    """Return what a manifest states; ValueError says why it is not believed."""
    if tuple(stated["columns"]) != _COLUMNS:
        raise ValueError(f"expected the columns {', '.join(_COLUMNS)}, found {stated['columns']}")
    lines = stated.pop("parts")
    if not lines:
        raise ValueError("it lists no part")
    names, records, sizes, first, index_crc, tags = map(list, zip(*lines, strict=True))
    del lines
    joined = "\n".join(names)
    if "://" in joined or ".." in joined or "\n/" in f"\n{joined}" or "\n\n" in f"\n{joined}\n":
        for name in names:
            _check_name(name)
    made = Manifest(
        path=path,
        root=absolute(stated["root"]) if stated["root"] else os.path.dirname(path),  # noqa: PTH120
        payload=stated["payload"],
        names=names,
        records=_whole("records", records),
        sizes=_whole("bytes", sizes),
        index_crc=_whole("index_crc32", index_crc, 0),
        tags=tags,
        digest=_digest(names, records, sizes, index_crc),
    )
    if made.payload not in ("image_record", "raw"):
        raise ValueError(f"its payload is {made.payload!r}")
    wrong = np.flatnonzero(made.first[:-1] != _whole("first", first, 0))
    if len(wrong):
        number = int(wrong[0])
        raise ValueError(
            f"part {names[number]!r} begins with record {first[number]}, but the parts before it "
            f"hold {made.first[number]}"
        )
    totals = stated["records"], stated["bytes"]
    found = int(made.first[-1]), int(made.sizes.sum())
    if totals != found:
        raise ValueError(f"it states {totals} records and bytes, its parts hold {found}")
    if made.digest != stated["digest"]:
        raise ValueError(f"its digest is {stated['digest']!r}, its parts' {made.digest!r}")
    return made


def _whole(name: str, column: list[Any], least: int = 1) -> Int64:
    """Return a column of whole numbers."""
    array = np.array(column)
    if array.dtype != np.int64 or array.min() < least:
        raise ValueError(f"{name}: expected whole numbers from {least} on")
    return array


def _check_name(name: str) -> None:
    """Refuse the name of a part that leads out of the set's folder."""
    if not name or name[0] == "/" or "://" in name:
        raise ValueError(f"part {name!r}: expected a path relative to the set's folder")
    if ".." in name.split("/"):
        raise ValueError(f"part {name!r} leads out of the set's folder")


def _digest(
    names: Sequence[str], records: Sequence[int], sizes: Sequence[int], index_crc: Sequence[int]
) -> str:
    """Return what tells a set: its parts, and where their records lie."""
    each = zip(names, records, sizes, index_crc, strict=True)
    text = "".join([f"{name}\t{count}\t{size}\t{crc}\n" for name, count, size, crc in each])
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def write_manifest(
    path: str | os.PathLike[str], parts: Sequence[Part], payload: str, root: str = ""
) -> Manifest:
    """Write a manifest.

    Parameters
    ----------
    path : path
    parts : sequence of Part        in the order of their records
    payload : str                   "image_record" or "raw"
    root : str                      the folder of the parts; "": that of the manifest

    Raises
    ------
    EmptyDatasetError       there is no part
    StorageError            it cannot be written; or another kind of file is there
    """
    path = absolute(path)
    if not parts:
        raise EmptyDatasetError("no part holds a record: no manifest is written", path=path)
    for part in parts:
        _check_name(part.name)
    check_target(path, own=is_manifest)
    columns = zip(*((p.name, p.records, p.size, p.index_crc) for p in parts), strict=True)
    names, records, sizes, index_crc = map(list, columns)
    first = [0, *itertools.accumulate(records)]
    head = {
        "gpuio_manifest": _VERSION,
        "payload": payload,
        "records": first[-1],
        "bytes": sum(sizes),
        "digest": _digest(names, records, sizes, index_crc),
        "root": root,
        "columns": _COLUMNS,
    }
    with writing(path) as file:
        file.write(json.dumps(head)[:-1].encode() + b', "parts": [\n')
        for number, part in enumerate(parts):
            line = part.name, part.records, part.size, first[number], part.index_crc, part.tag
            end = ",\n" if number + 1 < len(parts) else "\n]}\n"
            file.write((json.dumps(line) + end).encode())
    return read_manifest(path)
