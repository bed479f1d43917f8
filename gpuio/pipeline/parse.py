"""A batch of records off the disk in one compiled pass; what it cannot vouch for is listed.

Invariant: a row that is not listed is what the way through Python (`RecordReader.read`) makes of
it, and that raises nothing for it. A listed row is to be read there, from its framed bytes, so that
every error keeps its wording and its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.backend import Encoded
from gpuio.backend.pool import HostPool
from gpuio.cache.store import HEADS, Found
from gpuio.decode.formats import HEADER
from gpuio.errors import GpuioError
from gpuio.recordio.checksum import Checksums
from gpuio.recordio.index import RecordTable
from gpuio.storage.stored import StoredFile
from gpuio.tasks.task import Labels

__all__ = [
    "BatchParser",
    "FramedRecords",
    "ParsedBatch",
    "read_framed",
]

_Int64 = npt.NDArray[np.int64]
_Labels = npt.NDArray[np.float32]

# bytes of a batch: below, memory costs no page faults; above, they cost little beside the images
_SMALL, _LARGE = 128 << 10, 32 << 20
_KEPT = 4  # pieces of memory of a size that are free: one that is read into, others ahead

_NONE = np.zeros(0, np.int64)
_HEADER_BYTES = np.dtype(f"V{HEADER.itemsize}")
_LARGEST = 1 << 58  # what the kernel may be told as a limit: no image comes near it


@attrs.frozen(eq=False)
class FramedRecords:
    """Records of a batch as they lie in the files.

    Attributes
    ----------
    buffers : list of uint8[n]  what was read, C order
    number : int64[B]           the buffer in which each record lies
    start : int64[B]            byte of the buffer at which its first header is
    length : int64[B]           bytes, framing included; -1 for a row without a record
    address : int64[B]          of the first header in memory; 0 for a row without a record
    files : list of int         the file of each buffer
    """

    buffers: list[npt.NDArray[np.uint8]]
    number: _Int64
    start: _Int64
    length: _Int64
    files: list[int] = attrs.field(factory=lambda: [0])
    address: _Int64 = attrs.field(init=False)

    @address.default
    def _place(self) -> _Int64:
        if not self.buffers:
            return np.zeros_like(self.start)
        bases = [buffer.__array_interface__["data"][0] for buffer in self.buffers]
        first = bases[0] if len(bases) == 1 else np.array(bases, np.int64)[self.number]
        address: _Int64 = self.start + first
        address[self.length < 0] = 0
        return address

    def rows(self, first: int, stop: int) -> FramedRecords:
        """Return rows first .. stop-1."""
        part = slice(first, stop)
        return FramedRecords(
            self.buffers, self.number[part], self.start[part], self.length[part], self.files
        )

    def filled(self, other: FramedRecords) -> FramedRecords:
        """Return the same with another's records in the rows that have none."""
        empty = self.length < 0
        return FramedRecords(
            [*self.buffers, *other.buffers],
            np.where(empty, other.number + len(self.buffers), self.number),
            np.where(empty, other.start, self.start),
            np.where(empty, other.length, self.length),
            [*self.files, *other.files],
        )

    def record(self, row: int) -> memoryview:
        """Return the bytes of a row's record, framing included."""
        start = int(self.start[row])
        memory: memoryview = self.buffers[self.number[row]].data
        return memory[start : start + int(self.length[row])]


def read_framed(
    table: RecordTable,
    files: Sequence[StoredFile],
    positions: _Int64,
    allocate: Callable[[int], npt.NDArray[np.uint8]],
) -> FramedRecords:
    """Read the records at `positions` of a table; -1 is a row without a record.

    Parameters
    ----------
    allocate : callable     as of `StoredFile.read_packed`

    Raises
    ------
    StorageError        a file could not be read
    """
    number = np.zeros(len(positions), np.int64)
    if len(files) == 1 and not (positions < 0).any():
        length = table.length[positions]
        memory, start = files[0].read_packed(table.offset[positions], length, allocate)
        return FramedRecords([memory], number, start, length)
    start, length = np.zeros((2, len(positions)), np.int64)
    present = np.flatnonzero(positions >= 0)
    read: list[npt.NDArray[np.uint8]] = []
    of_read: list[int] = []
    length[:] = -1
    of_file = table.file[positions[present]]
    for which in np.unique(of_file).tolist():
        rows = present[of_file == which]
        at = positions[rows]
        number[rows], length[rows] = len(read), table.length[at]
        memory, start[rows] = files[which].read_packed(table.offset[at], length[rows], allocate)
        read.append(memory)
        of_read.append(which)
    return FramedRecords(read, number, start, length, of_read)


