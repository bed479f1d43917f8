"""CSRNDArray holds a matrix, shows it dense, and gives rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpuio import cpu, gpu
from gpuio.errors import GpuioError, OptionError
from gpuio.nd.sparse import CSRNDArray


def csr_of(dense):
    row, column = np.nonzero(dense)
    bounds = np.searchsorted(row, np.arange(len(dense) + 1))
    return CSRNDArray(dense[row, column], column, bounds, dense.shape)


@given(
    dense=arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 5)),
        elements=st.sampled_from([0.0, 1.5, -2.0]),
    ),
    data=st.data(),
)
def test_rows_taken_are_the_dense_rows(dense, data):
    matrix = csr_of(dense)
    assert np.array_equal(matrix.asnumpy(), dense)
    rows = data.draw(st.lists(st.integers(0, len(dense) - 1), max_size=8))
    taken = matrix.take(rows)
    assert taken.shape == (len(rows), dense.shape[1])
    assert np.array_equal(taken.asnumpy(), dense[rows])
    assert np.array_equal(matrix[1:3].asnumpy(), dense[1:3])
    assert np.array_equal(matrix[-1].asnumpy(), dense[-1:])


def test_it_is_scipys_matrix_too():
    pytest.importorskip("scipy.sparse")
    dense = np.array([[0, 1.0], [2, 0]])
    assert csr_of(dense).asscipy().toarray().tolist() == dense.tolist()


def test_mxnets_attributes():
    matrix = CSRNDArray(np.array([1, 2], np.float32), [0, 2], [0, 1, 2], (2, 3))
    assert (matrix.stype, matrix.shape, matrix.dtype, len(matrix)) == ("csr", (2, 3), np.float32, 2)
    assert matrix.indices.dtype == matrix.indptr.dtype == np.int64
    assert matrix.context == matrix.ctx == cpu()
    assert repr(matrix) == "<CSRNDArray 2x3 @cpu(0)>"
    assert matrix.data.asnumpy().tolist() == [1, 2]
    matrix.wait_to_read()


def test_a_copy_shares_nothing():
    matrix = csr_of(np.eye(2))
    copy = matrix.copy()
    matrix.data[:] = 9
    assert copy.asnumpy().tolist() == [[1, 0], [0, 1]]


def test_of_a_column_named_twice_the_last_value_shows():
    assert CSRNDArray([1.5, 2.0], [0, 0], [0, 2], (1, 2)).asnumpy().tolist() == [[2.0, 0.0]]


@pytest.mark.parametrize(
    "parts",
    [
        ([1.0], [0], [0, 1], (2, 2)),
        ([1.0], [0, 1], [0, 1, 1], (2, 2)),
        ([1.0], [2], [0, 1, 1], (2, 2)),
        ([1.0], [-1], [0, 1, 1], (2, 2)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(parts):
    with pytest.raises(GpuioError, match="CSR of shape"):
        CSRNDArray(*parts)


def test_it_stays_on_the_host():
    matrix = csr_of(np.eye(2))
    assert matrix.as_in_context(cpu()) is matrix
    with pytest.raises(OptionError, match="sparse arrays stay on the host"):
        matrix.as_in_context(gpu())
