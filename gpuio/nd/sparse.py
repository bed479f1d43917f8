"""CSRNDArray: the batches of sparse iterators, with as much of MXNet's class as data scripts need.

Invariant: a plain holder of three host arrays; nothing here needs SciPy but `asscipy`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import GpuioError
from gpuio.nd.arrays import NDArray, host_array
from gpuio.nd.context import Context, cpu, on_host

__all__ = ["CSRNDArray"]


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
            from scipy.sparse import csr_matrix
        except ImportError as error:
            raise GpuioError("asscipy() needs SciPy: pip install scipy") from error
        parts = (self.data.asnumpy(), self.indices.asnumpy(), self.indptr.asnumpy())
        return csr_matrix(parts, shape=self.shape)

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