@attrs.frozen(eq=False)
class ParsedBatch:
    """A batch's records in memory, and what they say of themselves.

    Attributes
    ----------
    rows : RECORDS[B]           see `kernels.records`; addresses hold as long as `framed` does
    labels : float32[B, columns]
    index : uint64[B]           ids
    wrong : int64[j]            ascending: rows whose labels were taken, though boxes are wrong
    rest : int64[k]             ascending: rows whose record must be read in Python. But for their
                                status they are as rows without a record: zeros, and `no_label`
    framed : FramedRecords      the records' bytes; a row that was found in a cache has none
    spots : int64[3, B]         where the images lie: bytes behind their records' first ones, bytes,
                                addresses; 0, -1 and 0 where there is none
    sizes : int32[3, B]         heights and widths of the images as they are to be planned, and EXIF
                                orientation still to apply; 0, 0 and 1 where there is none
    found : Found or None       what was found in a cache
    """

    rows: npt.NDArray[np.void]
    labels: _Labels
    index: npt.NDArray[np.uint64]
    spots: _Int64
    sizes: npt.NDArray[np.int32]
    wrong: _Int64
    rest: _Int64
    framed: FramedRecords
    found: Found | None = None

    @property
    def headers(self) -> npt.NDArray[np.void]:
        """The images' headers, HEADER[B], C order, of this moment; zeros where there is none."""
        from gpuio.kernels.records import RECORDS

        assert RECORDS.fields is not None
        begin = RECORDS.fields["kind"][1]  # the first of HEADER
        lines = self.rows.view(np.uint8).reshape(len(self.rows), RECORDS.itemsize)
        # copied field by field they take three times as long
        whole = lines[:, begin : begin + HEADER.itemsize].view(_HEADER_BYTES)[:, 0]
        return whole.copy().view(HEADER)

    def encoded(self) -> Encoded:
        """Return the images; rows of `rest` and those without a record have none."""
        framed, (before, length, address) = self.framed, self.spots
        start = framed.start + before
        if self.found is not None:
            start[self.found.hits] = length[self.found.hits] = address[self.found.hits] = 0
        made = Encoded(
            [buffer.data for buffer in framed.buffers],
            framed.number.copy(),
            start,
            length,
            address,
            self.headers,
        )
        return made if self.found is None else attrs.evolve(made, decoded=self.found.pixels)

    @property
    def heads(self) -> npt.NDArray[np.void]:
        """What stands in front of the images in memory, HEADS[B]; zeros where that is not known."""
        made = np.zeros(len(self.rows), HEADS)
        read = (self.rows["status"] == 0) & (self.framed.length >= 0)
        if self.found is not None:
            read &= ~self.found.hits
        made["address"] = np.where(read, self.framed.address, 0)
        made["size"] = np.where(read, self.rows["payload"] - self.framed.address, 0)
        made["length"] = np.where(read, made["size"] + self.rows["size"], 0)
        return made


