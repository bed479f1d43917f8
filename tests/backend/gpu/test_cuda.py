"""What of the CuPy device can be checked without a GPU: array types, leases, hand-off."""

import contextlib
import gc
import weakref

import numpy as np
import pytest

cupy = pytest.importorskip("cupy")

from gpuio.backend.gpu.cuda import CudaDevice  # noqa: E402 -- CuPy first
from gpuio.backend.gpu.device import Buffer  # noqa: E402


class Lease:
    """Writes down what it is asked."""

    def __init__(self):
        self.log = []

    def hand_to(self, handle):
        self.log.append(("hand to", handle))

    def wait(self):
        self.log.append(("wait",))


@pytest.fixture
def device():
    """A device that was never opened: no call below reaches the driver."""
    made = CudaDevice.__new__(CudaDevice)
    made.id, made._cupy = 0, cupy
    return made


def array_of(device, lease, shape=(3, 4)):
    made = device.array(Buffer(0x10000, 1 << 12, object()), lease, shape, "float32")
    made._lease = lease
    return made


def test_arrays_are_cupys_with_mxnets_words_and_views_keep_the_lease(device):
    lease = Lease()
    array = array_of(device, lease)
    view = array[1:].reshape(-1)
    assert isinstance(array, cupy.ndarray)
    assert (view.data.ptr, view.shape) == (0x10010, (8,))
    assert view._lease is lease
    assert repr(view.context) == repr(view.ctx) == "gpu(0)"
    assert view.stype == "default"
    view.wait_to_read()
    assert lease.log == [("wait",)]


def test_memory_is_held_by_the_last_view(device):
    lease = Lease()
    alive = weakref.ref(lease)
    array = array_of(device, lease)
    view = array[0]
    del array, lease
    gc.collect()
    assert alive() is not None
    del view
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize(
    ("stream", "asked"),
    [(7, [("hand to", 7)]), (None, [("hand to", 1)]), (-1, [("wait",)])],
)
def test_the_consumers_stream_is_ordered_before_the_export(device, stream, asked):
    lease = Lease()
    array = array_of(device, lease)
    # without a driver CuPy gets no further than the ordering
    with contextlib.suppress(cupy.cuda.runtime.CUDARuntimeError):
        array.__dlpack__(stream=stream)
    assert lease.log == asked


def test_engines_get_packed_views_of_the_arena(device):
    view = device.view(Buffer(0x20000, 64, object()), 8, 2, 3)
    assert (view.shape, view.dtype, view.data.ptr) == ((1, 2, 3), np.uint8, 0x20008)
