"""The records of a file in their order, for commands that list, copy or count them.

Invariant: a key is what an index says, the one that was named or the one beside the file; a record
that has none is named by its number, "record 22".
"""

from __future__ import annotations

import argparse
import functools
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from os.path import expanduser
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.decode.formats import ImageInfo, probe
from gpuio.errors import DecodeError, FormatError, GpuioError, GpuioWarning, OptionError
from gpuio.recordio.framing import unframe
from gpuio.recordio.header import parse_image_record
from gpuio.recordio.index import RecordTable, open_table
from gpuio.recordio.keys import Listed, index_beside, read_fitting, read_listed
from gpuio.recordio.layouts import Contents, recognise
from gpuio.recordio.manifest import manifest_named, read_manifest
from gpuio.recordio.uri import expand
from gpuio.storage.files import open_stored
from gpuio.storage.stored import StoredFile
from gpuio.storage.urls import is_url
from gpuio.tools.blocks import Block, read_blocks
from gpuio.tools.progress import scanning

__all__ = [
    "Entry",
    "Records",
    "add_file_arguments",
    "add_files_arguments",
    "blocks",
    "entries",
    "named",
    "named_files",
    "open_file",
    "open_records",
    "record_files",
]

_FEW = 20_000  # records that are looked at in Python sooner than Numba is loaded
_PART = 1 << 16  # records whose numbers are held at once
_IDX = "its .idx file; default: the one beside it, if there is one that belongs to it"


@attrs.frozen(eq=False)
class Entry:
    """One record.

    Attributes
    ----------
    number : int                    in the file, from 0
    key : int, str or None          None where no index lists the record
    offset, length : int            offset and framed length in bytes
    labels : float32[n]             empty for a bare image
    identity : int                  the record's id
    blob : bytes-like               the encoded image; empty where there is none
    info : ImageInfo or None        what its header says; None where there is no image
    error : GpuioError or None      why the record cannot be read, or its image is not recognised
    """

    number: int
    key: int | str | None
    offset: int
    length: int
    labels: npt.NDArray[np.float32] = attrs.field(factory=lambda: np.empty(0, np.float32))
    identity: int = 0
    blob: bytes | memoryview = b""
    info: ImageInfo | None = None
    error: GpuioError | None = None

    @property
    def name(self) -> str:
        """What the record is called: "key 22", or "record 22" where it has no key."""
        return named(self.key, self.number)


def named(key: int | str | None, number: int) -> str:
    """Return what a record is called, by its key or else by its number."""
    return f"record {number}" if key is None else f"key {key}"


@attrs.frozen(eq=False)
class Records:
    """The records of one file, and what they are called.

    Attributes
    ----------
    contents : Contents             of one file
    number : int64[N]               each record's number in the file, from 0
    keyed : bool[N]                 whether it has a key
    texts : array[N] of str, or None    the keys, where they are not whole numbers
    total : int                     records of the file, those that the layout leaves out, too
    """

    contents: Contents
    number: npt.NDArray[np.int64]
    keyed: npt.NDArray[np.bool_]
    texts: npt.NDArray[np.object_] | None = None
    total: int = 0

    @property
    def table(self) -> RecordTable:
        """Where the records lie."""
        return self.contents.table

    def key(self, row: int) -> int | str | None:
        """Return a record's key, None if it has none."""
        if not self.keyed[row]:
            return None
        return int(self.table.key[row]) if self.texts is None else str(self.texts[row])

    def keys(self, rows: npt.NDArray[np.int64]) -> list[int | str | None]:
        """Return the keys of rows; None for a record that has none."""
        found: list[int | str | None]
        if self.texts is None:
            found = self.table.key[rows].tolist()
        else:
            found = list(map(str, self.texts[rows].tolist()))
        if not self.keyed[rows].all():
            for at in np.flatnonzero(~self.keyed[rows]).tolist():
                found[at] = None
        return found

    def find(self, key: str) -> npt.NDArray[np.int64]:
        """Return the rows of a key; where no record has one, the row of a number."""
        if self.texts is not None:
            return np.flatnonzero((self.texts == key) & self.keyed)
        if not (key.isascii() and key.removeprefix("-").isdigit()) or len(key) > 18:
            return np.empty(0, np.int64)
        if not self.keyed.any():
            return np.flatnonzero(self.number == int(key))
        return np.flatnonzero((self.table.key == int(key)) & self.keyed)


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file and its index."""
    parser.add_argument("record", type=expanduser, help="the .rec file")
    parser.add_argument("--idx", type=expanduser, help=_IDX)


def add_files_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare one record file or several, or folders of them, and their indexes."""
    parser.add_argument(
        "records",
        type=expanduser,
        nargs="+",
        metavar="FILE",
        help="the .rec files; of a folder, those in it; of a manifest, its parts",
    )
    parser.add_argument(
        "--idx",
        type=expanduser,
        nargs="+",
        metavar="INDEX",
        help="the index of each; default: the .idx beside it, if there is one that belongs to it",
    )


