"""MXNet's words on a device's array."""

import numpy as np
import pytest

import gpuio as mx
from support import fake_device


@pytest.fixture
def there():
    return np.array([[1, 2]], np.uint8).view(fake_device.FakeArray)


def test_it_prints_as_mxnets(there):
    assert str(there) == repr(there) == "\n[[1 2]]\n<NDArray 1x2 @gpu(0)>"


def test_it_keeps_its_dtype_on_the_way_to_the_host(there):
    for here in (there.as_in_context(mx.cpu()), there.copyto(mx.cpu())):
        assert type(here) is mx.nd.NDArray
        assert here.dtype == np.uint8
        assert here.tolist() == [[1, 2]]
    assert there.as_in_context(mx.gpu(0)) is there


def test_joining_and_turning_leave_it_on_the_device(there):
    assert isinstance(mx.nd.transpose(there), fake_device.FakeArray)
    assert isinstance(mx.nd.flip(there, axis=0), fake_device.FakeArray)
    for joined in (mx.nd.concat(there, there, dim=0), mx.nd.stack(there[0], there[0])):
        assert type(joined) is fake_device.FakeArray
        assert joined.asnumpy().tolist() == [[1, 2], [1, 2]]
