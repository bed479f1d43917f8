"""nd's functions and methods: MXNet 1.9.1's values, shapes and dtypes, on host and device arrays.

The expected values are MXNet's, but where a test says what differs.
"""

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import OptionError
from gpuio.nd import NDArray
from support import fake_device

nd = mx.nd
M = [[0, 1, 2], [3, 4, 5]]
CUBE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def on_host(values, dtype="float32"):
    return nd.array(values, dtype=dtype)


def on_device(values, dtype="float32"):
    return np.array(values, dtype).view(fake_device.FakeArray)


@pytest.fixture(params=[on_host, on_device])
def put(request):
    return request.param


def checked(made, dtype, values):
    """Check a result: an array of ours where the operands lie, with MXNet's dtype and values."""
    assert type(made) in (NDArray, fake_device.FakeArray) or isinstance(made, np.number)
    found = made.asnumpy()
    assert found.dtype == dtype
    assert np.allclose(found, values), found
    assert np.shape(found) == np.shape(values)


@pytest.mark.parametrize(
    ("name", "options", "values"),
    [
        ("sum", {}, [15]),
        ("sum", {"axis": 0}, [3, 5, 7]),
        ("sum", {"axis": -1, "keepdims": True}, [[3], [12]]),
        ("sum", {"axis": 1, "exclude": True}, [3, 5, 7]),
        ("sum", {"axis": ()}, [15]),
        ("sum", {"axis": (0, -1)}, [15]),
        ("sum", {"keepdims": True}, [[15]]),
        ("mean", {"axis": 1}, [1, 4]),
        ("mean", {}, [2.5]),
        ("max", {"axis": 0, "exclude": True}, [2, 5]),
        ("min", {"axis": (1,)}, [0, 3]),
        ("argmax", {"axis": 1}, [2, 2]),
        ("argmax", {}, [5]),
        ("argmin", {"keepdims": True}, [[0]]),
        ("norm", {}, [55**0.5]),
        ("norm", {"ord": 1, "axis": 1}, [3, 12]),
        ("tile", {"reps": (2, 1)}, M + M),
        ("repeat", {"repeats": 2, "axis": 0}, [M[0], M[0], M[1], M[1]]),
        ("repeat", {"repeats": 1}, [0, 1, 2, 3, 4, 5]),
        ("clip", {"a_min": 1, "a_max": 4}, [[1, 1, 2], [3, 4, 4]]),
        ("slice_axis", {"axis": 1, "begin": -2, "end": None}, [[1, 2], [4, 5]]),
        ("sort", {"is_ascend": False}, [[2, 1, 0], [5, 4, 3]]),
        ("argsort", {"axis": 0}, [[0, 0, 0], [1, 1, 1]]),
        ("flip", {"axis": 1}, [[2, 1, 0], [5, 4, 3]]),
        ("swapaxes", {"dim1": 0, "dim2": 1}, [[0, 3], [1, 4], [2, 5]]),
        ("transpose", {"axes": (1, 0)}, [[0, 3], [1, 4], [2, 5]]),
        ("zeros_like", {}, [[0] * 3] * 2),
        ("ones_like", {}, [[1] * 3] * 2),
        ("square", {}, [[0, 1, 4], [9, 16, 25]]),
        ("exp", {}, np.exp(M)),
        ("sqrt", {}, np.sqrt(M)),
        ("abs", {}, M),
        ("flatten", {}, M),
        ("squeeze", {}, M),
        ("expand_dims", {"axis": 0}, [M]),
    ],
)
def test_a_function_and_its_method_give_mxnets_values(put, name, options, values):
    x = put(M)
    checked(getattr(nd, name)(x, **options), "float32", values)
    checked(getattr(x, name)(**options), "float32", values)
    assert x.asnumpy().tolist() == M


