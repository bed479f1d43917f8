"""Tensors over the batches' memory; a stand-in for PyTorch where it is not installed."""

import io
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.adapters.torch import loader, to_torch
from gpuio.nd import host_array
from gpuio.nd.sparse import CSRNDArray
from support import making
from support.feeds import Counting, value


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


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "bfloat16"])
def test_records_become_tensors_of_the_dtype_asked_for(dtype, tmp_path):
    torch = pytest.importorskip("torch")
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    with record_iterator(tmp_path, dtype=dtype, round_batch=False) as it:
        batches = list(loader(it, cut_pad=True))
    assert [data.dtype for data, _ in batches] == [getattr(torch, dtype)] * 3
    assert [len(data) for data, _ in batches] == [4, 4, 2]
    firsts = torch.cat([data[:, 0, 0, 0] for data, _ in batches]).float()
    assert firsts.tolist() == [20.0 * i for i in range(10)]
    assert torch.cat([label for _, label in batches]).tolist() == list(range(10))


def test_a_checkpoint_of_pytorchs_own_resumes(tmp_path):
    torch = pytest.importorskip("torch")
    with (
        record_iterator(tmp_path, shuffle=True) as it,
        record_iterator(tmp_path, shuffle=True) as it2,
    ):
        whole = loader(it)
        loop = iter(whole)
        next(loop)
        file = io.BytesIO()
        torch.save({"data": whole.state_dict()}, file)
        file.seek(0)
        rest = [label.tolist() for _, label in loop]
        again = loader(it2)
        again.load_state_dict(torch.load(file)["data"])
        assert [label.tolist() for _, label in again] == rest
        assert len(rest) == 2


def test_a_sparse_batch_is_a_type_error(stand_in):
    with pytest.raises(TypeError, match="dense copy"):
        to_torch(CSRNDArray([1.0], [0], [0, 1], (1, 2)))


def record_iterator(folder, **options):
    rec, idx = str(folder / "data.rec"), str(folder / "data.idx")
    if not Path(rec).exists():  # an iterator may have it open
        making.write_rec(folder, [making.flat(20 * i) for i in range(10)])
    return mx.io.ImageRecordIter(
        path_imgrec=rec,
        path_imgidx=idx,
        data_shape=(3, 8, 8),
        batch_size=4,
        ctx="cpu",
        verbose=False,
        **options,
    )
