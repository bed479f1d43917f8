"""Ranges of records: a set cut into pieces that can be read apart, on any machine.

Invariant: the pieces cover every record once, in order, and a piece carries what is needed to read
it: no table of the set.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, OptionError
from gpuio.recordio.index import open_table
from gpuio.recordio.manifest import index_path, manifest_named, read_manifest
from gpuio.recordio.parts import read_part_index
from gpuio.recordio.uri import expand
from gpuio.storage.paths import absolute, divide

__all__ = ["RecordRange", "record_ranges"]

Int64 = npt.NDArray[np.int64]

_RANGE_BYTES = 64 << 20


@attrs.frozen(eq=False)
class RecordRange:
    """Consecutive records of one file, and what is needed to read them without a table.

    Attributes
    ----------
    path : str
    position : int          number of the first one in the set
    first, stop : int       numbers of the records in the file
    size : int              bytes of the records
    offset, length, key : int64[n] or None      where they lie; None: see the file's index
    file_size : int         bytes
    index_crc, tag : int, str       of a manifest's part
    """

    path: str
    position: int
    first: int
    stop: int
    size: int
    file_size: int
    offset: Int64 | None = None
    length: Int64 | None = None
    key: Int64 | None = None
    index_crc: int = 0
    tag: str = ""

    def places(self) -> tuple[Int64, Int64, Int64]:
        """Return offset, length and key of each record, int64[n]."""
        if self.offset is not None:
            assert self.length is not None
            assert self.key is not None
            return self.offset, self.length, self.key
        index = read_part_index(index_path(self.path), self.path, self.file_size)
        if index.crc != self.index_crc:
            raise FormatError(
                "the index is not the one that the manifest was made with: `gpuio manifest` makes "
                "a new manifest",
                path=index_path(self.path),
            )
        rows = np.arange(self.first, self.stop, dtype=np.int64)
        return index.offset(rows), index.length(rows), index.key(rows)


def record_ranges(
    path_imgrec: str | Iterable[str], path_imgidx: str | Iterable[str], pieces: int | None = None
) -> list[RecordRange]:
    """Cut a set into ranges of about the same number of bytes; no range lies in two files.

    Parameters
    ----------
    path_imgrec, path_imgidx : as `ImageRecordIter` has them; path_imgrec may be a manifest, whose
                                parts are not opened
    pieces : int, optional      about how many ranges; None: one per 64 MiB

    Raises
    ------
    OptionError                 `pieces` is below 1; an index is given with a manifest
    StorageError, FormatError   as `open_table` and `read_manifest`
    """
    if pieces is not None and pieces < 1:
        raise OptionError(f"expected at least one range, got {pieces}")
    named = manifest_named(path_imgrec)
    if named is not None:
        if path_imgidx:
            raise OptionError("path_imgidx: has no use with a manifest")
        return list(_of_manifest(absolute(named), pieces))
    paths = expand(path_imgrec, ".rec")
    table = open_table(paths, divide(path_imgidx))
    step = _step(int(table.sizes.sum()), pieces)
    found = []
    bounds = np.searchsorted(table.file, np.arange(len(paths) + 1))
    key = table.key
    for number, path in enumerate(paths):
        low, high = int(bounds[number]), int(bounds[number + 1])
        cuts = _cuts(table.offset[low:high], int(table.sizes[number]), step)
        for first, stop in itertools.pairwise(cuts):
            rows = slice(low + first, low + stop)
            found.append(
                RecordRange(
                    path=absolute(path),
                    position=low + first,
                    first=first,
                    stop=stop,
                    size=int(table.length[rows].sum()),
                    file_size=int(table.sizes[number]),
                    offset=np.array(table.offset[rows]),
                    length=np.array(table.length[rows]),
                    key=np.array(key[rows]),
                )
            )
    return found


def _step(size: int, pieces: int | None) -> int:
    """Return how many bytes a range has, about."""
    return _RANGE_BYTES if pieces is None else max(size // pieces, 1)


def _cuts(offset: Int64, size: int, step: int) -> list[int]:
    """Return the records at which ranges of about `step` bytes begin, and their number."""
    if not len(offset):
        return [0]
    pieces = max(-(-size // step), 1)
    at = np.searchsorted(offset, np.arange(pieces) * size // pieces)
    return [*np.unique(at[at < len(offset)]).tolist(), len(offset)]


def _of_manifest(path: str, wanted: int | None) -> Iterator[RecordRange]:
    """Cut the parts of a manifest; no part is opened for it."""
    manifest = read_manifest(path)
    step = _step(int(manifest.sizes.sum()), wanted)
    for number in range(len(manifest)):
        records, size = int(manifest.records[number]), int(manifest.sizes[number])
        pieces = min(-(-size // step), records)
        for piece in range(pieces):
            first, stop = records * piece // pieces, records * (piece + 1) // pieces
            yield RecordRange(
                path=manifest.paths[number],
                position=int(manifest.first[number]) + first,
                first=first,
                stop=stop,
                size=size * (stop - first) // records,
                file_size=size,
                index_crc=int(manifest.index_crc[number]),
                tag=manifest.tags[number],
            )
