"""States of other data, of other options of the order, and of the versions before."""

import base64
import json
import os
import re
import struct
import zlib

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import StateError, StorageError
from gpuio.nd.sparse import CSRNDArray
from support import making


def csv(folder, change=0, **options):
    path = folder / "data.csv"
    path.write_text("".join(f"{1000 + i + change}\n" for i in range(10)))
    return mx.io.CSVIter(data_csv=str(path), data_shape=(1,), **{"batch_size": 4, **options})


def csv_labels(folder, change=0):
    (folder / "label.csv").write_text("".join(f"{10 + i + change}\n" for i in range(10)))
    return csv(folder, label_csv=str(folder / "label.csv"))


def libsvm(folder, change=0):
    path = folder / "data.svm"
    path.write_text("".join(f"{i} 0:{i + 10 + change}\n" for i in range(10)))
    return mx.io.LibSVMIter(data_libsvm=str(path), data_shape=(2,), batch_size=4)


def mnist(folder, change=0):
    pixels = bytes((i + change) % 256 for i in range(60))
    (folder / "images").write_bytes(struct.pack(">4I", 0x803, 10, 2, 3) + pixels)
    (folder / "labels").write_bytes(struct.pack(">2I", 0x801, 10) + bytes(10))
    files = {"image": str(folder / "images"), "label": str(folder / "labels")}
    return mx.io.MNISTIter(**files, batch_size=4)


def arrays(folder, change=0, **options):
    return mx.io.NDArrayIter(np.arange(10) + change, **{"batch_size": 4, **options})


def sparse(folder, change=0):
    data = CSRNDArray(np.arange(6.0) + change, [0] * 6, range(7), (6, 2))
    return mx.io.NDArrayIter(data, batch_size=2, last_batch_handle="discard")


def record(folder, change=0, **options):
    rec, idx = making.write_rec(folder, [making.flat(20 * i) for i in range(10)], labels(change))
    paths = {"path_imgrec": rec, "path_imgidx": idx, "data_shape": (3, 8, 8), "batch_size": 4}
    return mx.io.ImageRecordIter(**{**paths, "ctx": "cpu", "verbose": False, **options})


def labels(change):
    return [float(i + change) for i in range(10)]


def image(folder, change=0, **options):
    rec, idx = making.write_rec(folder, [making.flat(20 * i) for i in range(10)], labels(change))
    paths = {"path_imgrec": rec, "path_imgidx": idx, "data_shape": (3, 8, 8), "batch_size": 4}
    return mx.image.ImageIter(**{**paths, **options})


def image_from_start(folder, change=0):
    return image(folder, change, path_imgidx=None)


def image_list(folder, change=0):
    (folder / "a.png").write_bytes(making.flat(7))
    rows = [[i + change, "a.png"] for i in range(10)]
    return mx.image.ImageIter(4, (3, 8, 8), imglist=rows, path_root=str(folder))


def boxes(folder, change=0):
    label = [[2, 5, i, 0.1 + change / 10, 0.1, 0.9, 0.9] for i in range(10)]
    rec, idx = making.write_rec(folder, [making.flat(20 * i) for i in range(10)], label)
    return mx.image.ImageDetIter(4, (3, 8, 8), path_imgrec=rec, path_imgidx=idx)


KINDS = {
    make.__name__: make
    for make in (
        *(csv, csv_labels, libsvm, mnist, arrays, sparse),
        *(record, image, image_from_start, image_list, boxes),
    )
}


