"""A binary beside an index is taken if it is right, and never believed if it is not."""

import logging
import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from gpuio.errors import FormatError, StorageError
from gpuio.recordio import MXIndexedRecordIO, index_binary, share_index
from gpuio.recordio.index import open_table
from gpuio.recordio.index_binary import binary_path, open_entries
from gpuio.recordio.index_entries import read_text
from support.making import write_rec

TEXTS = {
    "consecutive": "".join(f"{i}\t{128 * i}\n" for i in range(5, 3000)),
    "any order": "".join(f"{i * 77 % 3001}\t{128 * i}\n" for i in range(3000)),
    "three": "0\t0\n1\t16\n2\t40",
    "empty": "",
}


@pytest.fixture(params=TEXTS)
def shared(request, tmp_path):
    """The path of an index that has its binary, and what its text holds."""
    path = tmp_path / "a.idx"
    path.write_text(TEXTS[request.param])
    share_index(path)
    return str(path), read_text(path)


def from_text(path, monkeypatch, caplog):
    """Open an index; return what it holds, whether its text was read, and what was logged."""
    read = []
    monkeypatch.setattr(
        index_binary, "read_text", lambda path: (read.append(path), read_text(path))[1]
    )
    with caplog.at_level(logging.WARNING, "gpuio"):
        found = open_entries(path)
    return found, len(read) == 1, [record.getMessage() for record in caplog.records]


def same(found, expected):
    return (
        type(found.keys) is type(expected.keys)
        and list(found.keys) == list(expected.keys)
        and found.offsets.tolist() == expected.offsets.tolist()
        and found.offsets.dtype == np.int64
    )


def test_the_binary_holds_what_the_text_holds(shared, monkeypatch, caplog):
    found, read, logged = from_text(shared[0], monkeypatch, caplog)
    assert same(found, shared[1])
    assert (read, logged) == (False, [])


def test_nothing_is_written_unasked(tmp_path):
    rec, idx = write_rec(tmp_path, [b"x"] * 6)
    open_table([rec], [idx])
    MXIndexedRecordIO(idx, rec, "r").close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.idx", "data.rec"]
    assert share_index(idx) == idx + ".bin" == binary_path(Path(idx))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("data.idx", "data.idx.bin", "data.rec")
    ]


def test_its_form_is_the_one_that_was_settled(tmp_path):
    path = tmp_path / "a.idx"
    path.write_text("7\t0\n3\t16\n")
    os.utime(path, ns=(10**18, 10**18))
    crc = zlib.crc32(b"7\t0\n3\t16\n")
    body = struct.pack("<4q", 0, 16, 7, 3)
    head = struct.pack(
        "<8sIIQqIIQqI",
        b"gpuioIDX",
        1,
        1,
        9,
        10**18,
        zlib.crc32(b"7\t0\n3\t16\n" * 2),
        crc,
        2,
        0,
        zlib.crc32(body),
    )
    assert Path(share_index(path)).read_bytes() == head + struct.pack("<I", zlib.crc32(head)) + body


def test_every_flipped_byte_is_noticed(tmp_path, monkeypatch, caplog):
    path = tmp_path / "a.idx"
    path.write_text("7\t0\n3\t16\n")
    good = Path(share_index(path)).read_bytes()
    for at in range(len(good)):
        caplog.clear()
        data = bytearray(good)
        data[at] ^= 1 << at % 8
        Path(binary_path(path)).write_bytes(data)
        found, read, logged = from_text(path, monkeypatch, caplog)
        assert same(found, read_text(path))
        assert (read, len(logged)) == (True, 1), at
        assert logged[0].startswith(f"{path}.bin is not used: ")


@pytest.mark.parametrize("keep", [0, 1, 8, 63, 64, 65, -8, -1])
def test_a_cut_one_is_not_believed(shared, keep, monkeypatch, caplog):
    side = Path(binary_path(shared[0]))
    data = side.read_bytes()
    if len(data[:keep]) == len(data):
        keep = -1
    side.write_bytes(data[:keep])
    found, read, logged = from_text(shared[0], monkeypatch, caplog)
    assert same(found, shared[1])
    assert (read, len(logged)) == (True, 1)


def test_a_longer_one_is_not_believed(shared, monkeypatch, caplog):
    with Path(binary_path(shared[0])).open("ab") as file:
        file.write(bytes(8))
    assert from_text(shared[0], monkeypatch, caplog)[1]


