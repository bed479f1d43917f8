"""Find what is wrong with a record file: framing, index, records, images, checksums.

Invariant: the audit changes nothing, and only a file that cannot be read stops it. Every problem
has a kind, a reason, and a byte offset if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.decode.formats import probe
from gpuio.decode.limits import check_format, check_scans, check_size
from gpuio.decode.opencv import decode
from gpuio.decode.sound import decodes
from gpuio.errors import FormatError, GpuioError
from gpuio.options.machine import MAX_PIXELS, MAX_SCANS
from gpuio.pipeline.boxes import box_problem, holds_boxes
from gpuio.pipeline.prefetch import Prefetcher
from gpuio.recordio.checksum import Checksums
from gpuio.recordio.framing import unframe
from gpuio.recordio.header import parse_image_record
from gpuio.recordio.index import RecordTable, read_index
from gpuio.recordio.index_entries import read_text
from gpuio.recordio.keys import fits
from gpuio.recordio.layouts import recognise
from gpuio.recordio.resync import SkippedRange, resync
from gpuio.storage.files import status
from gpuio.storage.stored import StoredFile

__all__ = [
    "Depth",
    "Layout",
    "PlainKeys",
    "Problem",
    "audit_index",
    "audit_records",
    "lay_out",
]

Int64 = npt.NDArray[np.int64]

_AT_ONCE = 64  # records that a thread checks at once
_BYTES_AT_ONCE = 8 << 20
_WARNED = "libjpeg warns of the image's data: part of what it decodes may not be its own"
_BEYOND = 1 << 62  # no file is as long


@attrs.frozen
class Problem:
    """One thing that is wrong.

    Attributes
    ----------
    kind : {"framing", "index", "record", "image", "label", "checksum", "warning"}
                                    warning: the image is decoded, and libjpeg warns of its data
    reason : str
    key : int, str or None          as the index has it
    offset, end : int or None       bytes [offset, end) of the record file
    record : int or None            the record's number among those found, from 0
    """

    kind: str
    reason: str
    key: int | str | None = None
    offset: int | None = None
    end: int | None = None
    record: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return attrs.asdict(self)

    def __str__(self) -> str:
        number = "" if self.record is None else f" record {self.record}"
        key = number if self.key is None else f" key {self.key}"
        where = "" if self.offset is None else f" at byte {self.offset}"
        span = "" if self.end is None else f" to {self.end}"
        return f"{self.kind}{key}{where}{span}: {self.reason}"


@attrs.frozen
class Depth:
    """How closely records are checked.

    Attributes
    ----------
    headers : bool          image-record headers and image headers
    images : bool           decode every image
    sums : Checksums or None
    max_pixels : int        a larger image is a problem
    """

    headers: bool = False
    images: bool = False
    sums: Checksums | None = None
    max_pixels: int = MAX_PIXELS

    @property
    def reads(self) -> bool:
        """Whether records are read, not only their headers."""
        return self.headers or self.images or self.sums is not None


@attrs.frozen(eq=False)
class Layout:
    """The records of a file, and the ranges between them.

    Attributes
    ----------
    offset, length : int64[N]       offset and framed size, bytes
    skipped : tuple of SkippedRange
    """

    offset: Int64
    length: Int64
    skipped: tuple[SkippedRange, ...]

    @property
    def problems(self) -> list[Problem]:
        """The skipped ranges as problems."""
        return [
            Problem("framing", one.reason, offset=one.begin, end=one.end) for one in self.skipped
        ]


def lay_out(file: StoredFile, *, thorough: bool) -> Layout:
    """Find the records of a file; `thorough` reads every byte."""
    return Layout(*resync(file, thorough=thorough))


class PlainKeys(Sequence[str | None]):
    """Keys that are whole numbers, int64[N], as the texts that an index holds; 8 bytes each."""

    def __init__(self, keys: Int64) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, at: int) -> str | None: ...

    @overload
    def __getitem__(self, at: slice) -> list[str | None]: ...

    def __getitem__(self, at: int | slice) -> str | list[str | None] | None:
        found = self._keys[at]
        return list(map(str, found.tolist())) if isinstance(at, slice) else str(int(found))


def _plain_keys(idx_path: str, layout: Layout) -> PlainKeys | None:
    """Return the keys of an index in which nothing is wrong, and that is written as gpuio does.

    None of any other: `audit_index` looks at its lines one by one.
    """
    try:
        entries = read_text(idx_path)
    except GpuioError:
        return None
    if entries is None or len(entries.offsets) != len(layout.offset):
        return None
    keys, offsets = entries.key_array(), np.asarray(entries.offsets)
    if len(keys) == 0 or keys.min() < 0:
        return None
    tens = 10 ** np.arange(1, 19)
    digits = sum(
        int(np.searchsorted(tens, column, side="right").sum()) + len(column)
        for column in (keys, offsets)
    )
    if status(idx_path)[0] != digits + 2 * len(keys):  # leading zeros, blanks
        return None
    order = np.argsort(offsets, kind="stable")
    inner = np.sort(keys)
    if (offsets[order] != layout.offset).any() or (inner[1:] == inner[:-1]).any():
        return None
    return PlainKeys(keys[order])


def audit_index(
    idx_path: str, layout: Layout, size: int
) -> tuple[Sequence[str | None], list[Problem]]:
    """Compare an index with the records found; another file's is one problem, and names none.

    Parameters
    ----------
    idx_path : str
    layout : Layout
    size : int              of the record file, bytes

    Returns
    -------
    keys : sequence of str or None  of each record; None for one that is not listed
    problems : list of Problem

    Raises
    ------
    StorageError            the index cannot be read
    """
    plain = _plain_keys(idx_path, layout)
    if plain is not None:
        return plain, []
    keys: list[str | None] = [None] * len(layout.offset)
    try:
        listed, offsets = read_index(idx_path, str)
    except FormatError as error:
        return keys, [Problem("index", f"{idx_path}: {error.message}")]
    at = np.array([min(offset, _BEYOND) for offset in offsets], np.int64)
    row = np.searchsorted(layout.offset, at)
    row[row == len(keys)] = 0
    there = layout.offset[row] == at if len(keys) else np.zeros(len(at), bool)
    if len(at) and not fits(at, layout.offset, size, [(s.begin, s.end) for s in layout.skipped]):
        outside = np.count_nonzero(at >= size)
        reason = (
            f"{idx_path} is another file's index and is not used: {np.count_nonzero(there)} of "
            f"its {len(at)} entries lead to one of the {len(keys)} records, {outside} lie beyond "
            "the end"
        )
        return [None] * len(keys), [Problem("index", reason)]
    repeated = len(set(listed)) < len(listed)
    seen: set[str] = set()
    problems = []
    for number, (key, offset) in enumerate(zip(listed, offsets, strict=True)):
        reason = ""
        if repeated and key in seen:
            reason = "the key stands there twice"
        elif not there[number]:
            beyond = f"beyond the end of the file ({size:,} bytes)"
            reason = beyond if offset >= size else "no record starts there"
        elif keys[row[number]] is not None:
            reason = f"key {keys[row[number]]} has this offset as well"
        else:
            keys[row[number]] = key
        if repeated:
            seen.add(key)
        if reason:
            what = f"{idx_path}, entry {number + 1}: {reason}"
            problems.append(Problem("index", what, key, offset))
    problems += [
        Problem("index", f"{idx_path} does not list this record", offset=int(layout.offset[number]))
        for number, key in enumerate(keys)
        if key is None
    ]
    return keys, problems


def audit_records(
    file: StoredFile,
    layout: Layout,
    depth: Depth,
    keys: Sequence[int | str | None],
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Problem]:
    """Check every record; the labels of a detection set, too.

    Parameters
    ----------
    file : StoredFile
    layout : Layout
    depth : Depth                           how closely
    keys : sequence of N keys or None       that problems name
    threads : int
    progress : callable(done, total)        of records

    Returns
    -------
    list of Problem         at most one per record, in the order of the file

    Raises
    ------
    StorageError            the file cannot be read
    """
    problems: list[Problem] = []
    inside = depth.headers or depth.images
    bare = inside and _holds_bare_images(file, layout)
    boxes = inside and not bare and holds_boxes(file, layout.offset, layout.length)

    def look(rows: slice) -> tuple[int, list[Problem]]:
        offset, length = layout.offset[rows], layout.length[rows]
        return rows.stop, [
            problem
            for number, at, key, framed in zip(
                range(rows.start, rows.stop),
                offset.tolist(),
                keys[rows],
                file.read_ranges(offset, length),
                strict=True,
            )
            if (problem := _fault(framed, at, depth, (key, number), bare=bare, boxes=boxes))
            is not None
        ]

    with Prefetcher(
        look, _groups(layout.length), depth=2 * threads, workers=threads, name="gpuio-audit"
    ) as ahead:
        for done, found in ahead:
            problems += found
            if progress is not None:
                progress(done, len(layout.offset))
    return problems


def _groups(length: Int64) -> Iterator[slice]:
    """Cut the records into groups, smaller groups where records are large."""
    first = 0
    while first < len(length):
        sizes = np.cumsum(length[first : first + _AT_ONCE])
        count = max(1, int(np.searchsorted(sizes, _BYTES_AT_ONCE)))
        yield slice(first, first + count)
        first += count


def _holds_bare_images(file: StoredFile, layout: Layout) -> bool:
    """Say whether a file's records are images without a header, by an iterator's rule."""
    count = len(layout.offset)
    if count == 0:
        return False
    table = RecordTable(
        paths=(file.path,),
        sizes=np.array([file.size], np.int64),
        file=np.zeros(count, np.int32),
        offset=layout.offset,
        length=layout.length,
        key=np.arange(count, dtype=np.int64),
        indexed=False,
    )
    try:
        return recognise(table, record_layout="plain").payload == "raw"
    except FormatError:  # of another kind: each record says so
        return False


def _fault(
    framed: memoryview,
    offset: int,
    depth: Depth,
    name: tuple[int | str | None, int],
    *,
    bare: bool,
    boxes: bool,
) -> Problem | None:
    """Return what is wrong with one record, if anything; `name` is its key and its number."""
    kind = "checksum"
    try:
        if depth.sums is not None:
            depth.sums.check(offset, framed)
        if not (depth.headers or depth.images):
            return None
        kind = "record"
        payload = unframe(framed)
        flag, label, _, _, blob = (0, 0, 0, 0, payload) if bare else parse_image_record(payload)
        if len(blob) == 0 and flag >= 2:
            return None  # InsightFace's header and identity records hold no image
        kind = "image"
        info = probe(blob)
        check_format(info, blob)
        check_size(info, depth.max_pixels)
        check_scans(info, MAX_SCANS, depth.max_pixels)
        sound = decodes(blob, info) if depth.images else True
        if not sound:
            decode(blob, 3)
        wrong = box_problem(np.atleast_1d(np.asarray(label, np.float32))) if boxes else ""
    except GpuioError as error:
        return Problem(kind, error.message, name[0], offset, record=name[1])
    if wrong:
        return Problem("label", wrong, name[0], offset, record=name[1])
    if sound is False:
        return Problem("warning", _WARNED, name[0], offset, record=name[1])
    return None
