"""CSRNDArray: the batches of sparse iterators, with as much of MXNet's class as data scripts need.

Invariant: a plain holder of three host arrays; nothing here needs SciPy but `asscipy`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import GpuioError, OptionError
from gpuio.forking import working
from gpuio.hooks import missing
from gpuio.nd.arrays import NDArray, asnumpy, host_array
from gpuio.nd.context import Context, cpu, on_host

__all__ = ["CSRNDArray", "csr_matrix"]


class CSRNDArray:
    """A matrix (rows, columns) in compressed sparse row form, on the host.

    Parameters
    ----------
    data : array[n]                 values, row after row
    indices : array[n]              column of each value, int64 in here
    indptr : array[rows + 1]        where each row begins and the last one ends, int64 in here
    shape : (rows, columns)

    Raises
    ------
    GpuioError                      if the arrays' lengths or the columns do not fit the shape

    Notes
    -----
    A column named twice in a row keeps both entries; `asnumpy` shows the last one, as MXNet does
    (SciPy would add them up).
    """

    stype = "csr"

    def __init__(
        self,
        data: npt.ArrayLike,
        indices: npt.ArrayLike,
        indptr: npt.ArrayLike,
        shape: tuple[int, int],
    ) -> None:
        self.data: NDArray = host_array(np.asarray(data))
        self.indices: NDArray = host_array(np.asarray(indices, np.int64))
        self.indptr: NDArray = host_array(np.asarray(indptr, np.int64))
        self.shape = (int(shape[0]), int(shape[1]))
        rows, columns = self.shape
        if len(self.indptr) != rows + 1 or len(self.data) != len(self.indices):
            raise GpuioError(
                f"CSR of shape {self.shape}: {len(self.indptr)} row bounds, {len(self.data)} "
                f"values and {len(self.indices)} columns do not fit each other"
            )
        if len(self.indices) and not 0 <= self.indices.min() <= self.indices.max() < columns:
            raise GpuioError(
                f"CSR of shape {self.shape}: columns reach from {self.indices.min()} to "
                f"{self.indices.max()}"
            )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The values' dtype."""
        return self.data.dtype

    @property
    def context(self) -> Context:
        """The array's context, ``cpu(0)``."""
        return cpu()

    ctx = context

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<CSRNDArray {self.shape[0]}x{self.shape[1]} @cpu(0)>"

    def asnumpy(self) -> npt.NDArray[Any]:
        """Return the matrix as a dense `numpy.ndarray`."""
        dense = np.zeros(self.shape, self.dtype)
        row = np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))
        dense[row, self.indices] = self.data
        return dense

    def asscipy(self) -> Any:
        """Return a `scipy.sparse.csr_matrix`; GpuioError without SciPy."""
        try:
            with working:
                from scipy.sparse import csr_matrix
        except ImportError as error:
            raise GpuioError("asscipy() needs SciPy: pip install scipy") from error
        parts = (self.data.asnumpy(), self.indices.asnumpy(), self.indptr.asnumpy())
        return csr_matrix(parts, shape=self.shape)

    def check_format(self, full_check: bool = True) -> None:
        """Check that the parts are a matrix.

        Parameters
        ----------
        full_check : bool       False: whether the bounds of the rows begin at 0 and end at the last
                                value; True: also whether no row ends before it begins, and each
                                row's columns are in increasing order and none is named twice

        Raises
        ------
        GpuioError              saying what is wrong, and in which row
        """
        bounds, columns = np.asarray(self.indptr), np.asarray(self.indices)
        if bounds[0] != 0 or bounds[-1] != len(columns):
            raise GpuioError(
                f"CSR of shape {self.shape}: rows are from {bounds[0]} to {bounds[-1]}, expected 0 "
                f"to {len(columns)}, the number of values"
            )
        if not full_check:
            return
        if (falling := np.flatnonzero(np.diff(bounds) < 0)).size:
            raise GpuioError(
                f"CSR of shape {self.shape}: row {falling[0]} ends before it begins: "
                f"[{bounds[falling[0]]}, {bounds[falling[0] + 1]})"
            )
        rows = np.repeat(np.arange(self.shape[0]), np.diff(bounds))
        wrong = np.flatnonzero((np.diff(columns) <= 0) & (np.diff(rows) == 0))
        if wrong.size:
            at = int(wrong[0])
            raise GpuioError(
                f"CSR of shape {self.shape}: row {rows[at]} names column {columns[at + 1]} behind "
                f"column {columns[at]}: expected increasing columns, each once"
            )

    def tostype(self, stype: str) -> Any:
        """Return the matrix as ``"default"``, a dense `NDArray`, or as ``"csr"``, itself."""
        if stype not in ("default", "csr"):
            raise OptionError(f"tostype({stype!r}): expected 'default' or 'csr'")
        return self if stype == "csr" else host_array(self.asnumpy())

    def as_in_context(self, context: Context) -> CSRNDArray:
        """Return this matrix; OptionError for a GPU, where there is none."""
        on_host(context, "sparse arrays")
        return self

    as_in_ctx = as_in_context

    def wait_to_read(self) -> None:
        """Return at once: a host array is always complete."""

    def copy(self) -> CSRNDArray:
        """Return a copy that shares no memory."""
        return CSRNDArray(self.data.copy(), self.indices.copy(), self.indptr.copy(), self.shape)

    def take(self, rows: npt.ArrayLike) -> CSRNDArray:
        """Return the rows of the given numbers, int64[n], as a new matrix (n, columns)."""
        rows = np.asarray(rows, np.int64)
        begin, end = np.asarray(self.indptr)[rows], np.asarray(self.indptr)[rows + 1]
        indptr = np.concatenate([[0], np.cumsum(end - begin)])
        # entry k of the result comes from its row's begin plus its place within the row
        entry = np.arange(indptr[-1]) + np.repeat(begin - indptr[:-1], end - begin)
        return CSRNDArray(self.data[entry], self.indices[entry], indptr, (len(rows), self.shape[1]))

    def __getitem__(self, rows: slice | int) -> CSRNDArray:
        if isinstance(rows, slice):
            return self.take(np.arange(self.shape[0])[rows])
        return self.take(np.arange(self.shape[0])[[rows]])


