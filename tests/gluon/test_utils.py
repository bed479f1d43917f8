"""split_data and split_and_load: MXNet 1.9.1's parts, views and errors."""

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import OptionError
from support import fake_device

split_data, split_and_load = mx.gluon.utils.split_data, mx.gluon.utils.split_and_load


def test_a_batch_is_cut_into_one_part_per_context():
    batch = mx.nd.array(np.arange(8).reshape(4, 2))
    parts = split_and_load(batch, [mx.cpu(0), mx.cpu(1)])
    assert [one.tolist() for one in parts] == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    parts[1][:] = 9
    assert batch[2:].tolist() == [[9, 9], [9, 9]]  # views, as in MXNet
    assert split_and_load(batch, [mx.cpu()])[0] is batch


def test_along_another_axis_parts_are_copies():
    batch = mx.nd.zeros((2, 4))
    parts = split_data(batch, 2, batch_axis=1)
    parts[0][:] = 1
    assert [one.shape for one in parts] == [(2, 2), (2, 2)]
    assert not batch.asnumpy().any()


def test_an_uneven_split_gives_the_first_parts_one_more():
    parts = split_data(mx.nd.arange(8), 3, even_split=False)
    assert [one.tolist() for one in parts] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    with pytest.raises(ValueError, match="cannot be evenly split into 3 slices along axis 0"):
        split_and_load(mx.nd.arange(8), [mx.cpu()] * 3)
    with pytest.raises(OptionError, match="9 slices of 8 rows"):
        split_data(mx.nd.arange(8), 9, even_split=False)


def test_what_is_not_ours_becomes_float32():
    parts = split_and_load([[1], [2]], [mx.cpu(), mx.cpu(1)])
    assert [(one.dtype, one.tolist()) for one in parts] == [
        (np.float32, [[1]]),
        (np.float32, [[2]]),
    ]


def test_a_batch_on_a_device_is_split_there():
    batch = np.zeros((4, 1), np.float32).view(fake_device.FakeArray)
    first, second = split_and_load(batch, [mx.gpu(0), mx.cpu()])
    assert (type(first), type(second)) == (fake_device.FakeArray, mx.nd.NDArray)
