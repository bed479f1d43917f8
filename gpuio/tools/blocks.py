"""Records of a file some thousand at a time: read together, and looked at in one compiled pass.

Invariant: a record that the pass vouches for is what `gpuio.tools.entries` finds in Python, where
nothing is wrong; all others are left to that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import StorageError
from gpuio.recordio.index import RecordTable
from gpuio.storage.stored import StoredFile

__all__ = ["Block", "read_blocks"]

_Int64 = npt.NDArray[np.int64]

_MOST = 8192  # records of a block
_BYTES = 1 << 20  # of a block, unless one record has more
_LIMIT = 1 << 58  # pixels and scans: none, see `gpuio.pipeline.parse`


@attrs.frozen(eq=False)
class Block:
    """Some records of a file.

    Attributes
    ----------
    rows : int64[n]             of the table
    sound : bool[n]             records that the pass vouches for: they hold a JPEG
    heads : RECORDS[n] or None  what it found, see `gpuio.kernels.records`; None: no pass was made
    memory : uint8[m]           the records as they lie in the file, if there was one
    start : int64[n]            byte of the memory at which each record begins
    bare : bool                 they are images without a header and labels
    """

    rows: _Int64
    sound: npt.NDArray[np.bool_]
    heads: npt.NDArray[np.void] | None = None
    memory: npt.NDArray[np.uint8] = attrs.field(factory=lambda: np.empty(0, np.uint8))
    start: _Int64 = attrs.field(factory=lambda: np.empty(0, np.int64))
    bare: bool = False

    @property
    def _base(self) -> int:
        address: int = self.memory.__array_interface__["data"][0]
        return address

    def column(self, name: str) -> npt.NDArray[np.int64]:
        """Return a whole-number field of the sound records, int64[k]."""
        assert self.heads is not None
        made: _Int64 = self.heads[name][self.sound].astype(np.int64)
        return made

    def label_counts(self) -> npt.NDArray[np.int64]:
        """Return how many labels each sound record has, int64[k]; 0 of bare images."""
        made = self.column("flag")
        return made if self.bare else np.maximum(made, 1)

    def blobs(self) -> Iterator[memoryview]:
        """Yield the encoded image of each sound record."""
        if self.heads is None:
            return
        data = self.memory.data
        starts = (self.column("payload") - self._base).tolist()
        for start, size in zip(starts, self.column("size").tolist(), strict=True):
            yield data[start : start + size]

    def labels(self) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the labels of each sound record, float32[count]; none of bare images."""
        if self.heads is None:
            return
        data = self.memory.data
        single = self.heads["label"][self.sound]
        starts = (self.column("labels") - self._base).tolist()
        for row, (start, count) in enumerate(
            zip(starts, self.column("flag").tolist(), strict=True)
        ):
            if count == 0:
                yield single[row : row + (not self.bare)].copy()
            else:
                yield np.frombuffer(data[start : start + 4 * count], "<f4").copy()

    def first_labels(self) -> npt.NDArray[np.float32]:
        """Return the first label of each sound record, float32[k]."""
        assert self.heads is not None
        made: npt.NDArray[np.float32] = self.heads["label"][self.sound].copy()
        several = np.flatnonzero(self.column("flag"))
        places = (self.column("labels")[several] - self._base)[:, None] + np.arange(4)
        made[several] = self.memory[places].view("<f4")[:, 0]
        return made


def read_blocks(
    file: StoredFile, table: RecordTable, rows: _Int64, ids: _Int64 | None, *, few: bool
) -> Iterator[Block]:
    """Yield the records of some rows of a file's table, in their order.

    Parameters
    ----------
    file : StoredFile
    table : RecordTable         of it
    rows : int64[n]
    ids : int64[N] or None      of bare images; None: they are image records
    few : bool                  they are too few for Numba to be loaded for them

    Yields
    ------
    Block                       without a pass where the file cannot be read: no error is raised
    """
    if few and not _is_loaded():
        yield Block(rows, np.zeros(len(rows), np.bool_))
        return
    at = 0
    while at < len(rows):
        sizes = np.cumsum(table.length[rows[at : at + _MOST]])
        stop = at + max(1, int(np.searchsorted(sizes, _BYTES, side="right")))
        yield _looked_at(file, table, rows[at:stop], ids)
        at = stop


def _is_loaded() -> bool:
    """Whether Numba, and the pass, are loaded."""
    return "gpuio.kernels.records" in sys.modules


def _looked_at(file: StoredFile, table: RecordTable, rows: _Int64, ids: _Int64 | None) -> Block:
    """Return one block."""
    from gpuio.kernels.records import BY_CALLER, OK, RECORDS, read_records

    offset, length = table.offset[rows], table.length[rows]
    try:
        memory, start = file.read_packed(offset, length, lambda size: np.empty(size, np.uint8))
    except StorageError:  # the record that it is of is to be named
        return Block(rows, np.zeros(len(rows), np.bool_))
    heads = np.zeros(len(rows), RECORDS)
    block = Block(rows, heads["status"] == OK, heads, memory, start, ids is not None)
    read_records(
        start + block._base,  # noqa: SLF001 -- its own module
        length,
        ids is not None,
        (length if ids is None else ids[rows]).view(np.uint64),
        np.array([BY_CALLER, 0, 0, 0, 0], np.int64),
        _LIMIT,
        _LIMIT,
        False,
        heads,
        np.empty((len(rows), 0), np.float32),
        np.zeros(len(rows), np.int64),
        np.empty((3, len(rows)), np.int64),
        np.empty((3, len(rows)), np.int32),
    )
    return attrs.evolve(block, sound=heads["status"] == OK)
