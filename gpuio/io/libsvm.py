"""LibSVMIter: sparse rows in text files.

Invariant: a row is read when a batch needs it; only the offsets of rows are kept.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, OptionError
from gpuio.io.base import DataDesc
from gpuio.io.lines import LinePair, Lines, runs
from gpuio.io.number import strtof_at
from gpuio.io.rows import RowIter, row_shape
from gpuio.nd import Context, host_array
from gpuio.nd.context import on_host
from gpuio.nd.sparse import CSRNDArray
from gpuio.options import convert
from gpuio.options.declare import convert_option
from gpuio.storage.paths import absolute_uri

__all__ = ["LibSVMIter"]


class LibSVMIter(RowIter):
    """Iterate over the rows of libSVM files, in their order.

    A batch holds ``data[0]``, a `CSRNDArray` (batch_size, columns) of float32 on the host;
    ``label[0]``, float32 (batch_size,) from the rows' first column, or a `CSRNDArray` (batch_size,
    label columns) from a file of labels; ``pad``; and ``index``, uint64 (batch_size,), row numbers
    within the part.

    Parameters
    ----------
    data_libsvm : str               a file; several separated by ";"; a directory; a regular
                                    expression as the last part of the path
    data_shape : (columns,)
    batch_size : int                >= 1
    label_libsvm : str, default "NULL"
        file of labels, one sparse row per row of data; its first column is not used
    label_shape : tuple of int      with label_libsvm: its product is the number of columns, > 1;
                                    without: (1,)
    num_parts, part_index : int     read one of `num_parts` parts of about equal bytes, cut between
                                    rows
    round_batch : bool              the last batch is filled with the part's first rows, and the
                                    next epoch begins after them; False is an error, as in MXNet
    prefetch_buffer : int           batches made ahead on a thread; 0: no thread
    ctx : "cpu" or Context          sparse batches stay on the host
    dtype : "float32" or None
    data_name, label_name : str     names in provide_data and provide_label

    Raises
    ------
    OptionError                     an option out of its range, or too few rows to fill a batch
    StorageError, EmptyDatasetError     missing, unreadable or empty files
    FormatError                     from ``next()``: a malformed row, or an index outside the shape

    Notes
    -----
    A row is ``label[:weight] [qid:number] index[:value] ...``; indices begin at **zero**; an index
    without a value has the value 1; ``#`` begins a comment; blank lines and lines of comments are
    skipped. Weights and qid are ignored.

    MXNet 1.9.1 does not check indices (and returns garbage), fails or crashes if values are left
    out, and reads words that it does not understand as something else. In gpuio these are errors,
    except for values left out. MXNet divides the file of labels by its own bytes, so that labels
    and data of a part may not belong together; in gpuio they do. MXNet's float parser may be 1 or 2
    units in the last place away.
    """

    def __init__(
        self,
        *,
        data_libsvm: str,
        data_shape: Any,
        batch_size: int,
        label_libsvm: str = "NULL",
        label_shape: Any = (1,),
        num_parts: int = 1,
        part_index: int = 0,
        round_batch: bool = True,
        prefetch_buffer: int = 4,
        ctx: str | Context = "cpu",
        dtype: Any = None,
        data_name: str = "data",
        label_name: str = "softmax_label",
    ) -> None:
        data_libsvm = absolute_uri(str(data_libsvm))
        if label_libsvm != "NULL":
            label_libsvm = absolute_uri(str(label_libsvm))
        given = {name: value for name, value in locals().items() if name in _OPTIONS}
        size = convert_option("batch_size", convert.positive, batch_size)
        shape = convert_option("data_shape", row_shape, data_shape)
        width = math.prod(convert_option("label_shape", row_shape, label_shape))
        parts = {
            "num_parts": convert_option("num_parts", convert.positive, num_parts),
            "part_index": convert_option("part_index", convert.integer(0), part_index),
        }
        _check(shape, width, label_libsvm, ctx, dtype)
        if not convert_option("round_batch", convert.switch, round_batch):
            raise OptionError("round_batch=False is not supported by LibSVMIter: use True")
        data = _Sparse(data_libsvm, shape[0], **parts)
        labels = None if label_libsvm == "NULL" else _Sparse(label_libsvm, width)
        super().__init__(
            _Pair(data, labels),
            batch_size=size,
            last_batch="borrow",
            prefetch_buffer=prefetch_buffer,
            ctx=ctx,
            data=DataDesc(data_name, (size, *shape), np.float32),
            label=DataDesc(label_name, (size,) if labels is None else (size, width), np.float32),
            identity={**parts, "data_shape": list(shape)},
            given=given,
        )


_OPTIONS = frozenset(inspect.signature(LibSVMIter).parameters)


def _check(
    shape: tuple[int, ...], width: int, label_libsvm: str, ctx: str | Context, dtype: Any
) -> None:
    """Raise OptionError for what libSVM batches do not support."""
    if len(shape) != 1:
        raise OptionError(f"data_shape={shape}: rows of LibSVMIter have one length, (columns,)")
    if label_libsvm == "NULL" and width != 1:
        raise OptionError(
            f"label_shape holds {width} values: labels from the data's first column have one; "
            "name a file of labels, label_libsvm"
        )
    if label_libsvm != "NULL" and width == 1:
        raise OptionError("label_shape holds 1 value: labels from label_libsvm have several")
    on_host(ctx, "sparse batches")
    if dtype not in (None, "None") and np.dtype(dtype) != np.float32:
        raise OptionError(f"dtype={np.dtype(dtype).name}: LibSVMIter gives float32 only")


@attrs.frozen(eq=False)
class _Piece:
    """Some rows: their labels, and their entries as CSR."""

    labels: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]


class _Sparse:
    """The rows of some libSVM files."""

    def __init__(self, uri: str, columns: int, *, num_parts: int = 1, part_index: int = 0) -> None:
        self.lines = Lines(uri, comments=True, num_parts=num_parts, part_index=part_index)
        self._columns = columns

    def read(
        self, rows: npt.NDArray[np.int64], size: int
    ) -> tuple[npt.NDArray[np.float32], CSRNDArray]:
        """Return labels float32[size] and entries (size, columns), zeros after the rows."""
        pieces = [
            self._parse(*one) for first, stop in runs(rows) for one in self.lines.read(first, stop)
        ]
        labels, indptr = np.zeros(size, np.float32), np.zeros(size + 1, np.int64)
        labels[: len(rows)] = np.concatenate([piece.labels for piece in pieces])
        indptr[1 : len(rows) + 1] = np.concatenate([piece.counts for piece in pieces])
        values = np.concatenate([piece.values for piece in pieces])
        indices = np.concatenate([piece.indices for piece in pieces])
        return labels, CSRNDArray(values, indices, np.cumsum(indptr), (size, self._columns))

    def _parse(self, row: int, text: npt.NDArray[Any], starts: npt.NDArray[Any]) -> _Piece:
        from gpuio.kernels.text import read_pairs

        # an entry has at least two characters, an index and a blank
        room = len(text) // 2 + 1
        labels, bounds = np.empty(len(starts), np.float32), np.empty(len(starts) + 1, np.int64)
        indices, values = np.empty(room, np.int64), np.empty(room, np.float32)
        odd = np.empty((room + len(starts) + 1, 2), np.int64)
        bad = read_pairs(text, starts, labels, bounds, indices, values, odd)
        if bad >= 0:
            self._fail(row + int(np.searchsorted(starts, bad, "right")) - 1, text, bad)
        for entry, offset in odd[1 : odd[0, 0] + 1].tolist():
            number = strtof_at(text, offset)
            if entry < 0:
                labels[-1 - entry] = number
            else:
                values[entry] = number
        indices, values = indices[: bounds[-1]], values[: bounds[-1]]
        past = np.flatnonzero(indices >= self._columns)
        if len(past):
            place = self.lines.place(row + int(np.searchsorted(bounds, past[0], "right")) - 1)
            raise FormatError(
                f"row {place['key']} has index {indices[past[0]]}, the shape has "
                f"{self._columns} columns, and indices begin at 0",
                **place,
            )
        return _Piece(labels, np.diff(bounds), indices, values)

    def _fail(self, row: int, text: npt.NDArray[Any], at: int) -> None:
        word = text[at : at + 20].tobytes().split(b"\n")[0]
        place = self.lines.place(row)
        raise FormatError(
            f"row {row}: expected a number at {word!r}; a row is 'label index:value ...'", **place
        )


class _Pair(LinePair):
    """The data and labels of some rows."""

    _data: _Sparse
    _labels: _Sparse | None

    def make(self, rows: npt.NDArray[np.int64], size: int) -> tuple[Any, Any, Any]:
        """Return data, label and index of a batch."""
        first, data = self._data.read(rows, size)
        index = np.zeros(size, np.uint64)
        index[: len(rows)] = rows
        if self._labels is None:
            return data, host_array(first), host_array(index)
        rows = rows + self._data.lines.first_row  # the labels are not divided into parts
        self._require(rows, "label_libsvm", "data_libsvm")
        return data, self._labels.read(rows, size)[1], host_array(index)
