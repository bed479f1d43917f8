"""Tensors over the batches' memory; a stand-in for PyTorch where it is not installed."""

import io
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.adapters.torch import loader, to_classes, to_torch
from gpuio.errors import GpuioError, RecordError
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


def test_labels_become_classes_on_request(tmp_path):
    torch = pytest.importorskip("torch")
    with record_iterator(tmp_path, round_batch=False) as it:
        batches = list(loader(it, integer_labels=True, cut_pad=True))
        assert {label.dtype for _, label in batches} == {torch.int64}
        assert torch.cat([label for _, label in batches]).tolist() == list(range(10))
        assert {data.dtype for data, _ in batches} == {torch.float32}
        it.reset()
        assert next(iter(loader(it)))[1].dtype == torch.float32


def test_soft_labels_and_several_labels_stay_floats(tmp_path):
    torch = pytest.importorskip("torch")
    with record_iterator(tmp_path, num_classes=10) as it:
        _, label = next(iter(loader(it, integer_labels=True)))
    assert (label.dtype, label.shape) == (torch.float32, (4, 10))
    assert to_classes(host_array(np.ones((2, 5), np.float32))).dtype == torch.float32


def test_a_label_that_is_not_a_class_is_an_error():
    pytest.importorskip("torch")
    it = mx.io.NDArrayIter(np.zeros(2), np.array([1, 0.5]), batch_size=2)
    with pytest.raises(RecordError, match=r"row 1 of the batch has the label 0\.5"):
        next(iter(loader(it, integer_labels=True)))


# JAX, if its tests ran before, and Python warn of forks beside threads; these workers use none
forks = pytest.mark.filterwarnings("ignore:.*fork.*")


class Stream:
    """An IterableDataset's way over an iterator that the parent made."""

    def __init__(self, it):
        self.it = it

    def __iter__(self):
        for batch in self.it:
            yield batch[1].tolist() if isinstance(batch, tuple) else batch.label[0].tolist()


class Asking(Stream):
    """The same by the iterator's own methods, which a `for` does not begin with."""

    def __iter__(self):
        while True:
            try:
                yield self.it.next().label[0].tolist()
            except StopIteration:
                return


class Begun(Stream):
    """The same by a loop that the parent has begun."""

    def __init__(self, it):
        super().__init__(iter(it))
        next(self.it)


class Parts:
    """An IterableDataset's way over an iterator of the worker's own part."""

    def __init__(self, options):
        self.options = options

    def __iter__(self):
        from torch.utils.data import get_worker_info

        info = get_worker_info()
        own = {"num_parts": info.num_workers, "part_index": info.id}
        with mx.io.ImageRecordIter(**self.options, **own) as it:
            for batch in it:
                yield batch.label[0].tolist()


class Records:
    """A map-style data set over a record file."""

    def __init__(self, rec, idx):
        self.file = mx.recordio.MXIndexedRecordIO(idx, rec, "r")

    def __len__(self):
        return len(self.file.keys)

    def __getitem__(self, number):
        header, _ = mx.recordio.unpack(self.file.read_idx(self.file.keys[number]))
        return header.label


def workers(data, **options):
    from torch.utils.data import DataLoader

    options = {"num_workers": 2, "multiprocessing_context": "fork", **options}
    return DataLoader(data, **options)


@forks
@pytest.mark.parametrize(
    ("through", "way"),
    [(lambda it: it, Stream), (loader, Stream), (lambda it: it, Asking), (loader, Begun)],
    ids=["iterator", "loader", "next", "begun"],
)
def test_an_iterator_in_the_workers_of_a_dataloader_is_refused(through, way, tmp_path):
    torch = pytest.importorskip("torch")
    said = None
    with record_iterator(tmp_path) as it:
        data = type("Data", (way, torch.utils.data.IterableDataset), {})(through(it))
        try:  # not pytest.raises, whose traceback keeps the workers, and the next test's wait
            list(workers(data, batch_size=None))
        except GpuioError as error:
            said = str(error)
    assert re.search("in worker . of a DataLoader: each of its 2", said)


@forks
def test_an_iterator_of_the_workers_own_part_is_used(tmp_path):
    torch = pytest.importorskip("torch")
    record_iterator(tmp_path).close()
    options = {
        "path_imgrec": str(tmp_path / "data.rec"),
        "path_imgidx": str(tmp_path / "data.idx"),
        "data_shape": (3, 8, 8),
        "batch_size": 5,
        "ctx": "cpu",
        "verbose": False,
    }
    data = type("Data", (Parts, torch.utils.data.IterableDataset), {})(options)
    seen = [label for batch in workers(data, batch_size=None) for label in batch]
    assert sorted(seen) == list(range(10))


@forks
def test_records_by_key_are_a_data_set_for_workers(tmp_path):
    pytest.importorskip("torch")
    record_iterator(tmp_path).close()
    data = Records(str(tmp_path / "data.rec"), str(tmp_path / "data.idx"))
    seen = [label for batch in workers(data, batch_size=3) for label in batch.tolist()]
    assert seen == list(range(10))


@forks
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_dataloader_over_an_iterator_says_what_takes_its_place(num_workers, tmp_path):
    pytest.importorskip("torch")
    context = "fork" if num_workers else None
    with record_iterator(tmp_path) as it:
        for value_ in (it, loader(it)):
            with pytest.raises(TypeError, match=r"adapters.torch.loader\(it\) takes"):
                next(
                    iter(workers(value_, num_workers=num_workers, multiprocessing_context=context))
                )


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
