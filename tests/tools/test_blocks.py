"""What the compiled pass vouches for is what Python finds, record by record and in the commands."""

import json

import numpy as np
import pytest

from gpuio.errors import StorageError
from gpuio.recordio import IRHeader, MXRecordIO, pack
from gpuio.tools import blocks, cli, entries
from gpuio.tools.census import census
from support import boxes
from support.faceset import write_faces
from support.making import flat, jpeg, photo, write_rec


def mixed(folder):
    """JPEGs and all else, labels of several widths; no two records alike."""
    rng = np.random.default_rng(3)
    good = [jpeg(photo(20 + k, 30, k), quality=50 + k) for k in range(6)]
    blobs = [*good, flat(1), b"no image", b"", jpeg(photo(9, 9, 1, channels=1)), good[0]]
    blobs += [good[1][:-9], good[2][:40], good[3] + b"\xce\xd7\x23\x0a" * 3]
    labels = [rng.integers(0, 5, count).astype(np.float32) for count in range(1, len(blobs))]
    labels = [3.0, 1234567.0, *labels[1:-1], np.nan]
    ids = [7 * k for k in range(len(blobs))]
    return write_rec(folder, blobs, labels, ids=ids)[0]


def faces(folder):
    return write_faces(folder)[0]


def detection(folder):
    one = (1, 0.1, 0.1, 0.5, 0.5)
    labels = [boxes.label([one] * (k % 3)) for k in range(6)]
    return write_rec(folder, [jpeg(photo(20, 20 + k, k)) for k in range(6)], labels)[0]


def bare(folder):
    path = folder / "bare.rec"
    with MXRecordIO(str(path), "w") as writer:
        for k in range(5):
            writer.write(jpeg(photo(12, 10 + k, k)) if k != 3 else flat(2))
    return str(path)


def damaged(folder):
    rec = write_rec(folder, [jpeg(photo(30, 30, k)) for k in range(5)])[0]
    with open(rec, "r+b") as file:
        file.seek(2)
        file.write(b"lost")
    return rec


def parts(folder):
    """A record of several parts: its bytes hold the magic number."""
    path = folder / "parts.rec"
    with MXRecordIO(str(path), "w") as writer:
        writer.write(pack(IRHeader(0, 1.0, 0, 0), jpeg(photo(12, 10, 1))))
        writer.write(pack(IRHeader(0, 2.0, 1, 0), flat(2) + b"\x0a\x23\xd7\xce" * 8))
    return str(path)


KINDS = [mixed, faces, detection, bare, damaged, parts]


def in_python(monkeypatch):
    monkeypatch.setattr(blocks, "_is_loaded", lambda: False)
    monkeypatch.setattr(entries, "_FEW", 10**9)


def compiled(monkeypatch):
    monkeypatch.setattr(blocks, "_is_loaded", lambda: True)
    monkeypatch.setattr(blocks, "_MOST", 4)
    monkeypatch.setattr(entries, "_PART", 6)


@pytest.mark.parametrize("made", KINDS)
def test_what_is_counted_is_what_python_counts(tmp_path, monkeypatch, made):
    records = entries.open_file(made(tmp_path), None)
    for rows in (None, np.arange(len(records.table))[::-2]):
        with monkeypatch.context() as patch:
            in_python(patch)
            counted = census(records, rows, digests=True).as_dict()
            (block, _), *_ = entries.blocks(records, rows)
            assert block.heads is None
        with monkeypatch.context() as patch:
            compiled(patch)
            again = census(records, rows, digests=True).as_dict()
            assert json.dumps(again) == json.dumps(counted)
    with monkeypatch.context() as patch:
        compiled(patch)
        seen = [block.sound for block, _ in entries.blocks(records)]
        assert len(seen) > (len(records.table) > 4)
        assert np.concatenate(seen).any() == (made is not faces)  # whose images are PNG


@pytest.mark.parametrize("made", KINDS)
@pytest.mark.parametrize("arguments", [["ls"], ["ls", "--json"], ["stats"]])
def test_commands_print_the_same(tmp_path, monkeypatch, capsys, made, arguments):
    path, told = made(tmp_path), []
    for way in (in_python, compiled):
        with monkeypatch.context() as patch:
            way(patch)
            code = cli.main([arguments[0], path, *arguments[1:], "--quiet"])
            told.append((code, capsys.readouterr().out))
    assert told[0] == told[1]


def test_a_file_that_was_cut_is_an_error_that_names_the_record(tmp_path, monkeypatch):
    rec, _ = write_rec(tmp_path, [jpeg(photo(30, 30, k)) for k in range(6)])
    records = entries.open_file(rec, None)
    with open(rec, "r+b") as file:
        file.truncate(int(records.table.offset[3]) + 9)
    monkeypatch.setattr(blocks, "_is_loaded", lambda: True)
    block, others = next(found := entries.blocks(records))
    assert [others(at).number for at in range(3)] == [0, 1, 2]
    assert not block.sound.any()
    with pytest.raises(StorageError, match=rf"offset={records.table.offset[3]}"):
        others(3)
    found.close()