def test_functions_of_several_arrays(put):
    x, y = put(M), put([[1, 2, 3], [4, 5, 6]])
    checked(nd.dot(x, y, transpose_b=True), "float32", [[8, 17], [26, 62]])
    checked(nd.dot(x, y, transpose_a=True), "float32", [[12, 15, 18], [17, 22, 27], [22, 29, 36]])
    checked(nd.dot(put(CUBE), put(np.ones((4, 5, 2)))).sum(), "float32", [2760])
    checked(nd.dot(put([1, 2]), put([3, 4])), "float32", [11])
    checked(nd.maximum(x, 2), "float32", [[2, 2, 2], [3, 4, 5]])
    checked(nd.minimum(x, y), "float32", M)
    checked(nd.concatenate([x, y], axis=0), "float32", [*M, [1, 2, 3], [4, 5, 6]])
    checked(nd.concat(x, y), "float32", [[0, 1, 2, 1, 2, 3], [3, 4, 5, 4, 5, 6]])
    checked(nd.where(put([1, 0]), x, y), "float32", [[0, 1, 2], [4, 5, 6]])
    checked(nd.where(put([[1, 0, 2], [0, 0, 0]]), x, y), "float32", [[0, 2, 2], [4, 5, 6]])
    checked(nd.stack(x, y).sum(axis=0), "float32", [[1, 3, 5], [7, 9, 11]])
    assert nd.concatenate([x], always_copy=False) is x


def test_taking_by_index(put):
    x = put(M)
    checked(nd.take(x, put([5, -1])), "float32", [M[1], M[0]])
    checked(x.take(put([5, -1]), mode="wrap"), "float32", [M[1], M[1]])
    checked(nd.take(x, put([[0, 2.9], [1, 1]]), axis=1).sum(), "float32", [0 + 2 + 1 + 1 + 17 - 1])
    checked(nd.take(x, [1], axis=-1), "float32", [[1], [4]])
    with pytest.raises(IndexError, match=r"outside of \[0, 2\)"):
        x.take(put([2]), mode="raise")
    with pytest.raises(OptionError, match="mode='nearest'"):
        x.take(put([2]), mode="nearest")


def test_splitting(put):
    parts = nd.split(put(M), num_outputs=3, axis=-1)
    assert [one.asnumpy().tolist() for one in parts] == [[[0], [3]], [[1], [4]], [[2], [5]]]
    bare = put(M).split(num_outputs=3, squeeze_axis=True)
    assert [one.asnumpy().tolist() for one in bare] == [[0, 3], [1, 4], [2, 5]]
    checked(nd.split(put(M), num_outputs=1), "float32", M)
    parts[0][:] = 9
    for options in ({"num_outputs": 2}, {"num_outputs": 1, "squeeze_axis": True}):
        with pytest.raises(OptionError, match="does not make"):
            nd.split(put(M), **options)


def test_one_hot(put):
    checked(nd.one_hot(put([1.9, 5, -1]), 3), "float32", [[0, 1, 0], [0, 0, 0], [0, 0, 0]])
    made = put([[1, 0]]).one_hot(2, on_value=8, off_value=1, dtype="int32")
    checked(made, "int32", [[[1, 8], [8, 1]]])


def test_axes_and_shapes_that_do_not_fit_are_refused(put):
    x = put(M)
    for call in (
        lambda: x.sum(axis=2),
        lambda: x.norm(ord=3),
        lambda: x.slice_axis(1, 0, 4),
        lambda: x.slice_axis(1, 2, 1),
        lambda: nd.where(put([1, 0, 1]), x, x),
        lambda: nd.dot(nd.sparse.csr_matrix((2, 3)), x),
        lambda: x.reshape(-3, -3),
        lambda: x.reshape(-5),
        lambda: x.reshape(-4, 2, 2, 0),
    ):
        with pytest.raises(OptionError):
            call()
    with pytest.raises(ValueError, match="cannot reshape"):
        x.reshape(7)
    with pytest.raises(TypeError, match="expected a shape"):
        x.reshape(3, 2, inplace=True)


