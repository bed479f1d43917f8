"""A key is one record in every command: what the index beside the file says, or none."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from gpuio.errors import GpuioWarning
from gpuio.recordio.index import file_table, read_index, remake_index
from gpuio.recordio.keys import fits, index_beside, read_fitting, read_listed
from gpuio.recordio.lists import read_list
from gpuio.recordio.reindex import reindexed
from gpuio.storage.local import LocalFile
from gpuio.tools import cli
from support.faceset import record, write_payloads
from support.making import flat, jpeg, offsets, photo, write_rec
from support.remote import served

BLOBS = [flat(10 * i, 8, 8 + 40 * i) for i in range(6)]
KEYS = [70, 10, 60, 20, 50, 30]


def run(capsys, *arguments):
    code = cli.main([str(one) for one in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def keyed(tmp_path):
    """Six records whose keys are not their numbers; the fifth has no image."""
    payloads = [record(float(i), blob) for i, blob in enumerate(BLOBS)]
    payloads[4] = record(4.0, b"no image")
    return write_payloads(tmp_path, payloads, keys=KEYS)


@pytest.fixture
def foreign(tmp_path, keyed):
    """The same beside another file's index."""
    folder = tmp_path / "other"
    folder.mkdir()
    _, idx = write_rec(folder, [jpeg(photo(30, 40, i)) for i in range(9)])
    Path(keyed[1]).write_bytes(Path(idx).read_bytes())
    return keyed


def listed(capsys, rec, *more):
    _, out, err = run(capsys, "ls", rec, "--json", *more)
    return [json.loads(line) for line in out.splitlines()], err


def test_commands_use_the_index_beside_the_file(keyed, tmp_path, capsys):
    rec, idx = keyed
    rows, err = listed(capsys, rec)
    assert err == ""
    assert [row["key"] for row in rows] == KEYS
    assert [row["record"] for row in rows] == list(range(6))
    assert run(capsys, "ls", rec) == run(capsys, "ls", rec, "--idx", idx)
    assert run(capsys, "cat", rec, 20, "--out", tmp_path / "one")[0] == 0
    assert (tmp_path / "one").read_bytes() == BLOBS[3]
    code, _, err = run(capsys, "cat", rec, 3)
    assert (code, err) == (1, f"gpuio cat: no key 3 in {rec}\n")
    code, out, _ = run(capsys, "info", rec)
    assert (code, f"unusable: key 50 at byte {offsets(idx)[4]}" in out) == (1, True)
    assert "gpuio show: key 50: " in run(capsys, "show", rec, "--out", tmp_path / "sheet.png")[2]
    assert "key 50 at byte" in run(capsys, "extract", rec, tmp_path / "out")[2]
    items = list(read_list(tmp_path / "out/data.lst"))
    assert (items[0].index, items[0].path) == (70, "00000070.png")
    assert "image key 50 at byte" in run(capsys, "verify", rec, "--headers")[1]


@pytest.mark.parametrize("how", ["without", "foreign"])
def test_without_an_index_the_word_is_record(foreign, tmp_path, capsys, how):
    rec, idx = foreign
    at = file_table(rec, None, past_damage=False).offset.tolist()
    if how == "without":
        Path(idx).unlink()
    said = f"{idx} is not used: no record starts at byte" if how == "foreign" else "gpuio ls: "
    code, out, err = run(capsys, "ls", rec)
    assert (code, err.count("\n"), err.startswith(said)) == (1, 1 + (how == "foreign"), True)
    assert "gpuio ls: 1 unusable: `gpuio repair" in err
    assert out.splitlines()[0].split("\t")[0] == "record"
    assert [line.split("\t")[0] for line in out.splitlines()[1:]] == list("012345")
    rows, _ = listed(capsys, rec)
    assert [(row["record"], row["key"]) for row in rows] == [(i, None) for i in range(6)]
    assert run(capsys, "cat", rec, 3, "--out", tmp_path / "one")[0] == 0
    assert (tmp_path / "one").read_bytes() == BLOBS[3]
    assert f"gpuio cat: no record 70 in {rec}\n" in run(capsys, "cat", rec, 70)[2]
    assert f"unusable: record 4 at byte {at[4]}" in run(capsys, "info", rec)[1]
    assert "gpuio show: record 4: " in run(capsys, "show", rec, "--out", tmp_path / "sheet.png")[2]
    err = run(capsys, "extract", rec, tmp_path / "out")[2]
    assert f"record 4 at byte {at[4]}" in err
    assert "5 of them named by record number" in err
    code, out, err = run(capsys, "verify", rec, "--headers")
    assert (code, f"image record 4 at byte {at[4]}" in out) == (1, True)
    assert "key" not in out.replace(idx, "")
    assert ("another file's index" in err) == (how == "foreign")


