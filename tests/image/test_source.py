from __future__ import annotations

import os
import pickle

import pytest

import gpuio as mx
from gpuio import recordio
from gpuio.errors import EmptyDatasetError, RecordError, StorageError
from gpuio.image import ImageIter
from gpuio.image.source import MissingImageError, MissingLabelError, SampleSource
from gpuio.recordio.framing import encode
from support.image_epochs import SHAPE
from support.making import flat, write_rec


def test_imglist_rows_have_three_shapes():
    source = SampleSource(imglist=[[1, "a"], [[2, 3], "b"], [4, 5, 6, "c"]])
    assert source.keys == ["1", "2", "3"]
    labels = [labels.tolist() for labels, _ in source.imglist.values()]
    assert labels == [[1], [2, 3], [4, 5, 6]]


def test_a_record_that_is_no_image_record_fails_in_its_turn(tmp_path):
    idx, rec = str(tmp_path / "a.idx"), str(tmp_path / "a.rec")
    with recordio.MXIndexedRecordIO(idx, rec, "w") as writer:
        writer.write_idx(4, b"short")
    indexed = SampleSource(path_imgrec=rec, path_imgidx=idx)
    sample = next(indexed.samples([4], 0))
    with pytest.raises(RecordError, match="not an image record") as caught:
        indexed.fetch(sample)
    assert (caught.value.path, caught.value.key, caught.value.offset) == (rec, 4, 0)
    sequential = SampleSource(path_imgrec=rec)
    sample = next(sequential.samples(None, 0))
    assert isinstance(sample.error, RecordError)
    indexed.close()
    sequential.close()


def test_missing_files_are_named_with_both_kinds_of_type(tmp_path):
    source = SampleSource(imglist=[[1, "a.png"]], path_root=tmp_path)
    with pytest.raises(MissingImageError) as caught:
        source.fetch(next(source.samples(["1"], 0)))
    assert isinstance(caught.value, FileNotFoundError)
    assert isinstance(caught.value, StorageError)
    assert caught.value.path == str(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError):
        SampleSource(path_imglist=tmp_path / "none.lst")


def test_a_missing_label_prints_as_text():
    error = MissingLabelError("3 records", key=5)
    assert isinstance(error, KeyError)
    assert str(error) == "3 records [key=5]"


def test_a_large_index_is_not_made_a_list(tmp_path):
    count = 70_000
    blob = mx.recordio.pack((0, 1.0, 0, 0), b"")
    framed = len(encode(blob))
    (tmp_path / "a.rec").write_bytes(encode(blob) * count)
    lines = "".join(f"{key}\t{key * framed}\n" for key in range(count))
    (tmp_path / "a.idx").write_text(lines)
    it = mx.image.ImageIter(
        2, (3, 8, 8), path_imgrec=tmp_path / "a.rec", path_imgidx=tmp_path / "a.idx"
    )
    assert it.imgidx is it.seq is it.imgrec.keys
    assert (len(it.imgidx), it.num_image, it.next_sample()[0]) == (count, count, 1.0)
    it._seek(69_998)
    assert [sample.key for sample in it._samples()] == [69_998, 69_999]
    assert it.imgidx._made is None
    it.close()


@pytest.mark.parametrize("index", [True, False])
def test_a_record_file_that_changes_while_it_is_open_is_an_error(make_records, index):
    records = make_records(6)
    if not index:
        del records["path_imgidx"]
    with ImageIter(2, SHAPE, preprocess_threads=0, **records) as it:
        it.next()
        os.utime(records["path_imgrec"], ns=(1, 1))
        for _ in range(2):
            with pytest.raises(StorageError, match="changed while it was open"):
                it.next()
            it.reset()
        copy = pickle.loads(pickle.dumps(it))  # opens the file as it is now
        assert len(list(copy)) == 3
        copy.close()


def test_a_source_of_nothing_is_an_error(tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    write_rec(tmp_path, [flat(1)], name="a")
    for source in (
        {"path_imglist": str(empty), "path_root": "."},
        {"imglist": [], "path_root": "."},
        {"path_imgrec": str(empty)},
        {"path_imgrec": str(tmp_path / "a.rec"), "path_imgidx": str(empty)},
    ):
        with pytest.raises(EmptyDatasetError):
            mx.image.ImageIter(1, (3, 8, 8), **source)
