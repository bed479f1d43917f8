"""How many classes the labels of a set have, beside the number that the set states."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError
from gpuio.recordio.framing import HEADER_BYTES, MAGIC, unframe
from gpuio.recordio.header import FORMAT, parse_image_record
from gpuio.recordio.index import RecordTable
from gpuio.storage.files import open_stored
from gpuio.storage.stored import StoredFile

__all__ = ["count_classes", "labels_of"]

_Float32 = npt.NDArray[np.float32]

_AT_ONCE = 1 << 16  # records whose first bytes are held at once
_START = HEADER_BYTES + FORMAT.size
_HEAD = struct.Struct("<IIIf")  # magic, part flag and length, label flag, label


def labels_of(
    table: RecordTable, column: int = 0, advance: Callable[[int, int], None] | None = None
) -> _Float32:
    """Return one label of each record; NaN where a record has no such label or is damaged.

    Parameters
    ----------
    table : RecordTable         of image records
    column : int                which of a record's labels, from 0
    advance : callable(done, total), optional

    Returns
    -------
    float32[N]

    Raises
    ------
    StorageError                a file cannot be read
    """
    made = np.full(len(table), np.nan, np.float32)
    done = 0
    for number, path in enumerate(table.paths):
        rows = np.flatnonzero(table.file == number)
        with open_stored(path) as file:
            for at in range(0, len(rows), _AT_ONCE):
                some = rows[at : at + _AT_ONCE]
                made[some] = _some(file, table.offset[some], table.length[some], column)
                done += len(some)
                if advance is not None:
                    advance(done, len(table))
    return made


def _some(
    file: StoredFile, offset: npt.NDArray[np.int64], length: npt.NDArray[np.int64], column: int
) -> _Float32:
    """Return the labels of some records of a file."""
    want = _START + 4 * (column + 1)
    made = np.full(len(offset), np.nan, np.float32)
    read, unpack, value = file.read, _HEAD.unpack_from, struct.Struct("<f").unpack_from
    places = zip(offset.tolist(), length.tolist(), strict=True)
    for row, (at, size) in enumerate(places):
        head = read(at, min(size, want))
        if len(head) < _START:
            continue
        magic, word, flag, label = unpack(head)
        if magic != MAGIC:
            continue
        if word >> 29:
            made[row] = _joined(file, at, size, column)
        elif flag == 0:
            made[row] = label if column == 0 else np.nan
        elif column < flag and len(head) == want and word >= want - HEADER_BYTES:
            made[row] = value(head, want - 4)[0]
    return made


def _joined(file: StoredFile, offset: int, length: int, column: int) -> float:
    """Return the label of a record of several parts."""
    try:
        _, label, _, _, _ = parse_image_record(unframe(file.read(offset, length)))
    except FormatError:
        return np.nan
    labels = np.atleast_1d(label)
    return float(labels[column]) if column < len(labels) else np.nan


def count_classes(stated: int, labels: _Float32, *, by: str) -> tuple[int, str]:
    """Return how many classes a set has, and what its labels say against the stated number.

    Parameters
    ----------
    stated : int                what the set states
    labels : float32[N]         of its images, those of an identity one after the other
    by : {"property", "identities"}     the file that states it, or identity records that were
                                counted: there an identity that was begun again counts once

    Returns
    -------
    int                         never below the largest label + 1
    str                         "" where both agree
    """
    known = labels[np.isfinite(labels)]
    if len(known) == 0:
        return stated, ""
    largest = int(np.floor(known.max()))
    made, said = stated, f"the file `property` states {stated:,} classes"
    if by == "identities":
        distinct = len(np.unique(known))
        repeated = 1 + int(np.count_nonzero(known[1:] != known[:-1])) - distinct
        made, said = max(stated - repeated, distinct), f"there are {stated:,} identity records"
        said += f" of {distinct:,} labels" if distinct != stated else ""
    made = max(made, largest + 1)
    if stated == largest + 1 == made:
        return made, ""
    return made, f"{said}, and the largest label is {largest:,}: num_classes is {made:,}"