class BatchParser:
    """Read batches of records in one pass each.

    Parameters
    ----------
    table, files, labels, raw_ids, checksums : as `RecordReader`
    max_pixels, max_scans : int     limits, as `check_size` and `check_scans` take them
    upright : bool                  EXIF orientations are to be applied
    note : callable, optional       told of each read: seconds, and the records
    """

    def __init__(
        self,
        table: RecordTable,
        files: Sequence[StoredFile],
        labels: Labels,
        *,
        max_pixels: int,
        max_scans: int,
        raw_ids: _Int64 | None = None,
        checksums: Sequence[Checksums] | None = None,
        upright: bool = False,
        note: Callable[[float, FramedRecords], None] | None = None,
    ) -> None:
        self._table, self._files, self._labels = table, files, labels
        self._note = note
        self._rule = labels.rule()
        self._limits = min(max_pixels, _LARGEST), min(max_scans, _LARGEST)
        self._raw_ids, self._checksums, self._upright = raw_ids, checksums, upright
        self._pool = HostPool(_KEPT)

    def _allocate(self, nbytes: int) -> npt.NDArray[np.uint8]:
        """Return memory for encoded bytes; batches differ a little in size, and use the same."""
        if not _SMALL <= nbytes <= _LARGE:
            return np.empty(nbytes, np.uint8)
        size = 1 << (nbytes - 1).bit_length()  # what is not written to takes no memory
        return np.asarray(self._pool.array((size,), "uint8"))[:nbytes]

    def framed(self, positions: _Int64) -> FramedRecords:
        """Read the records at `positions` as they lie in the files: see `read_framed`."""
        begun = time.perf_counter()
        framed = read_framed(self._table, self._files, positions, self._allocate)
        if self._note is not None:
            self._note(time.perf_counter() - begun, framed)
        return framed

    def parse(
        self, positions: _Int64, framed: FramedRecords | None = None, found: Found | None = None
    ) -> ParsedBatch:
        """Read the records at `positions` of the table; -1 is a row without a record.

        Parameters
        ----------
        positions : int64[B]
        framed : FramedRecords, optional    of these positions, where they were read before
        found : Found, optional     records that need not be read

        Raises
        ------
        StorageError        a file could not be read
        """
        from gpuio.kernels.records import ABSENT, BY_CALLER, RECORDS, read_records

        if framed is None:
            framed = self.framed(
                positions if found is None else np.where(found.hits, -1, positions)
            )
        address, length, facts = framed.address, framed.length, np.zeros(len(positions), np.int64)
        if found is not None:
            facts = found.facts
            address = np.where(facts != 0, found.heads, address)
            length = np.where(facts != 0, found.lengths, length)
        count, no_label = len(positions), self._labels.no_label
        rows, labels = np.zeros(count, RECORDS), np.empty((count, len(no_label)), np.float32)
        labels[:] = no_label
        spots, sizes = np.empty((3, count), np.int64), np.empty((3, count), np.int32)
        raw, by_caller = self._raw_ids is not None, self._rule[0] == BY_CALLER
        ids = self._raw_ids[positions] if self._raw_ids is not None else framed.length
        refused, wrong = read_records(
            address,
            length,
            raw,
            ids.view(np.uint64),
            self._rule,
            *self._limits,
            self._upright,
            rows,
            labels,
            facts,
            spots,
            sizes,
        )
        if self._checksums is not None:
            self._check(framed, rows, positions)
        if by_caller:
            self._take_listed(rows, labels, ids if raw else rows["id"])
        rest = _NONE
        if refused or by_caller or self._checksums is not None:
            rest = np.flatnonzero(rows["status"] > ABSENT)
        if found is not None and (facts[rest] != 0).any():  # its label is for Python: all of it is
            lost = np.zeros(count, np.bool_)
            lost[rest] = True
            return self.parse(positions, None, found.without(lost))
        if len(rest):
            marks = rows["status"][rest]
            rows[rest] = 0
            rows["status"][rest] = marks
            labels[rest] = no_label
            spots.T[rest], sizes.T[rest] = (0, -1, 0), (0, 0, 1)
        flawed = np.flatnonzero(rows["wrong"]) if wrong else _NONE  # those of `rest` are 0 by now
        index = rows["id"].copy()
        return ParsedBatch(rows, labels, index, spots, sizes, flawed, rest, framed, found)

    def _check(self, framed: FramedRecords, rows: npt.NDArray[np.void], positions: _Int64) -> None:
        """Mark the records that are not what their checksums were made of."""
        from gpuio.kernels.records import FRAMING

        assert self._checksums is not None
        table = self._table
        for row in np.flatnonzero(framed.length >= 0).tolist():
            at = positions[row]
            try:
                self._checksums[table.file[at]].check(int(table.offset[at]), framed.record(row))
            except GpuioError:
                rows["status"][row] = FRAMING

    def _take_listed(
        self, rows: npt.NDArray[np.void], labels: _Labels, ids: npt.NDArray[Any]
    ) -> None:
        """Fill in labels from a list; mark the records that it has none for."""
        from gpuio.kernels.records import LABEL, OK

        good = np.flatnonzero(rows["status"] == OK)
        made = labels[good]
        refused = self._labels.take_listed(made, ids[good].tolist())
        labels[good] = made
        rows["status"][good[refused]] = LABEL
