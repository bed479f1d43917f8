"""nd: arrays as MXNet's scripts use them, and what any batch's array becomes on the host."""

import json
import pickle

import numpy as np
import pytest

import gpuio as mx
from gpuio.nd import NDArray, asnumpy, host_array


class OnDevice:
    """A device array as MXNet or CuPy have it: one word brings it to the host."""

    dtype = np.dtype(np.float32)

    def __init__(self, word):
        setattr(self, word, lambda: np.arange(3, dtype=np.float32))


def test_a_host_array_becomes_plain_numpy_over_the_same_memory():
    array = host_array(np.arange(4.0))
    plain = asnumpy(array)
    assert isinstance(array, NDArray)
    assert type(plain) is np.ndarray
    assert np.shares_memory(plain, array)


def test_a_device_array_is_fetched_by_its_own_word():
    for word in ("asnumpy", "get"):
        fetched = asnumpy(OnDevice(word))
        assert type(fetched) is np.ndarray
        assert fetched.tolist() == [0, 1, 2]


def test_anything_array_like_is_taken():
    assert asnumpy([[1, 2], [3, 4]]).shape == (2, 2)
    assert asnumpy({"get": 1}).shape == ()


def test_the_top_level_name_is_the_same_function():
    assert mx.asnumpy is asnumpy
    assert mx.ndarray is mx.nd


@pytest.mark.parametrize(
    ("source", "dtype"),
    [
        ([1, 2], "float32"),
        (np.arange(2), "float32"),
        (np.ones(2, np.uint8), "float32"),
        (np.float64(3), "float32"),
        (mx.nd.array([1], dtype="int32"), "int32"),
        (OnDevice("get"), "float32"),
    ],
    ids=["list", "int64", "uint8", "scalar", "NDArray", "device"],
)
def test_array_is_float32_unless_it_is_made_from_one_of_ours(source, dtype):
    made = mx.nd.array(source)
    assert type(made) is NDArray
    assert made.dtype == dtype
    assert mx.nd.array(source, dtype="uint8").dtype == np.uint8


def test_array_copies():
    source = np.zeros(3, np.float32)
    mx.nd.array(source)[:] = 1
    assert not source.any()


def test_arrays_print_as_mxnets():
    made = mx.nd.array([[1, 2], [3, 4]])
    text = "\n[[1. 2.]\n [3. 4.]]\n<NDArray 2x2 @cpu(0)>"
    assert str(made) == repr(made) == text
    assert str([made]) == f"[{text}]"
    assert str(made.asnumpy()) == "[[1. 2.]\n [3. 4.]]"


NUMBERS = ["float16", "float32", "float64", "int8", "uint8", "int32", "int64", "complex64"]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_an_element_is_a_numpy_number_that_knows_mxnets_words(dtype):
    made = mx.nd.array([5, 7], dtype=dtype)
    for number in (made[1], next(iter(made[1:]))):
        assert isinstance(number, np.dtype(dtype).type)
        assert number == 7
        assert number.asscalar() == 7
        assert type(number.asscalar()) is type(np.dtype(dtype).type(7).item())
        assert number.asnumpy().tolist() == [7]
        assert number.asnumpy().dtype == dtype
        assert number.context == number.ctx == mx.cpu()
        number.wait_to_read()
        assert pickle.loads(pickle.dumps(number)) == 7
        assert {number: 1}[np.dtype(dtype).type(7)] == 1


def test_elements_index_print_and_serialise_as_numbers():
    made = mx.nd.array([0, 2], dtype="int64")
    assert [10, 11, 12][made[1]] == 12
    assert f"{mx.nd.array([2.5])[0]:.2f}" == "2.50"
    assert json.dumps(mx.nd.array([2.5], dtype="float64")[0]) == "2.5"


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_writing_into_an_element_writes_into_its_array(dtype):
    made = mx.nd.zeros((2, 3), dtype=dtype)
    made[1][2][:] = 5
    made[0, 1][0] = 7
    assert made.tolist() == [[0, 7, 0], [0, 0, 5]]
    with pytest.raises(IndexError, match=r"write \[:\]"):
        made[0, 0][1] = 3
    with pytest.raises(TypeError, match="not an element of an NDArray"):
        made.sum()[:] = 3


def test_booleans_and_texts_stay_what_numpy_makes_of_them():
    assert type(host_array(np.array([True]))[0]) is np.bool_
    assert type(host_array(np.array(["a"]))[0]) is np.str_


def test_single_results_know_asscalar_and_others_are_arrays():
    made = mx.nd.array([[1, 2], [3, 4]])
    assert made.sum().asscalar() == 10
    assert made.mean().asscalar() == 2.5
    assert made.max().asscalar() == 4
    assert {made.sum(): 1} == {10: 1}
    for array in (made + 1, made.sum(axis=0), made.mean(axis=0), made[0], made[made > 1], made.T):
        assert type(array) is NDArray


def test_axes_can_be_named():
    made = mx.nd.zeros((2, 3, 4))
    for turned in (
        made.transpose((2, 0, 1)),
        made.transpose(2, 0, 1),
        made.transpose(axes=(2, 0, 1)),
        mx.nd.transpose(made, axes=(2, 0, 1)),
    ):
        assert turned.shape == (4, 2, 3)
    assert made.transpose().shape == mx.nd.transpose(made).shape == (4, 3, 2)
    assert made.expand_dims(0).shape == mx.nd.expand_dims(made, axis=0).shape == (1, 2, 3, 4)


def test_makers_give_float32_of_the_shape_and_values_asked_for():
    for made, values in (
        (mx.nd.zeros((1, 2)), [[0, 0]]),
        (mx.nd.ones(2), [1, 1]),
        (mx.nd.full((2,), 7), [7, 7]),
        (mx.nd.arange(3), [0, 1, 2]),
        (mx.nd.arange(1, 6, 2), [1, 3, 5]),
        (mx.nd.arange(2, repeat=2), [0, 0, 1, 1]),
    ):
        assert type(made) is NDArray
        assert made.dtype == np.float32
        assert made.tolist() == values
    assert mx.nd.empty((2, 3), dtype="uint8").shape == (2, 3)
    assert mx.nd.zeros(2, mx.cpu(), "int32").dtype == np.int32
    mx.nd.waitall()


def test_joining_and_reversing():
    one, two = mx.nd.array([[1, 2]]), mx.nd.array([[3, 4]])
    assert mx.nd.concat(one, two).tolist() == [[1, 2, 3, 4]]
    assert mx.nd.concat(one, two, dim=0).tolist() == [[1, 2], [3, 4]]
    assert mx.nd.stack(one, two).shape == (2, 1, 2)
    assert mx.nd.flip(one, axis=1).tolist() == [[2, 1]]
    assert {type(mx.nd.concat(one, two)), type(mx.nd.stack(one, two))} == {NDArray}
