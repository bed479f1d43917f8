"""Damaged files: what is lost is named, what is sound is delivered, nothing wrong gets through."""

import gc
import json
import os
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import FormatError, GpuioWarning, RecordError, StorageError
from gpuio.pipeline import pipeline
from gpuio.recordio.checksum import write_checksums
from gpuio.storage import local
from support.faceset import write_payloads
from support.making import flat, offsets, write_rec


@pytest.fixture
def ten(tmp_path):
    """Ten records, label i, gray value 10 i."""
    return write_rec(tmp_path, [flat(10 * i) for i in range(10)])


def reader(files, **options):
    base = {"data_shape": (3, 8, 8), "batch_size": 5, "verbose": False, "ctx": "cpu"}
    return mx.io.ImageRecordIter(path_imgrec=files[0], **{**base, "last_batch": "pad", **options})


def labels(files, **options):
    """The labels of an epoch, padding left out; every image is its label's."""
    with reader(files, **options) as it:
        return taken(it)


def taken(it):
    found = []
    for batch in it:
        count = len(batch.label[0]) - batch.pad
        data, label = batch.data[0].asnumpy()[:count], batch.label[0].asnumpy()[:count]
        assert (data == 10 * label[:, None, None, None]).all()
        found += label.tolist()
    return found


def put(path, at, new):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(new)


@pytest.fixture
def damaged(ten):
    """Record 3 with a bad magic, record 7 cut short by the end of the file."""
    at = offsets(ten[1])
    put(ten[0], at[3], b"\0")
    os.truncate(ten[0], at[9] + 20)
    return ten


def test_without_resync_the_error_says_what_would_go_on(damaged):
    with pytest.raises(FormatError, match=r"bad magic.*`gpuio repair`.*resync=True") as raised:
        reader(damaged)
    assert raised.value.offset == offsets(damaged[1])[3]


@pytest.mark.parametrize("shuffle", [False, True])
def test_resync_delivers_the_rest_and_names_what_it_skips(damaged, tmp_path, shuffle):
    at, log = offsets(damaged[1]), tmp_path / "log.jsonl"
    with pytest.warns(GpuioWarning, match=rf"2 ranges .* \[{at[3]}, {at[4]}\): bad magic"):
        it = reader(damaged, resync=True, error_log=str(log), shuffle=shuffle)
    with it:
        assert sorted(taken(it)) == [0, 1, 2, 4, 5, 6, 7, 8]
        skipped = it.stats()["skipped_ranges"]
    assert [(one["begin"], one["end"]) for one in skipped] == [(at[3], at[4]), (at[9], at[9] + 20)]
    assert {one["path"] for one in skipped} == {damaged[0]}
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(one["offset"], one["end"]) for one in lines] == [(at[3], at[4]), (at[9], at[9] + 20)]
    assert lines[0]["policy"] == "resync"
    assert "expected 0xced7230a" in lines[0]["reason"]
    assert "cut short" in lines[1]["reason"]


def test_resync_of_a_sound_file_changes_and_says_nothing(ten):
    assert labels(ten, resync=True) == labels(ten) == list(range(10))
    with reader(ten, resync=True) as it:
        assert it.stats()["skipped_ranges"] == []


@pytest.mark.parametrize(
    ("policy", "found"),
    [
        ("skip", [0, 1, 2, 4, 5, 6, 7, 8]),
        ("replace", None),
    ],
)
def test_with_an_index_damage_is_left_to_the_policy(damaged, policy, found):
    with reader(damaged, path_imgidx=damaged[1], on_error=policy) as it:
        got = taken(it)
        bad = it.stats()["failed_records"]
    assert found is None or got == found
    assert len(got) == (8 if policy == "skip" else 10)
    assert [one["key"] for one in bad[:2]] == [3, 9]
    assert "FormatError: bad magic" in bad[0]["reason"]
    assert "cut short" in bad[1]["reason"]


def test_with_an_index_the_error_stands_at_its_batch(damaged):
    with reader(damaged, path_imgidx=damaged[1], batch_size=2) as it:
        assert next(it).label[0].asnumpy().tolist() == [0, 1]
        with pytest.raises(FormatError, match="bad magic") as raised:
            next(it)
    assert (raised.value.key, raised.value.offset) == (3, offsets(damaged[1])[3])