def named_files(args: argparse.Namespace) -> list[tuple[str, str | None]]:
    """Return the files that the arguments of `add_files_arguments` name, each with its index.

    Raises
    ------
    OptionError                     the number of indexes is another one
    StorageError                    a folder holds no record file
    """
    files = record_files(args.records)
    indexes = args.idx or [None] * len(files)
    if len(indexes) != len(files):
        raise OptionError(f"{len(files)} files, {len(indexes)} indexes")
    return list(zip(files, indexes, strict=True))


def record_files(paths: list[str]) -> list[str]:
    """Return record files: of a folder the .rec files in it, sorted, or else all its files.

    A manifest, NAME.json, stands for its parts.
    """
    return [inside for path in paths for inside in _inside(path)]


def _inside(path: str) -> Sequence[str]:
    """Return the record files that one path means."""
    if (is_url(path) and not path.endswith(".json")) or Path(path).is_dir():
        return expand([path], ".rec")
    return read_manifest(path).paths if manifest_named([path]) else [path]


def open_records(args: argparse.Namespace, record_layout: str = "plain") -> Records:
    """Find the records of the file that the arguments name: `open_file`."""
    return open_file(args.record, args.idx, record_layout, getattr(args, "progress", "none"))


def open_file(
    record: str, idx: str | None, record_layout: str = "plain", progress: str = "none"
) -> Records:
    """Find the records of a file, and their keys.

    The index beside the file is used if it belongs to it; else one line on standard error says why
    not. Without an index the records of an InsightFace set have the layout's keys in every command.

    Raises
    ------
    StorageError, FormatError       as `open_table` and `recognise`
    """
    with scanning(f"reading {record}", progress):
        table, unlisted, listed = _table(record, idx)
    every = table
    contents = recognise(table, record_layout)
    if record_layout == "plain" and not table.indexed and contents.payload != "raw":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GpuioWarning)  # as plain there is nothing to insist on
            (faces,) = recognise(table, payload=contents.payload).faces
        if faces is not None and faces.renumbered and not faces.doubt:
            contents = attrs.evolve(contents, table=table.with_keys(faces.key))
    else:
        (faces,) = contents.faces
    offset = contents.table.offset
    keyed = ~np.isin(offset, unlisted)
    if not table.indexed:
        keyed[:] = faces is not None and not faces.doubt  # whose layout gives keys
    return Records(
        contents,
        np.searchsorted(every.offset, offset),
        keyed,
        _texts(table, listed, offset),
        len(every),
    )


def _texts(
    table: RecordTable, listed: Listed | None, offset: npt.NDArray[np.int64]
) -> npt.NDArray[np.object_] | None:
    """Return the keys of an index whose keys are not whole numbers, array of str."""
    if not table.indexed or listed is None:
        return None
    return None if listed.whole or not len(listed) else listed.key[listed.find(offset)[0]]


def _table(
    record: str, idx: str | None
) -> tuple[RecordTable, npt.NDArray[np.int64], Listed | None]:
    """Return a file's records, and the offsets of those that the index beside it does not list.

    The third is the index, read once: the one that was named, or the one beside the file.
    """
    none = np.empty(0, np.int64)
    if idx is not None:
        try:
            listed = read_listed(idx)
        except GpuioError:  # what is wrong with the record file is said first
            return open_table([record], [idx]), none, None
        return open_table([record], [listed]), none, listed
    idx = index_beside(record)
    if idx is None:
        return open_table([record]), none, None
    with open_stored(record) as file:
        beside, reason = read_fitting(file, idx)
    if beside is not None:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", GpuioWarning)
            try:
                table = open_table([record], [beside])
            except FormatError as error:
                reason = error.message.removeprefix(f"{idx}: ")
    if reason:
        print(f"{idx} is not used: {reason}", file=sys.stderr)
        return open_table([record]), none, None
    for one in said:
        print(one.message, file=sys.stderr)
    return *(_with_unlisted(table) if said else (table, none)), beside


