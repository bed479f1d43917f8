"""CSRNDArray holds a matrix, shows it dense, and gives rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpuio import cpu, gpu
from gpuio.errors import GpuioError, OptionError
from gpuio.nd import NDArray, asnumpy
from gpuio.nd.sparse import CSRNDArray, csr_matrix


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


def parts(matrix):
    return [asnumpy(one).tolist() for one in (matrix.data, matrix.indices, matrix.indptr)]


@pytest.mark.parametrize(
    ("given", "options", "dtype", "dense"),
    [
        (([1, 2, 3], [1, 0, 2], [0, 1, 2, 2, 3]), {"shape": (3 + 1, 3)}, "float32", None),
        (([1, 2, 3], [1, 0, 2], [0, 1, 2, 2, 3]), {}, "float32", None),
        ((np.array([1, 2, 3]), [1, 0, 2], [0, 1, 2, 2, 3]), {}, "int64", None),
        (([3, 1, 1, 1], ([3, 0, 1, 1], [2, 1, 0, 0])), {"dtype": "float64"}, "float64", None),
        (np.array([[0, 1.5], [2, 0]]), {}, "float64", [[0, 1.5], [2, 0]]),
        ([[0, 1], [2, 0]], {}, "float32", [[0, 1], [2, 0]]),
        ((1, 2), {}, "float32", [[0, 0]]),
        (CSRNDArray([5.0], [1], [0, 1], (1, 2)), {}, "float64", [[0, 5]]),
    ],
    ids=["parts", "without a shape", "NumPy", "places", "dense", "list", "empty", "ours"],
)
def test_csr_matrix_takes_what_mxnets_takes(given, options, dtype, dense):
    made = csr_matrix(given, **options)
    assert made.dtype == dtype
    assert made.asnumpy().tolist() == (dense or [[0, 1, 0], [2, 0, 0], [0, 0, 0], [0, 0, 3]])
    made.check_format()


def test_csr_matrix_copies_and_takes_scipys():
    sparse = pytest.importorskip("scipy.sparse")
    theirs = sparse.coo_matrix(([1.0, 2.0, 4.0], ([0, 1, 1], [1, 2, 2])), shape=(2, 3))
    made = csr_matrix(theirs.tocsr())
    assert parts(made) == [[1, 6], [1, 2], [0, 1, 2]]
    values = np.ones(1, np.float32)
    csr_matrix((values, [0], [0, 1])).data[:] = 9
    assert values.tolist() == [1]


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ((1, 2, 3, 4), {}),
        ((2, 3), {"shape": (3, 3)}),
        (([], [], [0, 0]), {}),
        (np.zeros(3), {}),
        (([1], ([0], [0, 1])), {}),
        (([1], ([2], [0])), {"shape": (2, 2)}),
        ((2, 3), {"ctx": gpu()}),
    ],
)
def test_csr_matrix_refuses_what_is_no_matrix(given, options):
    with pytest.raises(OptionError):
        csr_matrix(given, **options)


@pytest.mark.parametrize(
    ("columns", "bounds", "words"),
    [
        ([2, 0, 1], [0, 2, 3], "row 0 names column 0 behind column 2"),
        ([0, 1, 1], [0, 1, 3], "row 1 names column 1 behind column 1"),
        ([0, 1, 2], [0, 4, 3], "row 1 ends before it begins"),
        ([0, 1, 2], [0, 1, 2], "rows are from 0 to 2, expected 0 to 3"),
        ([0, 1, 2], [1, 2, 3], "rows are from 1 to 3"),
    ],
)
def test_check_format_says_what_is_wrong(columns, bounds, words):
    matrix = CSRNDArray([1.0, 2.0, 3.0], columns, bounds, (2, 3))
    with pytest.raises(GpuioError, match=words):
        matrix.check_format()
    if not words.startswith("rows"):
        matrix.check_format(full_check=False)


def test_it_becomes_dense():
    made = csr_of(np.eye(2)).tostype("default")
    assert (type(made), made.tolist()) == (NDArray, [[1, 0], [0, 1]])
    with pytest.raises(OptionError, match="row_sparse"):
        csr_of(np.eye(2)).tostype("row_sparse")