def test_a_file_cut_before_its_last_records_needs_resync_with_an_index(ten):
    at = offsets(ten[1])
    os.truncate(ten[0], at[7] + 2)
    with pytest.raises(FormatError, match=r"key 7 lies .* resync=True reads what is left"):
        reader(ten, path_imgidx=ten[1])
    with pytest.warns(GpuioWarning, match="with 3 records"):
        it = reader(ten, path_imgidx=ten[1], resync=True)
    with it:
        assert taken(it) == list(range(7))
        assert it.stats()["skipped_ranges"][0]["begin"] == at[7]


def test_parts_of_a_damaged_file_hold_every_record_once(damaged):
    found = []
    for part in range(3):
        with pytest.warns(GpuioWarning, match="2 ranges"):
            found += labels(damaged, resync=True, num_parts=3, part_index=part, batch_size=2)
    assert sorted(found) == [0, 1, 2, 4, 5, 6, 7, 8]


def test_a_state_taken_under_resync_goes_on_at_its_place(damaged):
    with pytest.warns(GpuioWarning):
        first, second = (reader(damaged, resync=True, batch_size=2) for _ in range(2))
    with first, second:
        next(first)
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert taken(first) == taken(second) == [2, 4, 5, 6, 7, 8]


# checksums


def flip(path, at):
    data = Path(path).read_bytes()
    put(path, at, bytes([data[at] ^ 1]))


def test_a_changed_label_gets_past_a_decoder_but_not_past_checksums(ten):
    write_checksums(ten[0])
    assert labels(ten, checksum=True) == list(range(10))
    flip(ten[0], offsets(ten[1])[4] + 8 + 6)  # of the label
    with reader(ten) as it:
        assert np.concatenate([b.label[0].asnumpy() for b in it])[4] != 4
    with reader(ten, checksum=True) as it:
        with pytest.raises(RecordError, match=r"checksum 0x\w+, expected 0x\w+") as raised:
            next(it)
        assert (raised.value.key, raised.value.offset) == (4, offsets(ten[1])[4])
    for options in ({"path_imgidx": ten[1]}, {}):
        got = labels(ten, checksum=ten[0] + ".crc32", on_error="skip", **options)
        assert got == [0, 1, 2, 3, 5, 6, 7, 8, 9]


def test_checksums_of_another_file_are_refused(ten, tmp_path):
    other = write_rec(tmp_path, [flat(0)], name="other")
    write_checksums(other[0])
    with pytest.raises(FormatError, match=r"checksums of a file of \d+ bytes, but"):
        reader(ten, checksum=other[0] + ".crc32")
    with pytest.raises(mx.OptionError, match="checksum: 2 files of checksums for 1 record files"):
        reader(ten, checksum=["a", "b"])
    with pytest.raises(StorageError, match="`gpuio checksum` makes them"):
        reader(ten, checksum=True)


def test_checksums_and_resync_together(damaged, tmp_path):
    whole = write_rec(tmp_path, [flat(10 * i) for i in range(10)], name="whole")
    write_checksums(whole[0], tmp_path / "sums")
    with pytest.raises(FormatError, match=r"resync=True checks the records that are left"):
        reader(damaged, path_imgidx=damaged[1], checksum=tmp_path / "sums")
    flip(damaged[0], offsets(damaged[1])[5] + 20)
    with pytest.warns(GpuioWarning):
        it = reader(damaged, resync=True, checksum=tmp_path / "sums", on_error="skip")
    with it:
        assert taken(it) == [0, 1, 2, 4, 6, 7, 8]


def test_checksums_follow_records_that_moved(ten):
    """Bytes lost in the middle: what lies behind them is at another place, and still itself."""
    write_checksums(ten[0])
    data, at = Path(ten[0]).read_bytes(), offsets(ten[1])
    moved = bytearray(data[: at[3] + 20] + data[at[3] + 24 :])
    moved[at[8] - 4 + 60] ^= 1  # and one that was changed as well
    Path(ten[0]).write_bytes(moved)
    with pytest.warns(GpuioWarning):
        it = reader(ten, resync=True, checksum=True, on_error="skip")
    with it:
        assert taken(it) == [0, 1, 2, 4, 5, 6, 7, 9]


def test_a_batch_with_bad_records_is_let_go_as_soon_as_its_user_does(tmp_path):
    """An error's traceback holds the frames it came through, and these the batch."""
    blobs = [flat(10 * i) for i in range(10)]
    blobs[1] = blobs[1][:60]  # fails in the decoder
    files = write_rec(tmp_path, blobs)
    put(files[0], offsets(files[1])[3], b"\0")  # fails in the reader
    gc.collect()
    gc.disable()
    try:
        with reader(files, path_imgidx=files[1], on_error="skip") as it:
            held = [weakref.ref(batch.data[0]) for batch in it]
            assert len(it.stats()["failed_records"]) == 2
            # the iterator holds the last one; a worker may be on its way from handing out others
            ends = time.monotonic() + 60
            while held[0]() is not None and time.monotonic() < ends:
                time.sleep(0.001)
            assert held[0]() is None
    finally:
        gc.enable()