def test_repair_names_records_as_the_source_does(foreign, tmp_path, capsys):
    rec, _ = foreign
    assert run(capsys, "repair", rec, tmp_path / "new.rec", "--headers")[0] == 1
    assert read_index(tmp_path / "new.idx")[0] == [0, 1, 2, 3, 5]
    report = json.loads((tmp_path / "new.json").read_text())
    assert [(one["key"], one["record"]) for one in report["left_out"]] == [(None, 4)]
    assert ["another file's" in one["reason"] for one in report["other_problems"]] == [True]


def test_a_record_that_the_index_leaves_out_has_no_key(keyed, tmp_path, capsys):
    rec, idx = keyed
    lines = Path(idx).read_text().splitlines(keepends=True)
    Path(idx).write_text("".join(lines[:2] + lines[4:]))
    rows, err = listed(capsys, rec)
    assert "lists 4 of 6 records" in err
    assert [row["key"] for row in rows] == [70, 10, None, None, 50, 30]
    assert [line.split("\t")[0] for line in run(capsys, "ls", rec)[1].splitlines()][3] == "record 2"
    assert run(capsys, "cat", rec, 2)[0] == 1
    assert run(capsys, "cat", rec, 30, "--out", tmp_path / "one")[0] == 0
    assert (tmp_path / "one").read_bytes() == BLOBS[5]


def test_keys_of_text_are_keys(tmp_path, capsys):
    rec, idx = write_payloads(tmp_path, [record(0.0, blob) for blob in BLOBS[:3]])
    lines = zip("cab", offsets(idx), strict=True)
    Path(idx).write_text("".join(f"{key}\t{at}\n" for key, at in lines))
    assert [row["key"] for row in listed(capsys, rec)[0]] == ["c", "a", "b"]
    assert run(capsys, "cat", rec, "a", "--out", tmp_path / "one")[0] == 0
    assert (tmp_path / "one").read_bytes() == BLOBS[1]
    assert f"gpuio cat: no key 1 in {rec}" in run(capsys, "cat", rec, 1)[2]
    assert "3 of them named by record number" in run(capsys, "extract", rec, tmp_path / "x")[2]
    Path(idx).unlink()
    assert "no record ²" in run(capsys, "cat", rec, "²")[2]


def test_rec2idx_keeps_keys(keyed, tmp_path, capsys):
    rec, idx = keyed
    before = Path(idx).read_bytes()
    for target in (idx, tmp_path / "elsewhere.idx"):
        code, _, err = run(capsys, "rec2idx", rec, target)
        assert (code, err) == (0, f"{target}: 6 records, keys are those of {idx}\n")
        assert Path(target).read_bytes() == before
    code, _, err = run(capsys, "rec2idx", "--renumber", rec, idx)
    assert (code, read_index(idx)[0]) == (0, list(range(6)))
    assert f"keys are the records' numbers, 0 to 5; those of {idx} are not kept" in err


def test_rec2idx_says_which_keys_change(foreign, capsys):
    rec, idx = foreign
    code, _, err = run(capsys, "rec2idx", rec, idx)
    assert (code, read_index(idx)[0]) == (0, list(range(6)))
    assert f"those of {idx} are another file's and are not kept" in err
    Path(idx).write_text("x y\n")
    assert f"those of {idx} are lost: " in run(capsys, "rec2idx", rec, idx)[2]


def test_rec2idx_gives_new_records_new_keys(keyed, capsys):
    rec, idx = keyed
    lines = Path(idx).read_text().splitlines(keepends=True)
    Path(idx).write_text("".join(lines[:2] + lines[4:]))
    code, _, err = run(capsys, "rec2idx", rec, idx)
    assert (code, read_index(idx)[0]) == (0, [70, 10, 71, 72, 50, 30])
    assert "2 records that it does not list have new keys, the first is 71" in err