def csr_matrix(
    arg1: Any,
    shape: tuple[int, int] | None = None,
    ctx: Context | None = None,
    dtype: npt.DTypeLike | None = None,
) -> CSRNDArray:
    """Make a sparse matrix; the values are copied.

    Parameters
    ----------
    arg1 : one of
        ``(data, indices, indptr)``, the parts of a `CSRNDArray`;
        ``(data, (row, column))``, places in any order, whose values are added up if they are equal;
        ``(rows, columns)``, the shape of a matrix of zeros;
        a dense array, a `CSRNDArray`, or a matrix of SciPy
    shape : (rows, columns), optional   default: just large enough
    ctx : Context, optional             the host's
    dtype : optional                    default: that of an array that has one; float32 for zeros,
                                        lists and ``(data, (row, column))`` of lists

    Raises
    ------
    OptionError         `arg1` is something else, the shape does not fit, or `ctx` is a GPU's
    GpuioError          the parts do not fit each other
    """
    if ctx is not None:
        on_host(ctx, "sparse arrays")
    if isinstance(arg1, CSRNDArray):
        made = arg1.copy()
    elif isinstance(arg1, tuple):
        made = _of_tuple(arg1, shape)
    elif hasattr(arg1, "tocsr"):  # SciPy's
        parts = arg1.tocsr().sorted_indices()
        parts.sum_duplicates()
        made = CSRNDArray(parts.data, parts.indices, parts.indptr, parts.shape)
    else:
        made = _of_dense(_values(arg1))
    if shape is not None and made.shape != tuple(shape):
        raise OptionError(f"csr_matrix: shape {made.shape}, expected {tuple(shape)}")
    if dtype is not None:
        made.data = host_array(made.data.astype(dtype))
    return made


def _values(given: Any) -> npt.NDArray[Any]:
    """Return a new array of what is given: float32 where it has no dtype."""
    if hasattr(given, "dtype"):
        return np.array(asnumpy(given))
    return np.array(given, np.float32)


def _of_tuple(parts: tuple[Any, ...], shape: tuple[int, int] | None) -> CSRNDArray:
    """Make a matrix of its parts, of places, or of its shape alone."""
    if len(parts) == 3:
        data, (indices, indptr) = _values(parts[0]), (asnumpy(one) for one in parts[1:])
        if shape is None and not len(indices):
            raise OptionError("csr_matrix: no values and no shape")
        wanted = shape or (len(indptr) - 1, int(np.max(indices)) + 1)
        return CSRNDArray(data, np.array(indices, np.int64), np.array(indptr, np.int64), wanted)
    if len(parts) != 2:
        raise OptionError(f"csr_matrix: {len(parts)} parts: expected 2 or 3")
    if not isinstance(parts[1], tuple):
        rows, columns = int(parts[0]), int(parts[1])
        return CSRNDArray(np.empty(0, np.float32), [], np.zeros(rows + 1), (rows, columns))
    data, (row, column) = _values(parts[0]), (np.asarray(asnumpy(one), int) for one in parts[1])
    if not len(data) == len(row) == len(column) or (shape is None and not len(data)):
        raise OptionError(
            f"csr_matrix: {len(data)} values at {len(row)} rows and {len(column)} columns"
        )
    wanted = shape or (int(row.max()) + 1, int(column.max()) + 1)
    if len(row) and (row.min() < 0 or row.max() >= wanted[0]):
        raise OptionError(f"csr_matrix: rows from {row.min()} to {row.max()} for shape {wanted}")
    places, which = np.unique(np.stack([row, column]), axis=1, return_inverse=True)
    summed = np.zeros(places.shape[1], data.dtype)
    np.add.at(summed, which.reshape(-1), data)
    bounds = np.searchsorted(places[0], np.arange(wanted[0] + 1))
    return CSRNDArray(summed, places[1], bounds, wanted)


def _of_dense(values: npt.NDArray[Any]) -> CSRNDArray:
    """Make a matrix of the values that are not 0."""
    if values.ndim != 2:
        raise OptionError(f"csr_matrix: an array of {values.ndim} axes, expected 2")
    row, column = np.nonzero(values)
    bounds = np.searchsorted(row, np.arange(len(values) + 1))
    return CSRNDArray(values[row, column], column, bounds, (values.shape[0], values.shape[1]))


def __getattr__(name: str) -> None:
    raise missing("gpuio.nd.sparse", name)
