"""The repr of every public object says what it is; notebooks show small grids."""

import importlib
import inspect
import pickle

import numpy as np
import pytest

import gpuio as mx
from support.making import flat, jpeg, photo, reader, write_rec

MODULES = (
    "gpuio", "gpuio.io", "gpuio.recordio", "gpuio.image", "gpuio.image.detection", "gpuio.nd",
    "gpuio.nd.sparse", "gpuio.gluon.data", "gpuio.gluon.data.vision", "gpuio.context",
)  # fmt: skip
ABSTRACT = {"Dataset"}  # holds nothing


@pytest.mark.parametrize("name", MODULES)
def test_every_public_class_has_a_repr_of_its_own(name):
    module = importlib.import_module(name)
    classes = [getattr(module, one) for one in module.__all__]
    for one in classes:
        if inspect.isclass(one) and one.__name__ not in ABSTRACT:
            assert one.__repr__ is not object.__repr__, one


def test_iterators_and_batches_say_their_shapes():
    it = mx.io.NDArrayIter(np.zeros((6, 3, 4, 4)), np.arange(6), batch_size=2)
    assert repr(it) == (
        "NDArrayIter(batch_size=2, data=[data (2, 3, 4, 4) float32], "
        "label=[softmax_label (2,) float32])"
    )
    assert repr(it.next()) == "DataBatch(data=[(2, 3, 4, 4) float32], label=[(2,) float32], pad=0)"
    assert repr(mx.io.ResizeIter(it, 9)).startswith("ResizeIter(batch_size=2, data=[data (2, 3")
    batch = mx.io.DataBatch(None, [[1, 2]])
    assert repr(batch) == "DataBatch(data=[], label=[list], pad=None)"


def test_a_subclass_that_is_half_made_has_a_repr():
    class Half(mx.io.DataIter):
        def __init__(self):
            pass

        @property
        def provide_data(self):
            raise RuntimeError("not yet")

    assert repr(Half()) == "Half(batch_size=None)"


def test_files_augmenters_and_sets_say_what_they_are(tmp_path):
    rec, idx = write_rec(tmp_path, [flat(1), flat(2)])
    record = mx.recordio.MXIndexedRecordIO(idx, rec, "r")
    assert repr(record) == f"MXIndexedRecordIO({rec!r}, 'r')"
    record.close()
    assert repr(record) == f"MXIndexedRecordIO({rec!r}, 'r', closed)"
    made = mx.image.CreateAugmenter((3, 8, 8), resize=9, rand_mirror=True)
    assert repr(made[0]) == "ResizeAug(size=9, interp=2)"
    assert repr(mx.image.SequentialAug(made[:1])) == "SequentialAug([ResizeAug(size=9, interp=2)])"
    borrowed = mx.image.detection.DetBorrowAug(made[0])
    assert repr(borrowed) == "DetBorrowAug(ResizeAug(size=9, interp=2))"
    dataset = mx.gluon.data.RecordFileDataset(rec)
    assert repr(dataset) == f"RecordFileDataset({rec!r}, 2 records)"
    dataset.close()


def test_a_loader_names_its_iterator():
    from gpuio.adapters.loader import Loader

    it = mx.io.NDArrayIter(np.zeros((4, 2)), batch_size=2)
    assert repr(Loader(it, np.asarray)) == f"Loader({it!r})"


def test_notebooks_show_batches_iterators_records_and_plans(tmp_path):
    rec, idx = write_rec(tmp_path, [jpeg(photo(20, 30, i)) for i in range(6)], [0.0, 1, 2, 3, 4, 5])
    (tmp_path / "data.classes.json").write_text('{"<cat>": 0}')
    with reader((rec, idx), batch_size=4, rand_mirror=True) as it:
        before = it.state_dict()
        html = it._repr_html_()
        assert html.count("<img ") == 6
        assert "0: 0 &lt;cat&gt;" in html
        assert "rand_mirror" in html
        assert it.state_dict() == before
        batch = it.next()
        html = batch._repr_html_()
        assert html.count("<img ") == 4
        assert "plan: 4 rows" in html
        assert "crop_h" in batch.plan._repr_html_()
        assert "hls_on" not in batch.plan._repr_html_()  # zero in all rows
        assert pickle.loads(pickle.dumps(batch.plan)).tobytes() == batch.plan.tobytes()
    record = mx.recordio.MXIndexedRecordIO(idx, rec, "r")
    assert record._repr_html_().count("<img ") == 6
    assert record.read_idx(0) == mx.recordio.MXRecordIO(rec, "r").read()
    record.close()


@pytest.mark.parametrize(
    ("data", "images"),
    [
        (np.random.default_rng(0).normal(size=(3, 3, 4, 4)), 3),
        (np.full((2, 4, 4, 3), np.nan), 2),
        (np.zeros((2, 1, 4, 4)), 2),
        (np.zeros((2, 7, 5, 5)), 0),
        (np.zeros((2, 5)), 0),
    ],
)
def test_a_batch_of_any_shape_is_shown(data, images):
    it = mx.io.NDArrayIter(data, np.arange(len(data)), batch_size=len(data))
    assert "NDArrayIter" in it._repr_html_()
    html = it.next()._repr_html_()
    assert html.count("<img ") == images
    assert "DataBatch(data=[(" in html
    assert "DataBatch(data=[]" in mx.io.DataBatch(None)._repr_html_()