def test_after_a_resync_no_key_is_another_record(keyed, capsys):
    rec, idx = keyed
    at = offsets(idx)
    data = bytearray(Path(rec).read_bytes())
    data[at[2] : at[2] + 4] = b"xxxx"
    Path(rec).write_bytes(data)
    with pytest.warns(GpuioWarning, match="count only those that can be read"):
        code, _, _ = run(capsys, "rec2idx", "--resync", rec, idx)
    assert (code, read_index(idx)) == (0, ([70, 10, 20, 50, 30], at[:2] + at[3:]))
    with pytest.warns(GpuioWarning):
        assert reindexed([rec], past_damage=True).key.tolist() == [70, 10, 20, 50, 30]
    Path(idx).unlink()
    with pytest.warns(GpuioWarning):
        _, said = remake_index(rec, idx, past_damage=True)
    assert said.endswith("0 to 4, which count only the records that can be read")


def test_reindex_takes_the_keys_beside_the_file(keyed, foreign, caplog):
    rec, idx = keyed
    with caplog.at_level(logging.WARNING, "gpuio"):
        assert reindexed([rec]).key.tolist() == list(range(6))
    assert "is not used (it is another file's): keys are 0 to 5" in caplog.text
    caplog.clear()
    remade = [f"{key}\t{at}\n" for key, at in zip(KEYS, file_table(rec, None, past_damage=False)
                                                  .offset.tolist(), strict=True)]  # fmt: skip
    Path(idx).write_text("".join(remade))
    assert reindexed([rec]).key.tolist() == KEYS
    Path(idx).write_text("".join(remade[:5]))
    assert reindexed([rec]).key.tolist() == [*KEYS[:5], 71]
    Path(idx).unlink()
    assert reindexed([rec]).key.tolist() == list(range(6))
    assert "does not list 1 of the records: they have new keys" in caplog.text


def test_one_damaged_record_makes_no_index_foreign(keyed):
    rec, idx = keyed
    at = offsets(idx)
    for number in (0, 3, 5):
        data = bytearray(Path(rec).read_bytes())
        data[at[number] : at[number] + 4] = b"xxxx"
        (Path(rec).parent / "bad.rec").write_bytes(data)
        with LocalFile(Path(rec).parent / "bad.rec") as file:
            listed, reason = read_fitting(file, idx)
            assert listed is not None
            assert reason == ""


def test_what_fits():
    found = np.array([0, 100, 250, 300])
    assert fits(found, found, 400)
    assert fits(found[:2], found, 400)  # of half the file
    assert fits(np.array([0, 100, 250, 300, 500, 600, 700]), found, 310)  # the file was cut
    assert fits(np.array([0, 40, 100, 250]), np.array([0, 100, 250]), 400, [(30, 100)])
    assert not fits(np.array([0, 90, 180, 270]), found, 400)
    assert not fits(np.array([0, 5000, 9000]), found, 400)


def test_what_lies_beside_a_record_file(tmp_path):
    assert index_beside(tmp_path / "a.rec") is None
    (tmp_path / "a.idx").write_text("b\t5\na\t0\n")
    assert index_beside(tmp_path / "a.rec") == str(tmp_path / "a.idx")
    assert index_beside(tmp_path / "a.idx") is None
    listed = read_listed(str(tmp_path / "a.idx"))
    assert (listed.whole, listed.key.tolist(), listed.offset.tolist()) == (
        False,
        ["a", "b"],
        [0, 5],
    )


@pytest.mark.parametrize(
    "command", ["info {0}", "ls {0}", "stats {0}", "stats {0} --shuffle", "ls {0} --idx {1}"]
)
@pytest.mark.parametrize("keys", ["numbers", "texts"])
def test_an_index_behind_a_url_is_read_once(tmp_path, command, keys, capsys):
    rec, idx, *_ = write_rec(tmp_path, [jpeg(photo(16, 16, i)) for i in range(6)])
    if keys == "texts":
        text = Path(idx).read_text()
        Path(idx).write_text("".join(f"k{line}\n" for line in text.splitlines()))
    argv = command.format(rec, idx).split()
    argv += ["--quiet"] * (argv[0] == "stats")
    assert cli.main(argv) == 0
    local = capsys.readouterr().out.replace(str(tmp_path), "s3://bkt")
    with served([rec, idx]) as server:
        assert cli.main([one.replace(str(tmp_path), "s3://bkt") for one in argv]) == 0
        asked = [method for method, path, _ in server.requests if path.endswith("idx")]
    assert capsys.readouterr().out == local
    reads = 1 if keys == "numbers" else 2  # which are tried as numbers first
    assert asked.count("GET") == reads
