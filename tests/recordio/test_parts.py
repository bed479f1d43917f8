"""A manifest's table gives what a table of all records holds, and keeps few indexes in memory."""

import logging
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

from gpuio.errors import FormatError, OptionError, StorageError
from gpuio.recordio import parts as parts_module
from gpuio.recordio.index import open_table
from gpuio.recordio.index_binary import share_index
from gpuio.recordio.manifest import read_manifest
from gpuio.recordio.parts import (
    PartIndex,
    check_etag,
    check_few,
    open_manifest,
    read_part_index,
)
from gpuio.storage.local import LocalFile
from support.parts import manifest_of, write_parts

COUNTS = [3, 1, 40, 2]


@pytest.fixture
def recs(tmp_path):
    return write_parts(tmp_path, COUNTS, first_key=5)


@pytest.fixture
def table(recs):
    return open_manifest(read_manifest(manifest_of(recs)))


def test_its_columns_are_those_of_all_records(recs, table):
    whole = open_table([str(rec) for rec in recs], [str(rec.with_suffix(".idx")) for rec in recs])
    rng = np.random.default_rng(0)
    assert len(table) == len(whole) == sum(COUNTS)
    for name in ("file", "offset", "length", "key"):
        ours, theirs = getattr(table, name), getattr(whole, name)
        assert len(ours) == len(theirs)
        none = np.empty(0, np.int64)
        some = rng.integers(0, 46, 30)
        for rows in (some, np.array([-1, 0]), none, slice(2, 44), slice(None, None, 7)):
            made = ours[rows]
            assert made.dtype == np.int64
            np.testing.assert_array_equal(made, theirs[rows])
        assert [int(ours[row]) for row in (0, 3, 45, -1)] == theirs[[0, 3, 45, -1]].tolist()
        np.testing.assert_array_equal(np.asarray(ours), theirs)
        np.testing.assert_array_equal(ours == theirs[4], theirs == theirs[4])
        assert np.asarray(ours, np.float32).dtype == np.float32
        with pytest.raises(IndexError, match="46"):
            ours[46]
        with pytest.raises(IndexError, match="46"):
            ours[np.array([-47])]
    assert (list(table.paths), table.sizes.tolist()) == (list(whole.paths), whole.sizes.tolist())
    assert table.mean_length == whole.mean_length
    assert table.named == table.manifest.path
    assert whole.named == ", ".join(whole.paths)


def test_indexes_are_read_when_they_are_due_and_the_last_ones_stay(recs, monkeypatch):
    read = []

    def note(idx_path, *rest):
        read.append(Path(idx_path).stem)
        return read_part_index(idx_path, *rest)

    monkeypatch.setattr(parts_module, "read_part_index", note)
    manifest = read_manifest(manifest_of(recs))
    read.clear()
    table = open_manifest(manifest, kept_bytes=4 * (41 + 3))
    assert table.file[np.arange(46)].tolist() == [0] * 3 + [1] + [2] * 40 + [3] * 2
    assert read == []
    for row in (4, 43, 45, 4, 3, 45, 4):
        table.offset[row]
        table.key[row]
    assert read == ["00002", "00003", "00001", "00003", "00002"]
    every = open_manifest(manifest, kept_bytes=None)
    read.clear()
    for row in (0, 3, 4, 45, 0, 3, 4, 45):
        every.length[row]
    assert read == ["00000", "00001", "00002", "00003"]


@pytest.mark.parametrize("keys", [range(7, 10), [9, 4, 2], [-1, 0, 1 << 40]])
@pytest.mark.parametrize("size", [400, 1 << 35])
def test_a_record_takes_four_bytes_where_that_is_enough(keys, size):
    offsets = np.array([0, 100, size - 200])
    index = PartIndex(keys if isinstance(keys, range) else np.array(keys), offsets, size, 0)
    rows = np.array([2, 0, 1])
    assert index.offset(rows).tolist() == offsets[rows].tolist()
    assert index.length(rows).tolist() == [200, 100, size - 300]
    assert index.key(rows).tolist() == [keys[row] for row in rows]
    large, wide = size > 1 << 34, not isinstance(keys, range) and min(keys) < 0
    narrow = 0 if isinstance(keys, range) else 12
    assert index.nbytes == (32 if large else 16) + (24 if wide else narrow)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0\t0\n1\tx\n", "whole number, a TAB"),
        ("a\t0\n", "whole number, a TAB"),
        ("", "not that of all records"),
        ("0\t4\n", "not that of all records"),
        ("0\t0\n1\t0\n", "not that of all records"),
        ("0\t0\n1\t6\n", "not that of all records"),
        ("0\t8\n1\t0\n", "not that of all records"),
        ("0\t0\n1\t100\n", "below the file's size"),
    ],
)
def test_an_index_of_another_kind_is_refused(tmp_path, text, said):
    (tmp_path / "a.idx").write_text(text)
    with pytest.raises(FormatError, match=said) as raised:
        read_part_index(str(tmp_path / "a.idx"), "a.rec", 100)
    assert "gpuio rec2idx" in str(raised.value)
    good = "3\t0\n4\t8\n"
    (tmp_path / "a.idx").write_text(good)
    assert read_part_index(str(tmp_path / "a.idx"), "a.rec", 100).crc == zlib.crc32(good.encode())


