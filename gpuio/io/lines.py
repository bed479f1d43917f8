"""Lines: find where the rows of text files begin, and read some of them.

The files are scanned once, at construction, and 8 bytes per row are kept; the text is read again
when a batch needs it. So any row is found at once, and files may be larger than memory.
"""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, OptionError
from gpuio.forking import working
from gpuio.recordio.fingerprint import sampled_file, some
from gpuio.recordio.uri import expand
from gpuio.storage.files import open_stored
from gpuio.storage.stored import StoredFile

__all__ = ["LinePair", "Lines", "runs"]

_BLOCK = 8 << 20  # bytes scanned at once
_BOM = b"\xef\xbb\xbf"


class Lines:
    """The rows of some text files in their order, or those of one part of them.

    Parameters
    ----------
    uri : str                       as `gpuio.recordio.uri.expand` takes it
    comments : bool                 leave out blank lines and lines that begin with #
    num_parts, part_index : int     0 <= part_index < num_parts; parts have about equal bytes; their
                                    borders are moved to the next beginning of a row

    Attributes
    ----------
    first_row : int                 number of the first row here among the rows of all parts

    Raises
    ------
    StorageError, EmptyDatasetError     missing, unreadable or empty files
    OptionError                         the part does not exist
    """

    def __init__(
        self, uri: str, *, comments: bool = False, num_parts: int = 1, part_index: int = 0
    ) -> None:
        if not 0 <= part_index < num_parts:
            raise OptionError(
                f"part_index={part_index}, num_parts={num_parts}: expected 0 <= part_index < "
                "num_parts"
            )
        self._files = [open_stored(path) for path in expand(uri)]
        sizes = np.cumsum([0] + [file.size for file in self._files])
        step = -(-int(sizes[-1]) // num_parts)
        low, high = (min(step * k, int(sizes[-1])) for k in (part_index, part_index + 1))
        self._starts = []
        self.first_row = 0
        for file, before in zip(self._files, sizes.tolist(), strict=False):
            starts = _scan(file, comments=comments)
            # a row that begins just at a part's border belongs to the part before, as in MXNet,
            # unless a file begins there
            first = np.searchsorted(starts, low - before, "left" if low <= before else "right")
            stop = np.searchsorted(starts, high - before, "left" if high <= before else "right")
            self._starts.append(starts[first:stop])
            self.first_row += int(first)
        self._before = np.cumsum([0] + [len(starts) for starts in self._starts]).tolist()

    def __len__(self) -> int:
        return int(self._before[-1])

    def read(self, first: int, stop: int) -> list[tuple[int, npt.NDArray[Any], npt.NDArray[Any]]]:
        """Return the text of rows [first, stop), one piece per file.

        Returns
        -------
        list of (row, text, starts)
            number of the piece's first row; uint8[n], from that row's beginning to the last row's
            end or beyond; int64[rows], where the rows begin in `text`
        """
        pieces = []
        while first < stop:
            which = bisect.bisect_right(self._before, first) - 1
            file, starts, before = self._files[which], self._starts[which], self._before[which]
            last = min(stop, self._before[which + 1])
            begin, count = int(starts[first - before]), last - first
            end = int(starts[last - before]) if last - before < len(starts) else file.size
            text = np.frombuffer(file.read(begin, end - begin), np.uint8)
            file.check_contents()  # after the read: the offsets are those of the text
            pieces.append((first, text, starts[first - before :][:count] - begin))
            first = last
        return pieces

    def check_unchanged(self) -> None:
        """Raise StorageError if a file is no longer what was scanned."""
        for file in self._files:
            file.check_unchanged()

    def place(self, row: int) -> dict[str, Any]:
        """Return a row's file and byte offset, for errors."""
        which = bisect.bisect_right(self._before, row) - 1
        offset = int(self._starts[which][row - self._before[which]])
        return {"path": self._files[which].path, "key": row, "offset": offset}

    def digest(self) -> int:
        """Return a number by which a state knows these rows again: see `sampled_file`."""
        rows = [self.place(row) for row in some(len(self))]
        made = 0
        for file in self._files:
            offsets = [place["offset"] for place in rows if place["path"] == file.path]
            made = sampled_file(file, offsets, made)
        return made

    def close(self) -> None:
        """Close the files; may be called twice."""
        for file in self._files:
            file.close()


def _scan(file: StoredFile, *, comments: bool) -> npt.NDArray[np.int64]:
    """Return the offsets at which a file's rows begin."""
    with working:
        from gpuio.kernels.text import find_rows

    at = len(_BOM) if file.read(0, min(3, file.size)) == _BOM else 0
    state = np.array([0, at])
    room = np.empty(_BLOCK // 2 + 1, np.int64)
    found = []
    while at < file.size:
        block = file.read(at, min(_BLOCK, file.size - at))
        count = find_rows(np.frombuffer(block, np.uint8), at, state, room, comments)
        found.append(room[:count].copy())
        at += len(block)
    return np.concatenate([*found, np.empty(0, np.int64)])


class LinePair:
    """Rows of data and of labels that are read from text.

    Parameters
    ----------
    data : object with `lines`, a Lines
    labels : the same, or None      where the data hold the labels
    """

    _data: Any
    _labels: Any

    def __init__(self, data: Any, labels: Any) -> None:
        self._data, self._labels = data, labels

    def __len__(self) -> int:
        return len(self._data.lines)

    def _require(self, rows: npt.NDArray[np.int64], labels: str, data: str) -> None:
        """Raise FormatError, with the names of the options, unless all rows have labels."""
        lines: Lines = self._labels.lines
        have = len(lines)
        if len(rows) and rows.max() >= have:
            raise FormatError(
                f"{labels} holds {have} rows, {data} {len(self)}: every row needs a label",
                **lines.place(have - 1) if have else {},
            )

    def digest(self) -> list[int | None]:
        """Return the numbers by which a state knows the files again, of data and labels."""
        labels = None if self._labels is None else self._labels.lines.digest()
        return [self._data.lines.digest(), labels]

    def check_unchanged(self) -> None:
        """Raise StorageError if a file changed since it was scanned."""
        for one in (self._data, self._labels):
            if one is not None:
                one.lines.check_unchanged()

    def close(self) -> None:
        """Close the files."""
        for one in (self._data, self._labels):
            if one is not None:
                one.lines.close()


def runs(rows: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the (first, stop) of the stretches of consecutive numbers in `rows`."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    if not len(breaks):
        return [(int(rows[0]), int(rows[-1]) + 1)] if len(rows) else []
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(rows, breaks)]