def _with_unlisted(table: RecordTable) -> tuple[RecordTable, npt.NDArray[np.int64]]:
    """Return the table of an index with the records that it leaves out, and their offsets."""
    try:
        every = open_table(table.paths)
    except FormatError:  # damaged: the index alone leads past it
        return table, np.empty(0, np.int64)
    if len(every) <= len(table):
        return table, np.empty(0, np.int64)
    row = np.minimum(np.searchsorted(table.offset, every.offset), len(table) - 1)
    there = table.offset[row] == every.offset
    key = np.where(there, table.key[row], np.arange(len(every)))
    return attrs.evolve(every.with_keys(key), indexed=True), every.offset[~there]


def entries(records: Records, rows: npt.NDArray[np.int64] | None = None) -> Iterator[Entry]:
    """Yield the records of one file.

    Parameters
    ----------
    records : Records
    rows : int64[n], optional       rows of its table; None means all

    Raises
    ------
    StorageError                    the file cannot be read
    """
    table, ids = records.table, _ids(records)
    chosen = np.arange(len(table)) if rows is None else rows
    with open_stored(table.paths[0]) as file:
        for row, data in zip(chosen.tolist(), _read(file, table, chosen), strict=True):
            yield _entry(records, ids, row, data)


def _read(
    file: StoredFile, table: RecordTable, rows: npt.NDArray[np.int64]
) -> Iterator[bytes | memoryview]:
    """Yield the bytes of some rows."""
    if (np.diff(rows) == 1).all():  # what follows is read along
        for row in rows.tolist():
            yield file.read(int(table.offset[row]), int(table.length[row]))
    else:
        yield from file.read_each(table.offset[rows], table.length[rows])


def blocks(
    records: Records, rows: npt.NDArray[np.int64] | None = None
) -> Iterator[tuple[Block, Callable[[int], Entry]]]:
    """Yield the records of one file some thousand at a time, for commands that count or list all.

    Yields
    ------
    block : Block
    others : callable(int) -> Entry     reads the record of a place of the block, one that is not
                                        sound; raises StorageError as `entries`
    """
    table = records.table
    ids = _ids(records)
    count = len(table) if rows is None else len(rows)
    with open_stored(table.paths[0]) as file:
        for begin in range(0, count, _PART):
            part = np.arange(begin, min(begin + _PART, count))
            part = part if rows is None else rows[part]
            for block in read_blocks(file, table, part, ids, few=count < _FEW):
                yield block, functools.partial(_entry_at, records, ids, file, block)


def _ids(records: Records) -> npt.NDArray[np.int64] | None:
    """Return the ids of bare images; None of image records, which say theirs."""
    return records.contents.ids() if records.contents.payload == "raw" else None


def _entry_at(
    records: Records,
    ids: npt.NDArray[np.int64] | None,
    file: StoredFile,
    block: Block,
    at: int,
) -> Entry:
    """Return the record of a place of a block."""
    row = int(block.rows[at])
    length = int(records.table.length[row])
    if block.heads is None:
        return _entry(records, ids, row, file.read(int(records.table.offset[row]), length))
    start = int(block.start[at])
    return _entry(records, ids, row, block.memory.data[start : start + length])


def _entry(
    records: Records, ids: npt.NDArray[np.int64] | None, row: int, data: bytes | memoryview
) -> Entry:
    """Return the record of a row, which the data is."""
    offset, length = int(records.table.offset[row]), int(records.table.length[row])
    place = int(records.number[row]), records.key(row), offset, length
    labels, identity, blob = np.empty(0, np.float32), 0, memoryview(b"")
    try:
        if ids is not None:
            blob, identity = unframe(data), int(ids[row])
        else:
            _, label, identity, _, blob = parse_image_record(unframe(data))
            labels = np.atleast_1d(np.asarray(label, np.float32))
        info = _recognised(blob, len(labels))
    except GpuioError as error:
        return Entry(*place, labels, identity, blob, None, error)
    return Entry(*place, labels, identity, blob, info)


def _recognised(blob: memoryview, labels: int) -> ImageInfo | None:
    """Return what an image's header says; None for a record that holds only labels."""
    if len(blob) == 0 and labels >= 2:
        return None
    info = probe(blob)
    if info.format == "unknown":
        raise DecodeError(
            f"no image signature: {bytes(blob[:8]).hex()}" if len(blob) else "the image is empty"
        )
    return info