def test_the_binary_of_an_index_is_read_instead_of_its_text(recs, table, monkeypatch, caplog):
    for rec in recs:
        share_index(rec.with_suffix(".idx"))
    with monkeypatch.context() as patch:
        patch.setattr(parts_module, "read_whole", None)
        test_its_columns_are_those_of_all_records(recs, table)
    manifest = table.manifest
    index = read_part_index(manifest.index_path(2), manifest.paths[2], int(manifest.sizes[2]))
    assert (index.crc, len(index)) == (manifest.index_crc[2], 40)
    binary = Path(manifest.index_path(2) + ".bin")
    content = binary.read_bytes()
    binary.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    fresh = open_manifest(manifest)
    assert fresh.offset[4:44].tolist() == table.offset[4:44].tolist()
    assert "content is damaged" in caplog.messages[-1]


def test_the_binary_of_another_text_is_not_used(recs, table):
    idx = recs[2].with_suffix(".idx")
    share_index(idx)
    lines = idx.read_text().splitlines()
    idx.write_text("\n".join([*lines[:-1], "1" + lines[-1]]) + "\n")
    share_index(idx)
    with pytest.raises(FormatError, match=r"not the one that .*manifest.json was made with"):
        table.offset[5]


def test_an_index_that_changed_is_not_used(recs, table):
    idx = recs[2].with_suffix(".idx")
    lines = idx.read_text().splitlines()
    for changed in (lines[:-1], [*lines[:-1], "1" + lines[-1]]):
        idx.write_text("\n".join(changed) + "\n")
        with pytest.raises(FormatError, match=r"not the one that .*manifest.json was made with"):
            table.offset[5]
    idx.unlink()
    with pytest.raises(StorageError, match="cannot read the index of a part"):
        table.offset[5]
    assert table.offset[0] == 0  # of another part


def test_a_part_that_changed_is_refused_and_a_copy_is_not(recs, table, caplog):
    caplog.set_level(logging.INFO, "gpuio")
    with LocalFile(recs[0]) as file:
        table.check_file(0, file)
    assert not caplog.messages
    shutil.copy(recs[0], recs[0].with_name("copy"))
    os.utime(recs[0].with_name("copy"), (9, 9))  # dates may be as coarse as seconds
    shutil.move(recs[0].with_name("copy"), recs[0])
    with LocalFile(recs[0]) as file:
        table.check_file(0, file)
        table.check_file(0, file)
    assert len(caplog.messages) == 1
    assert "taken for copies" in caplog.messages[0]
    recs[0].write_bytes(b"12345678")
    with LocalFile(recs[0]) as file, pytest.raises(StorageError, match=r"8 bytes, .* says 300"):
        table.check_file(0, file)


@pytest.mark.parametrize(
    ("tag", "now", "same"),
    [
        ('"a"', '"a"', True), ('"a"', '"b"', False), ("12", '"b"', True), ("", '"b"', True),
        ('W/"a"', '"b"', True), ('"a"', 'W/"b"', True), ('"a"', "", True),
    ],
)  # fmt: skip
def test_etags_that_name_a_version_are_compared(recs, tag, now, same):
    with LocalFile(recs[0]) as file:
        file.etag = now
        if same:
            check_etag(file, tag, "m.json")
            return
        said = r'm.json was made with: etag "a" then, etag "b" now; `gpuio manifest`'
        with pytest.raises(StorageError, match=said) as raised:
            check_etag(file, tag, "m.json")
        assert raised.value.path == str(recs[0])


def test_too_many_records_are_not_looked_at_one_by_one(table, monkeypatch):
    check_few(table, "x")
    monkeypatch.setattr(parts_module, "MOST_AT_ONCE", 45)
    with pytest.raises(OptionError, match=r"x: .* lists 46, more than 45"):
        check_few(table, "x")
    with pytest.raises(OptionError, match="lists 46 records, more than the 45"):
        np.asarray(table.key)
    assert table.key[45] == 50
