"""Parts: how the records of one or several files are divided among readers.

Without an index the files' bytes are divided, so that parts differ in their number of records; with
one the records are.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Table", "byte_positions", "chunk_starts", "part", "part_lengths"]

_CHUNK_WORDS = 2 << 20  # of 4 bytes: MXNet's read buffer, 8 MiB
_HEAD_BYTES = 8  # magic and length: a head must lie in the buffer whole to be found


class Table(Protocol):
    """What is used of a record table; records stand in order of file, then offset."""

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """int64[F], bytes of each file."""

    @property
    def file(self) -> npt.NDArray[np.integer]:
        """int[N], the file of each record."""

    @property
    def offset(self) -> npt.NDArray[np.int64]:
        """int64[N], the record's first byte in its file."""

    @property
    def indexed(self) -> bool:
        """Whether the records come from an index."""


def byte_positions(table: Table) -> npt.NDArray[np.int64]:
    """Return each record's first byte, counted from the start of the first file, int64[N].

    Of one file they are the table's own offsets, which are not copied.
    """
    if len(table.sizes) == 1:
        return table.offset
    starts = np.concatenate([[0], np.cumsum(table.sizes)[:-1]]).astype(np.int64)
    found: npt.NDArray[np.int64] = starts[table.file] + table.offset
    return found


def part(
    table: Table,
    num_parts: int,
    part_index: int,
    indexed: bool | None = None,
    places: npt.NDArray[np.int64] | None = None,
) -> slice:
    """Return the rows of the record table that one part holds.

    Parameters
    ----------
    table : RecordTable
    num_parts, part_index : int     0 <= part_index < num_parts
    indexed : bool, optional        divide records (true) or bytes (false); the table's own if None
    places : int64[N], optional     `byte_positions(table)`, where it is at hand

    Returns
    -------
    slice       ``start <= stop``, step 1; empty where a part has no record

    Notes
    -----
    As in MXNet, by bytes a record belongs to the part whose range its first byte lies in, and the
    ranges are whole multiples of four bytes.
    """
    if table.indexed if indexed is None else indexed:
        count = len(table.offset)
        step = -(-count // num_parts)
        return slice(min(part_index * step, count), min((part_index + 1) * step, count))
    total = int(table.sizes.sum())
    step = (total + 4 * num_parts - 1) // (4 * num_parts) * 4
    bounds = np.array([step * part_index, step * (part_index + 1)], np.int64)
    low, high = np.searchsorted(byte_positions(table) if places is None else places, bounds)
    return slice(int(low), int(high))


def part_lengths(table: Table, num_parts: int) -> list[int]:
    """Return how many records each of MXNet's parts holds."""
    places = None if table.indexed else byte_positions(table)
    rows = (part(table, num_parts, index, places=places) for index in range(num_parts))
    return [one.stop - one.start for one in rows]


def chunk_starts(places: npt.NDArray[np.int64], low: int, high: int, end: int) -> list[int]:
    """Cut a part into the chunks in which MXNet reads it.

    Parameters
    ----------
    places : int64[N]       first byte of every record, ascending
    low, high : int         the part's rows
    end : int               the byte after the part

    Returns
    -------
    list of int             the first row of each chunk, then `high`; [high] for an empty part

    Notes
    -----
    A chunk is what a buffer of 8 MiB holds up to the last head that lies in it whole; the buffer
    grows until it holds one record.
    """
    starts = [low] if low < high else []
    first = low
    while first < high:
        begin, words = int(places[first]), _CHUNK_WORDS
        following = first
        while following <= first and end - begin >= words * 4:
            last = begin + words * 4 - _HEAD_BYTES
            following = int(np.searchsorted(places, last, side="right")) - 1
            words = 2 * words + 1
        if following <= first:
            break
        first = following
        if first < high:
            starts.append(first)
    return [*starts, high]