def folders(path):
    for name in ("one", "two"):
        (path / name).mkdir()
    return path / "one", path / "two"


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_of_other_data_of_the_same_size_is_refused(kind, tmp_path):
    one, two = folders(tmp_path)
    with KINDS[kind](one) as it, KINDS[kind](two, change=1) as other:
        it.next()
        with pytest.raises(StateError, match="digest"):
            other.load_state_dict(it.state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_goes_with_the_data_wherever_they_lie(kind, tmp_path):
    one, two = folders(tmp_path)
    with KINDS[kind](one) as it, KINDS[kind](two) as other:
        it.next()
        other.load_state_dict(json.loads(json.dumps(it.state_dict())))
        assert len(list(other)) == len(list(it))


@pytest.mark.parametrize(
    ("make", "here", "there", "named"),
    [
        (image, {}, {"batch_size": 3}, "batch_size"),
        (image, {}, {"num_parts": 2}, "num_parts"),
        (image, {"num_parts": 2}, {"num_parts": 2, "part_index": 1}, "part_index"),
        (image, {}, {"shuffle": True}, "shuffle"),
        (image, {"rng": 1}, {"rng": 2}, "seed"),
        (image, {}, {"last_batch_handle": "discard"}, "last_batch_handle"),
        (csv, {}, {"round_batch": False}, "round_batch"),
        (csv, {}, {"batch_size": 3}, "batch_size"),
        (arrays, {}, {"shuffle": True}, "shuffle"),
        (arrays, {}, {"last_batch_handle": "discard"}, "last_batch_handle"),
    ],
)
def test_a_state_of_another_order_is_refused(make, here, there, named, tmp_path):
    one, two = folders(tmp_path)
    with make(one, **here) as it, make(two, **there) as other:
        it.next()
        with pytest.raises(StateError, match=named):
            other.load_state_dict(it.state_dict())


@pytest.mark.parametrize("kind", ["csv", "csv_labels", "libsvm", "mnist", "arrays"])
def test_states_of_the_first_version_are_loaded(kind, tmp_path):
    with KINDS[kind](tmp_path) as it:
        it.next()
        state = json.loads(json.dumps(it.state_dict()))
        rest = len(list(it))
        it.reset()
        state["version"] = 1
        del state["source"]["digest"]
        it.load_state_dict(state)
        assert len(list(it)) == rest
        state["source"]["batch_size"] = 5
        with pytest.raises(StateError, match="batch_size"):
            it.load_state_dict(state)


def test_an_order_of_the_first_version_is_loaded(tmp_path):
    it = arrays(tmp_path, shuffle=True)
    it.next()
    state = it.state_dict()
    del state["source"]["digest"]
    written = [np.frombuffer(base64.b64decode(rows), "<u4").tolist() for rows in state["order"]]
    other = arrays(tmp_path, shuffle=True)
    other.load_state_dict({**state, "version": 1, "order": written})
    expected = [batch.data[0].tolist() for batch in it]
    assert [batch.data[0].tolist() for batch in other] == expected


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_state_of_an_image_iter_of_the_first_version_is_loaded(shuffle, tmp_path):
    with image(tmp_path, shuffle=shuffle) as it:
        it.next()
        state = json.loads(json.dumps(it.state_dict()))
        crc = zlib.crc32(repr(list(range(10))).encode())
        state["version"] = 1
        state["source"] = {
            "keys": 10,
            "crc": crc,
            "shuffle": shuffle,
            "seed": None,
            "last_batch_handle": "pad",
        }
        expected = [batch.label[0].tolist() for batch in it]
        it.reset()
        it.load_state_dict(state)
        assert [batch.label[0].tolist() for batch in it] == expected
        with pytest.raises(StateError, match="crc"):
            it.load_state_dict({**state, "source": {**state["source"], "crc": 1}})


def test_taking_a_state_looks_at_nothing_that_grows(tmp_path, monkeypatch):
    with image(tmp_path, shuffle=True) as it:
        first = it.state_dict()
        monkeypatch.setattr(it._source, "digest", None)
        assert it.state_dict()["order"] is first["order"]
        assert it.state_dict()["source"] == first["source"]


def test_an_order_that_a_subclass_made_is_what_is_saved(tmp_path):
    class Backwards(mx.image.ImageIter):
        def reset(self):
            super().reset()
            self.seq.reverse()

    with image(tmp_path) as it:
        options = {"path_imgrec": it._source.path_imgrec, "path_imgidx": it._source.path_imgidx}
    with Backwards(4, (3, 8, 8), shuffle=True, **options) as it:
        assert list(it.state_dict()["order"]) == it.seq


@pytest.mark.parametrize("epoch", [10**5, 2**62])
def test_a_far_epoch_is_not_refused(epoch, tmp_path):
    shuffle = epoch < 2**62  # MXNet's shuffle draws each pass before it
    one, two = folders(tmp_path)
    with record(one, shuffle=shuffle) as it, image(two, rng=3, shuffle=True) as other:
        for each in (it, other):
            each.load_state_dict({**each.state_dict(), "epoch": epoch})
            assert len(list(each)) > 0
            each.reset()


@pytest.mark.parametrize(
    ("here", "there", "named"),
    [
        ({"rand_crop": True}, {}, "rand_crop saved True, here False"),
        ({}, {"data_shape": (3, 6, 6)}, r"data_shape saved \[3, 8, 8\], here \[3, 6, 6\]"),
        ({}, {"seed_aug": 3, "resize": 9}, "resize saved -1, here 9; seed_aug saved None, here 3"),
        ({"mean_r": 5}, {"dtype": "uint8"}, "dtype saved 'float32', here 'uint8'; mean_r saved 5"),
        ({}, {"num_classes": 10, "mixup_alpha": 0.2}, r"mixup_alpha saved 0\.0, here 0\.2; num_cl"),
    ],
)
def test_options_of_pixels_that_differ_are_named_in_one_line(here, there, named, tmp_path, caplog):
    one, two = folders(tmp_path)
    with record(one, **here) as it, record(two, **there) as other:
        it.next()
        other.load_state_dict(json.loads(json.dumps(it.state_dict())))
        assert other.state_dict()["samples"] == 4
    assert len(caplog.records) == 1
    assert re.search(named, caplog.text)


def test_threads_and_limits_never_matter_and_older_states_say_nothing(tmp_path, caplog):
    one, two = folders(tmp_path)
    machine = {"preprocess_threads": 1, "prefetch_buffer": 1, "max_pixels": 10**6, "max_scans": 9}
    with record(one) as it, record(two, **machine, on_error="zero", data_name="x") as other:
        state = it.state_dict()
        other.load_state_dict(state)
    with record(two, rand_crop=True) as other:
        del state["pixels"]
        other.load_state_dict(state)
        with pytest.raises(StateError, match="pixels: expected a dict"):
            other.load_state_dict({**state, "pixels": 3})
    assert not caplog.records


def test_other_augmenters_of_an_image_iter_are_named(tmp_path, caplog):
    one, two = folders(tmp_path)
    with image(one) as it, image(two, rand_mirror=True) as other, image(two) as same:
        it.next()
        same.load_state_dict(it.state_dict())
        assert not caplog.records
        other.load_state_dict(json.loads(json.dumps(it.state_dict())))
        assert other.cur == 4
    assert len(caplog.records) == 1
    assert "auglist saved" in caplog.text


def test_a_record_file_that_changes_under_an_image_iter_is_an_error(tmp_path):
    with image(tmp_path, preprocess_threads=0) as it:
        it.next()
        path = tmp_path / "data.rec"
        before = path.stat()
        path.write_bytes(path.read_bytes())
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**10))
        for _ in range(2):
            with pytest.raises(StorageError, match="changed while it was open"):
                it.next()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert len(list(it)) == 2