def test_another_version_is_named(shared, monkeypatch, caplog):
    side = Path(binary_path(shared[0]))
    data = bytearray(side.read_bytes())
    data[8] = 2
    data[60:64] = zlib.crc32(data[:60]).to_bytes(4, "little")
    side.write_bytes(data)
    _, read, logged = from_text(shared[0], monkeypatch, caplog)
    assert (read, len(logged)) == (True, 1)
    assert "version 2, expected 1" in logged[0]


@pytest.mark.parametrize("text", [b"0\t0\n", b"7\t0\n3\t17\n", b"7\t0\n3\t16", b"", b"x"])
@pytest.mark.parametrize("same_time", [False, True])
def test_another_text_is_not_believed(tmp_path, text, same_time, monkeypatch, caplog):
    path = tmp_path / "a.idx"
    path.write_bytes(b"7\t0\n3\t16\n")
    share_index(path)
    status = path.stat()
    path.write_bytes(text)
    if same_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    found, read, logged = from_text(path, monkeypatch, caplog)
    assert (read, len(logged)) == (True, 1)
    assert "is not the text that it was made of" in logged[0]
    assert found is None if text == b"x" else same(found, read_text(path))


def test_a_change_in_the_middle_is_noticed_by_the_time(tmp_path, monkeypatch, caplog):
    path = tmp_path / "a.idx"
    lines = [f"{key}\t{1000 + key % 7}\n" for key in range(100_000)]
    path.write_text("".join(lines))
    share_index(path)
    lines[50_000] = "50000\t1009\n"
    path.write_text("".join(lines))
    os.utime(path, ns=(10**18, 10**18))
    found, read, _ = from_text(path, monkeypatch, caplog)
    assert read
    assert found.offsets[50_000] == 1009


def test_a_copied_set_keeps_it(shared, monkeypatch, caplog):
    os.utime(shared[0], ns=(10**18, 10**18))  # as cp and downloads leave it
    found, read, logged = from_text(shared[0], monkeypatch, caplog)
    assert same(found, shared[1])
    assert (read, logged) == (False, [])


def test_what_is_none_is_not_believed(tmp_path, monkeypatch, caplog):
    path = tmp_path / "a.idx"
    path.write_text("7\t0\n3\t16\n")
    Path(binary_path(path)).mkdir()
    assert from_text(path, monkeypatch, caplog)[1]
    assert "it is a folder" in caplog.records[0].getMessage()


def test_a_missing_index_is_an_error_whatever_lies_beside(tmp_path):
    rec, idx = write_rec(tmp_path, [b"x"] * 6)
    share_index(idx)
    Path(idx).unlink()
    with pytest.raises(StorageError, match="cannot read the index"):
        open_table([rec], [idx])
    with pytest.raises(StorageError, match="cannot open the index"):
        MXIndexedRecordIO(idx, rec, "r")
    with pytest.raises(StorageError, match="cannot read the index"):
        share_index(idx)


@pytest.mark.parametrize("text", ["a\t0\n", "0\t0\textra\n", "0\t-1\n", "0\n"])
def test_keys_that_arrays_cannot_hold_are_refused(tmp_path, text):
    path = tmp_path / "a.idx"
    path.write_text(text)
    with pytest.raises(FormatError, match="cannot be written in binary"):
        share_index(path)
    assert not Path(binary_path(path)).exists()


def test_a_text_that_changes_meanwhile_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "a.idx"
    path.write_text("7\t0\n3\t16\n")

    def change(path):
        found = read_text(path)
        Path(path).write_text("7\t0\n3\t16\n9\t20\n")
        return found

    monkeypatch.setattr(index_binary, "read_text", change)
    with pytest.raises(StorageError, match="changed while it was read"):
        share_index(path)
    assert not Path(binary_path(path)).exists()


def test_readers_and_tables_take_it(tmp_path, monkeypatch):
    rec, idx = write_rec(tmp_path, [b"x" * i for i in range(60)])
    expected = open_table([rec], [idx])
    share_index(idx)
    monkeypatch.setattr(index_binary, "read_text", None)
    table = open_table([rec], [idx])
    for name in ("offset", "length", "key", "file"):
        assert getattr(table, name).tolist() == getattr(expected, name).tolist()
    with MXIndexedRecordIO(idx, rec, "r") as reader:
        assert reader.keys == list(range(60))
        assert reader.read_idx(7)[24:] == b"x" * 7
        again = pickle.loads(pickle.dumps(reader))
    assert again.read_idx(9)[24:] == b"x" * 9
    again.close()
