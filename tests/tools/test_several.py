"""Folders, several files and --json, in every command that takes them; extract goes on."""

import json
from pathlib import Path

import pytest

from gpuio.tools import cli
from support.making import flat, offsets, write_rec
from support.tree import make_tree


def run(capsys, *arguments):
    code = cli.main([str(one) for one in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "sets"
    for name, count in (("b", 2), ("a", 3)):
        (inside / name).mkdir(parents=True)
        rec, idx = write_rec(inside / name, [flat(i) for i in range(count)])
        Path(rec).rename(inside / f"{name}.rec")
        Path(idx).rename(inside / f"{name}.idx")
    (inside / "notes.txt").write_text("not a record file")
    return inside


def test_a_folder_is_its_record_files_in_order(folder, capsys):
    named = [str(folder / name) for name in ("a.rec", "b.rec")]
    for arguments in ([folder], named):
        code, out, _ = run(capsys, "info", *arguments, "--json")
        files = json.loads(out)["files"]
        assert (code, [(one["path"], one["records"]) for one in files]) == (
            0,
            list(zip(named, (3, 2), strict=True)),
        )
        code, out, _ = run(capsys, "ls", *arguments, "--json")
        rows = [json.loads(line) for line in out.splitlines()]
        assert [row["path"] for row in rows] == [named[0]] * 3 + [named[1]] * 2
        code, out, _ = run(capsys, "verify", *arguments, "--json")
        told = json.loads(out)
        assert (code, [one["path"] for one in told["files"]]) == (0, named)
        code, out, _ = run(capsys, "checksum", *arguments, "--json")
        assert [one["records"] for one in json.loads(out)["files"]] == [3, 2]
    _, out, _ = run(capsys, "ls", folder)
    lines = out.splitlines()
    assert (lines[0], lines[6], len(lines)) == (f"{named[0]}:", f"{named[1]}:", 10)
    _, out, _ = run(capsys, "info", folder)
    assert "\n\n" + named[1] in out
    assert run(capsys, "verify", folder, "--checksum")[0] == 0


def test_rec2idx_indexes_a_folder(folder, capsys):
    before = {path: path.read_bytes() for path in folder.glob("*.idx")}
    (folder / "b.idx").unlink()
    code, out, err = run(capsys, "rec2idx", folder, "--json")
    assert (code, [one["records"] for one in json.loads(out)["files"]]) == (0, [3, 2])
    assert {path: path.read_bytes() for path in folder.glob("*.idx")} == before
    assert err.count("records, keys are") == 2
    code, _, err = run(capsys, "rec2idx", folder, folder / "c.idx")
    assert (code, "name no INDEX" in err) == (2, True)
    (folder / "a.idx").unlink()
    code, out, _ = run(capsys, "rec2idx", folder / "a.rec", "--json")
    assert (code, json.loads(out)["index"]) == (0, str(folder / "a.idx"))
    assert offsets(folder / "a.idx")[0] == 0


def test_arguments_of_one_file_are_refused_for_several(folder, capsys):
    for words in (["ls", folder, "--idx", folder / "a.idx"], ["info", folder, "--idx", "x"]):
        code, _, err = run(capsys, *words)
        assert (code, "2 files, 1 indexes" in err) == (2, True)
    code, _, err = run(capsys, "checksum", folder, "--out", folder / "x.crc32")
    assert (code, "--out belongs to one file, and there are 2" in err) == (2, True)
    assert not list(folder.glob("*.crc32"))


def test_commands_that_write_say_what_as_json(folder, tmp_path, capsys):
    def told(*words):
        code, out, _ = run(capsys, *words, "--json")
        assert code == 0
        return json.loads(out)

    rec = folder / "a.rec"
    assert told("extract", rec, tmp_path / "out")["images"] == 3
    assert told("cat", rec, 1, "--out", tmp_path / "one.png")["bytes"] == len(flat(1))
    assert told("repair", rec, tmp_path / "copy.rec")["records"] == 3
    make_tree(tmp_path / "photos")
    listing = told("im2rec", tmp_path / "set", tmp_path / "photos", "--list", "--recursive")
    (made,) = listing["lists"]
    assert made["path"] == str(tmp_path / "set.lst")
    assert len(set(listing["classes"].values())) == len(listing["classes"]) > 0
    code, out, _ = run(capsys, "im2rec", tmp_path / "set", tmp_path / "photos", "--json")
    (packed,) = json.loads(out)["files"]
    assert packed["records"] + len(packed["left_out"]) == made["images"]
    assert code == int(bool(packed["left_out"]))
    code, out, err = run(capsys, "cat", rec, 1, "--json")
    assert (code, json.loads(out)["exit_code"], "needs --out" in err) == (2, 2, True)


def test_extract_goes_on_where_it_was_stopped(folder, tmp_path, capsys):
    out, rec = tmp_path / "out", folder / "a.rec"
    assert run(capsys, "extract", rec, out)[0] == 0
    whole = {path: path.read_bytes() for path in out.iterdir()}
    (out / "a.lst").unlink()
    names = sorted(out.iterdir())
    names[2].unlink()
    names[1].write_bytes(whole[names[1]][:9])  # cut short
    assert run(capsys, "extract", rec, out)[0] == 3
    assert run(capsys, "extract", rec, out, "--resume")[0] == 0
    assert {path: path.read_bytes() for path in out.iterdir()} == whole
    (out / "a.lst").unlink()
    names[0].write_bytes(b"somebody else's")
    code, _, err = run(capsys, "extract", rec, out, "--resume")
    assert (code, "File exists" in err) == (3, True)
    assert names[0].read_bytes() == b"somebody else's"