@pytest.mark.parametrize(
    ("codes", "shape"),
    [
        ((4, 0, 2), (4, 3, 2)),
        ((2, 0, 0), (2, 3, 4)),
        ((6, 1, -1), (6, 1, 4)),
        ((-1,), (24,)),
        ((0, -1), (2, 12)),
        ((-2,), (2, 3, 4)),
        ((2, -2), (2, 3, 4)),
        ((-2, 1, 1), (2, 3, 4, 1, 1)),
        ((-3, 4), (6, 4)),
        ((0, -3), (2, 12)),
        ((-3, -2), (6, 4)),
        ((-4, 1, 2, -2), (1, 2, 3, 4)),
        ((2, -4, -1, 3, -2), (2, 1, 3, 4)),
    ],
)
def test_reshape_knows_mxnets_codes(put, codes, shape):
    x = put(CUBE)
    for made in (x.reshape(*codes), x.reshape(codes), x.reshape(shape=list(codes))):
        assert made.shape == shape
        assert np.array_equal(made.asnumpy().reshape(-1), np.arange(24))
    made[:] = 0
    assert not x.asnumpy().any()  # a view
    copy = nd.reshape(x, shape=codes)
    copy[:] = 1
    assert not x.asnumpy().any()


def test_reshape_reads_from_the_right_if_told_to():
    x = nd.zeros((10, 5, 4))
    assert x.reshape((-1, 0)).shape == (40, 5)
    assert x.reshape((-1, 0), reverse=True).shape == nd.reshape(x, (-1, 0), True).shape == (50, 4)


def test_integers_do_not_wrap_around_and_are_not_cut_off(put):
    """MXNet's sum of these is 223 in uint8, its mean 74, its root 169, its index 44."""
    x = put([3, 120, 100], "uint8")
    assert x.sum().asnumpy()[0] == 223
    assert put([200, 200], "uint8").sum().asnumpy()[0] == 400
    assert put([-100, -100], "int8").sum().asnumpy()[0] == -200
    checked(x.mean(), "float64", [223 / 3])
    checked(x.norm(), "float64", [(9 + 14400 + 10000) ** 0.5])
    checked(nd.log(x), "float64", np.log([3, 120, 100]))
    assert put(np.eye(1, 400, 300)[0], "uint8").argmax().asnumpy().tolist() == [300]
    assert put(np.eye(1, 4000, 3001)[0], "float16").argmax().asnumpy().tolist() == [3001]
    assert x.argmax().asnumpy().dtype == np.float32
    checked(x.clip(2.7, 300), "uint8", [3, 120, 100])
    checked(x.clip(-5, 100.9), "uint8", [3, 100, 100])


def test_an_index_that_float32_does_not_hold_is_float64():
    x = nd.array(
        np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (2**24 + 2,), (0,)), None, "uint8"
    )
    x[2**24 + 1] = 1
    found = x.argmax()
    assert (found.dtype, found) == (np.float64, 2**24 + 1)


def test_casting(put):
    checked(nd.cast(put([1.9, 0]), "int32"), "int32", [1, 0])
    checked(put([1.9, 0]).astype("uint8"), "uint8", [1, 0])


def test_half_precision_keeps_its_type(put):
    x = put([[250.5, 250.5]], "float16")
    checked(x.norm(), "float16", [np.float16(354.26)])
    checked(x.sum(axis=0), "float16", [250.5, 250.5])


VIEWS = [0, -1, slice(None), slice(1, 3), (0, slice(1, 3)), (slice(1, 3), slice(None)), ...]
VIEWS += [(1, 2), (1, slice(1, 3)), (slice(1, 2), slice(1, 2)), (None, 0), (0, slice(0, 1, 5))]
COPIES = [(slice(None), 0), slice(None, None, 2), slice(None, None, -1), (slice(0, 2), slice(0, 2))]
COPIES += [(..., 0), ([0, 2],), (0, slice(None, None, -1)), (slice(None), slice(0, 1))]


@pytest.mark.parametrize("key", VIEWS + COPIES, ids=str)
def test_an_index_gives_a_view_or_a_copy_as_in_mxnet(key):
    x = nd.zeros((3, 4, 5))
    part = x[key]
    part[:] = 1
    assert bool(x.asnumpy().any()) == (key in VIEWS)
    assert np.array_equal(part, np.ones_like(np.zeros((3, 4, 5))[key]))