# files that change while they are open


def test_a_file_that_changes_is_noticed_at_the_next_epoch(ten):
    with reader(ten) as it:
        assert taken(it) == list(range(10))
        it.reset()
        Path(ten[0]).write_bytes(Path(ten[0]).read_bytes() + bytes(4))
        with pytest.raises(StorageError, match="changed while it was open"):
            it.reset()
        Path(ten[0]).unlink()
        with pytest.raises(StorageError, match="file is gone"):
            it.reset()
    assert not [t for t in threading.enumerate() if t.name.startswith("gpuio")]


def test_a_file_that_changes_while_it_is_opened_is_noticed(ten, monkeypatch):
    from gpuio.pipeline import opening

    def open_table(*args, **options):
        table = real(*args, **options)
        with open(ten[0], "ab") as file:
            file.write(bytes(8))
        return table

    real = opening.open_table
    monkeypatch.setattr(opening, "open_table", open_table)
    with pytest.raises(StorageError, match="changed while it was opened"):
        reader(ten)


def test_bytes_that_are_no_record_any_more_are_a_changed_file(ten, monkeypatch):
    monkeypatch.setattr(pipeline, "_AT_ONCE", 1)  # batches are read at once, before the change
    large = {"data_shape": (3, 304, 304)}  # and small ones are made as one
    with reader(ten, batch_size=1, on_error="skip", prefetch_buffer=1, **large) as it:
        assert next(it).label[0].asnumpy().tolist() == [0]
        at = offsets(ten[1])
        put(ten[0], at[9], bytes(8))
        os.utime(ten[0], ns=(0, 0))
        for number in range(1, 9):
            assert next(it).label[0].asnumpy().tolist() == [number]
        with pytest.raises(StorageError, match="changed while it was open"):
            next(it)


@pytest.mark.parametrize("policy", ["raise", "skip", "zero", "replace"])
def test_a_file_cut_while_it_is_read_is_an_error_under_every_policy(tmp_path, policy):
    files = write_rec(tmp_path, [flat(i, 200, 200) + bytes(100_000) for i in range(30)])
    large = {"data_shape": (3, 304, 304)}  # small batches are read together, before the cut
    options = {"on_error": policy, "max_bad": 100, "prefetch_buffer": 1, **large}
    with reader(files, batch_size=1, **options) as it:
        next(it)
        os.truncate(files[0], os.path.getsize(files[0]) // 2)
        with pytest.raises(StorageError, match=r"cut after it was opened|changed while"):
            list(it)
        assert it.stats()["failed_records"] == []


def test_a_read_error_that_passes_is_not_noticed(ten, monkeypatch):
    import errno
    import time

    expected, real, failures = labels(ten), os.pread, []
    monkeypatch.setattr(time, "sleep", failures.append)

    def sometimes(*args):
        if len(failures) < 3:
            raise OSError(errno.EIO, "Input/output error")
        return real(*args)

    with reader(ten) as it:
        monkeypatch.setattr(local, "_compiled", lambda: None)
        monkeypatch.setattr(os, "pread", sometimes)
        assert taken(it) == expected
    assert len(failures) == 3


def test_labels_by_place_are_refused_behind_damage(tmp_path):
    rec, idx = write_payloads(tmp_path, [flat(10 * number) for number in range(10)])
    (tmp_path / "a.lst").write_text("".join(f"{k}\t{k}\tx.png\n" for k in range(10)))
    at = offsets(idx)
    data = bytearray(Path(rec).read_bytes())
    data[at[3] : at[3] + 4] = b"xxxx"
    Path(rec).write_bytes(data)
    given = {
        "path_imgrec": rec, "path_imglist": str(tmp_path / "a.lst"), "resync": True,
        "data_shape": (3, 8, 8), "batch_size": 3, "verbose": False, "ctx": "cpu",
    }  # fmt: skip
    with pytest.warns(GpuioWarning), pytest.raises(FormatError, match="give path_imgidx") as raised:
        mx.io.ImageRecordIter(**given)
    assert (raised.value.path, raised.value.offset) == (rec, at[3])
    with mx.io.ImageRecordIter(**given, path_imgidx=idx, on_error="skip") as it:
        batch = next(it)
        assert batch.data[0][:, 0, 0, 0].tolist() == [10 * one for one in batch.label[0].tolist()]
