"""Tensors over the batches' memory; a stand-in for PyTorch where it is not installed."""

import sys
import types

import numpy as np
import pytest
from feeds import Counting, value

from gpuio.adapters.torch import loader, to_torch
from gpuio.nd import host_array


class OnDevice:
    """An array that is not NumPy's: handed over by DLPack alone."""

    def __init__(self):
        self.asked = []

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, *, stream=None, **options):
        self.asked.append(stream)
        return "capsule"


@pytest.fixture
def stand_in(monkeypatch):
    """Make `import torch` give a module that exports on stream 7."""
    module = types.ModuleType("torch")
    module.from_dlpack = lambda array: ("tensor", array.__dlpack__(stream=7))
    module.from_numpy = lambda array: ("host tensor", array)
    monkeypatch.setitem(sys.modules, "torch", module)


def test_a_device_array_is_exported_on_the_consumers_stream(stand_in):
    array = OnDevice()
    assert to_torch(array) == ("tensor", "capsule")
    assert array.asked == [7]


def test_a_host_array_is_handed_over_as_plain_numpy(stand_in):
    array = host_array(np.arange(6.0))
    kind, taken = to_torch(array)
    assert kind == "host tensor"
    assert type(taken) is np.ndarray
    assert np.shares_memory(taken, array)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int8", "int64"])
def test_a_tensor_shares_memory_and_keeps_the_dtype(dtype):
    torch = pytest.importorskip("torch")
    array = host_array(np.arange(6).astype(dtype))
    tensor = to_torch(array)
    assert tensor.dtype == getattr(torch, dtype)
    array[0] = 9
    assert tensor[0] == 9


def test_tensors_of_batch_k_stay_while_batches_up_to_k_plus_10_are_made():
    pytest.importorskip("torch")
    kept = []
    for k, (data, label) in enumerate(loader(Counting(batches=24))):
        kept.append((data, label))
        if k >= 10:
            assert value(kept[k - 10][0]) == k - 10
            assert value(kept[k - 10][1]) == k - 10
    assert [value(data) for data, _ in kept] == list(range(24))
