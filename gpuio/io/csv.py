"""CSVIter: rows of numbers in text files.

Invariant: a row is read when a batch needs it; only the offsets of rows are kept.
"""

from __future__ import annotations

import inspect
import logging
import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, OptionError
from gpuio.io.base import DataDesc
from gpuio.io.lines import LinePair, Lines, runs
from gpuio.io.number import strtof_at
from gpuio.io.rows import RowIter, row_shape
from gpuio.nd import Context, host_array
from gpuio.options import convert
from gpuio.options.declare import convert_option
from gpuio.storage.paths import absolute_uri

__all__ = ["CSVIter"]

_log = logging.getLogger("gpuio")

_DTYPES = ("float32", "int32", "int64")


class CSVIter(RowIter):
    """Iterate over the rows of CSV files, in their order.

    A batch holds ``data[0]``, (batch_size,) + data_shape; ``label[0]``, (batch_size,), or
    (batch_size,) + label_shape if a label has several values; ``pad``; and ``index``, uint64
    (batch_size,), row numbers from 0.

    Parameters
    ----------
    data_csv : str
        A file; several separated by ";"; a directory; a regular expression as the last part of the
        path. After it ``?delimiter=;`` (or another character), ``?label_column=k`` or
        ``?weight_column=k``, which leave a column out, separated by "&".
    data_shape : tuple of int       of one row; its product is the number of values a row must have
    batch_size : int                >= 1
    label_csv : str, default "NULL" file of labels, one row per row of data; none: labels are 0
    label_shape : tuple of int      of one label; without label_csv it has no effect, as in MXNet
    round_batch : bool
        True: the last batch is filled with the file's first rows, and the next epoch begins after
        them. False: it is filled with zeros. In both cases `pad` counts these rows.
    prefetch_buffer : int           batches made ahead on a thread; 0: no thread
    ctx : "cpu", "gpu" or Context   the device of the batches
    dtype : "float32", "int32", "int64" or None, which is float32
        of data and labels
    data_name, label_name : str     names in provide_data and provide_label

    Raises
    ------
    OptionError                     an option out of its range, or too few rows to fill a batch
    StorageError, EmptyDatasetError     missing, unreadable or empty files
    FormatError                     from ``next()``: a row of another length, or without a label
    StorageError                    from ``next()``: a file changed while it was open

    Notes
    -----
    Rows end at LF, CR or both; empty lines and a byte-order mark are skipped. A field's value is
    the number at its beginning, as C's strtof reads it (spaces before it, exponents, nan, inf,
    hexadecimal), rounded to nearest; for int dtypes as strtoll reads it with base 0 (``0x10`` is
    16, ``010`` is 8, ``1.9`` is 1; saturated to 64 bits; int32 keeps the low 32; the first number
    that does not fit is said in the log, logger gpuio, WARNING). What follows the number in its
    field is ignored. A field without a number has no value, so headers and empty fields are errors,
    raised at their batch.

    MXNet 1.9.1 reads floats with a parser of its own: its values may be 1 or 2 units in the last
    place away, and numbers below 1e-37 or above 1e38 are wrong. It reads ``.``, ``-`` or ``e`` as
    0, and a field of spaces at the end of a line as the next line's first number; in gpuio such a
    field has no number. If label_shape begins with 1, MXNet keeps one value. With round_batch=False
    MXNet leaves rows of the batch before, or uninitialised memory; gpuio writes zeros, also in
    `index`.
    """

    def __init__(
        self,
        *,
        data_csv: str,
        data_shape: Any,
        batch_size: int,
        label_csv: str = "NULL",
        label_shape: Any = (1,),
        round_batch: bool = True,
        prefetch_buffer: int = 4,
        ctx: str | Context = "cpu",
        dtype: Any = None,
        data_name: str = "data",
        label_name: str = "softmax_label",
    ) -> None:
        data_csv, label_csv = _absolute(data_csv), _absolute(label_csv)
        given = {name: value for name, value in locals().items() if name in _OPTIONS}
        kind = _dtype(dtype)
        size = convert_option("batch_size", convert.positive, batch_size)
        shape = convert_option("data_shape", row_shape, data_shape)
        last_batch = (
            "borrow" if convert_option("round_batch", convert.switch, round_batch) else "pad"
        )
        labels, of_label = None, ()
        data = _Table(data_csv, shape, kind)
        if label_csv != "NULL":
            of_label = convert_option("label_shape", row_shape, label_shape)
            of_label = () if math.prod(of_label) == 1 else of_label
            labels = _Table(label_csv, of_label, kind)
        super().__init__(
            _Pair(data, labels),
            batch_size=size,
            last_batch=last_batch,
            prefetch_buffer=prefetch_buffer,
            ctx=ctx,
            data=DataDesc(data_name, (size, *shape), kind),
            label=DataDesc(label_name, (size, *of_label), kind),
            identity={"round_batch": last_batch == "borrow", "data_shape": list(shape)},
            given=given,
        )


_OPTIONS = frozenset(inspect.signature(CSVIter).parameters)


def _dtype(value: Any) -> Any:
    """Return the dtype's type from its name, a NumPy dtype or None."""
    if value is None or value == "None":
        return np.float32
    name = np.dtype(value).name
    if name not in _DTYPES:
        raise OptionError(f"{name} is not supported for CSVIter: expected one of {_DTYPES}")
    return np.dtype(name).type


