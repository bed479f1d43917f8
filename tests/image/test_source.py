from __future__ import annotations

import pytest

from gpuio import recordio
from gpuio.errors import RecordError, StorageError
from gpuio.image.source import MissingImageError, MissingLabelError, SampleSource


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