@pytest.mark.parametrize(
    ("make", "shared"),
    [
        (lambda x: x.T, False),
        (lambda x: x.transpose((0, 1)), False),
        (lambda x: x.flip(axis=0), False),
        (lambda x: x.expand_dims(0), False),
        (lambda x: x.expand_dims(-1, inplace=True), True),
        (lambda x: x.flatten(), False),
        (lambda x: x.flatten(inplace=True), True),
        (lambda x: x.squeeze(), False),
        (lambda x: x.slice_axis(axis=0, begin=0, end=2), False),
        (lambda x: x.reshape((4, 3)), True),
        (lambda x: nd.reshape(x, (4, 3)), False),
        (lambda x: nd.concat(x, dim=0), False),
        (lambda x: x.as_in_context(mx.cpu()), True),
        (lambda x: x.astype("float32"), False),
    ],
)
def test_a_method_shares_memory_where_mxnets_does(make, shared):
    x = nd.zeros((3, 4))
    make(x)[:] = 1
    assert bool(x.asnumpy().any()) == shared


def test_float_arrays_are_indices():
    x = nd.array(M)
    assert x[nd.array([1, 0])].tolist() == [M[1], M[0]]
    assert x[nd.array([0, 1]), nd.array([2, 0])].tolist() == [2, 3]
    x[nd.array([0])] = 7
    assert x.tolist() == [[7, 7, 7], M[1]]


def test_numpys_functions_mean_what_they_mean_on_any_array():
    x = nd.array([[3, 1, 2]])
    assert type(np.flip(x)) is NDArray
    assert np.shares_memory(np.flip(x), x)
    assert np.argmax(x) == 0
    assert isinstance(np.argmax(x), np.integer)
    assert np.argsort(x, axis=1).tolist() == [[1, 2, 0]]
    assert np.sort(x).tolist() == [[1, 2, 3]]
    assert np.take(x, [2, 0]).tolist() == [2, 3]
    assert np.reshape(x, (3, 1)).shape == (3, 1)
    assert np.concatenate([x, x]).shape == (2, 3)
    assert np.mean(x, dtype=np.float64).asscalar() == 2
    assert [type(one) for one in np.split(x, 3, axis=1)] == [NDArray] * 3
    assert x.tolist() == [[3, 1, 2]]


def test_with_numpys_arguments_a_method_is_numpys(put):
    x = put([[3, 1, 2]])
    assert x.sum(dtype="float64").asnumpy().dtype == np.float64
    assert x.sum(0, None, None, True).shape == (1, 3)  # axis, dtype, out, keepdims
    assert x.argmax(axis=1, out=None).asnumpy().dtype == np.int64
    assert x.take([2, 0], axis=None).asnumpy().tolist() == [2, 3]
    assert x.argsort(kind="stable").asnumpy().dtype == np.int64
    assert x.flatten("F").shape == (3,)
    assert x.reshape(3, order="F").shape == (3,)
    assert x.clip(2).asnumpy().tolist() == [[3, 2, 2]]
    assert x.sort(kind="stable") is None
    assert x.asnumpy().tolist() == [[1, 2, 3]]
    with pytest.raises(TypeError, match="keepdims="):
        x.sum(0, "float64")


def test_device_arrays_compute_where_they_lie():
    x = on_device(M)
    for made in (x + 1, 2 / x.clip(1, 5), -x, x == x, x.T, x[0] * x[1], x.astype("uint8") % 2):
        assert type(made) is fake_device.FakeArray
        assert made.context == mx.gpu(0)
    assert (x * 2 - 1).asnumpy().tolist() == [[-1, 1, 3], [5, 7, 9]]
    assert x.sum().asnumpy().shape == (1,)
    assert x.mean().asscalar() == 2.5


def test_an_element_of_an_element_is_the_element():
    x = nd.array([5, 7], dtype="int32")
    assert x[1][0] == x[1][:] == x[1][...] == 7
    assert x[1].astype("float32").asnumpy().dtype == np.float32
    assert x[1].as_in_context(mx.cpu()) == 7
    with pytest.raises(IndexError, match="no part 1"):
        x[1][1]