class _Table:
    """The rows of some CSV files as numbers."""

    def __init__(self, uri: str, shape: tuple[int, ...], dtype: Any) -> None:
        path, self._delimiter, self._skip = _arguments(uri)
        self.lines = Lines(path)
        self._shape, self._dtype = shape, dtype
        self._columns = math.prod(shape)
        self._said_beyond = False

    def read(self, rows: npt.NDArray[np.int64], size: int) -> npt.NDArray[Any]:
        """Return the rows of the given numbers, in an array of `size`, zeros after them."""
        wide = np.float32 if self._dtype is np.float32 else np.int64
        out = np.zeros((size, self._columns), wide)
        at = 0
        for first, stop in runs(rows):
            for row, text, starts in self.lines.read(first, stop):
                part = out[at : at + len(starts)]
                self._check(row, self._fill(text, starts, part))
                if self._dtype is not np.float32 and not self._said_beyond:
                    self._say_beyond(row, part)
                at += len(starts)
        return out.astype(self._dtype, copy=False).reshape(size, *self._shape)

    def _say_beyond(self, row: int, numbers: npt.NDArray[np.int64]) -> None:
        """Log the first number that does not fit the dtype; MXNet hands it out as another one."""
        low, high = np.iinfo(self._dtype).min, np.iinfo(self._dtype).max
        if self._dtype is np.int32:
            beyond = (numbers < low) | (numbers > high)
        else:
            beyond = (numbers == low) | (numbers == high)  # saturated, or the very last one
        wrong, column = np.nonzero(beyond)
        if not len(wrong):
            return
        self._said_beyond = True
        place = self.lines.place(row + int(wrong[0]))
        _log.warning(
            "CSVIter: row %d of %s (byte %d) holds a number %s %s's %d to %d: as in MXNet it comes "
            "as %d; dtype='int64' holds 19 digits, 'float32' the first 7 of any number",
            place["key"],
            place["path"],
            place["offset"],
            "beyond" if self._dtype is np.int32 else "at the end of or beyond",
            np.dtype(self._dtype).name,
            low,
            high,
            numbers[wrong[0], column[0]].astype(self._dtype),
        )

    def _fill(
        self, text: npt.NDArray[Any], starts: npt.NDArray[Any], out: npt.NDArray[Any]
    ) -> npt.NDArray[np.int64]:
        """Read rows into `out`; return how many numbers each has."""
        from gpuio.kernels.text import read_floats, read_ints

        found = np.empty(len(starts), np.int64)
        if self._dtype is not np.float32:
            read_ints(text, starts, self._delimiter, self._skip, out, found)
            return found
        odd = np.empty((out.size + 1, 3), np.int64)
        read_floats(text, starts, self._delimiter, self._skip, out, found, odd)
        for row, column, offset in odd[1 : odd[0, 0] + 1].tolist():
            out[row, column] = strtof_at(text, offset)
        return found

    def _check(self, row: int, found: npt.NDArray[np.int64]) -> None:
        """Raise for the first row of another length."""
        wrong = np.flatnonzero(found != self._columns)
        if len(wrong):
            place = self.lines.place(row + int(wrong[0]))
            raise FormatError(
                f"row {place['key']} holds {found[wrong[0]]} numbers, expected {self._columns} "
                f"for the shape {self._shape}; fields without a number do not count, so a header "
                "or an empty field must be removed, and another delimiter named (?delimiter=;)",
                **place,
            )


class _Pair(LinePair):
    """The data and labels of some rows."""

    _data: _Table
    _labels: _Table | None

    def make(self, rows: npt.NDArray[np.int64], size: int) -> tuple[Any, Any, Any]:
        """Return data, label and index of a batch."""
        data = self._data.read(rows, size)
        index = np.zeros(size, np.uint64)
        index[: len(rows)] = rows
        if self._labels is None:
            return host_array(data), host_array(np.zeros(size, data.dtype)), host_array(index)
        self._require(rows, "label_csv", "data_csv")
        return host_array(data), host_array(self._labels.read(rows, size)), host_array(index)


def _arguments(uri: str) -> tuple[str, int, npt.NDArray[np.int64]]:
    """Split a URI into paths, the delimiter's code and the columns to leave out."""
    path, _, query = uri.partition("?")
    delimiter, skip = ",", [-1, -1]
    columns = {"label_column": 0, "weight_column": 1}
    for one in filter(None, query.split("&")):
        name, _, value = one.partition("=")
        if name == "delimiter" and len(value) == 1 and value.isascii() and value not in "\r\n":
            delimiter = value
        elif name in columns and re.fullmatch(r"-?\d+", value):
            skip[columns[name]] = int(value)
        elif one != "format=csv":
            raise OptionError(
                f"{uri!r}: {one!r} is not an argument of a CSV file; expected delimiter=<one "
                "character>, label_column=<number> or weight_column=<number>"
            )
    return path, ord(delimiter), np.array(skip, np.int64)


def _absolute(uri: str) -> str:
    """Make the paths of a URI absolute; "NULL", which means none, stays."""
    path, found, query = str(uri).partition("?")
    return uri if uri == "NULL" else f"{absolute_uri(path)}{found}{query}"
