"""gpuio manifest: the parts of a folder in one file."""

import json
import os
from pathlib import Path

import pytest

from gpuio.recordio.manifest import read_manifest
from gpuio.tools.cli import main
from support.parts import write_parts
from support.remote import served


@pytest.fixture
def folder(tmp_path):
    write_parts(tmp_path, [3, 1, 4])
    return tmp_path


def run(*arguments):
    return main(["manifest", *map(str, arguments), "--quiet"])


def test_a_manifest_of_a_folder_is_written(folder, capsys):
    (folder / "00003.rec").touch()
    (folder / "sub.rec").mkdir()
    assert run(folder, "--threads", 2) == 0
    made = read_manifest(folder / "manifest.json")
    assert list(made.names) == ["00000.rec", "00001.rec", "00002.rec"]
    assert made.first.tolist() == [0, 3, 4, 8]
    assert made.root == str(folder)
    assert json.loads((folder / "manifest.json").read_text())["root"] == ""
    said = capsys.readouterr()
    assert f"manifest.json: 3 parts, 8 records, {made.sizes.sum():,} bytes, digest" in said.out
    assert said.err == "gpuio manifest: 1 empty files are left out\n"
    assert run(f"{folder}/", "--json") == 0  # an older one is replaced
    assert json.loads(capsys.readouterr().out)["digest"] == made.digest
    assert read_manifest(folder / "manifest.json").digest == made.digest


def test_a_manifest_may_lie_elsewhere(folder, tmp_path_factory, monkeypatch):
    out = tmp_path_factory.mktemp("out")
    monkeypatch.chdir(folder.parent)
    assert run(folder.name, "--out", out / "x.json") == 0
    made = read_manifest(out / "x.json")
    assert made.root == str(folder)
    assert made.paths[0] == str(folder / "00000.rec")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["none"], 3, "no such folder"),
        (["00000.rec"], 3, "expected the folder that holds the parts"),
        (["empty"], 3, "holds no .rec file"),
        ([".", "--out", "x.txt"], 2, "ends in .json"),
        ([".", "--out", "notes.json"], 3, "another kind"),
    ],
)
def test_arguments_that_do_not_fit(folder, monkeypatch, capsys, arguments, code, said):
    monkeypatch.chdir(folder)
    Path("empty").mkdir()
    Path("notes.json").write_text("[]")
    assert run(*arguments) == code
    assert said in capsys.readouterr().err
    assert Path("notes.json").read_text() == "[]"


def test_an_http_server_lists_nothing_and_a_manifest_is_read_over_it(folder, capsys):
    pytest.importorskip("obstore")
    assert run(folder) == 0
    with served(folder.iterdir()) as server:
        assert run(f"{server.url}/bkt") == 3
        said = capsys.readouterr().err
        assert "lists no .rec file: name the folder as its store has it (s3://" in said
        made = read_manifest(f"{server.url}/bkt/manifest.json")
        assert made.paths[2] == f"{server.url}/bkt/00002.rec"
        assert main(["ls", made.path, "--quiet"]) in (0, 2)
        assert run("s3://bkt/none") == 3
        assert "s3://bkt/none" in capsys.readouterr().err


def test_a_part_that_cannot_be_one_leaves_the_older_manifest(folder, capsys):
    assert run(folder) == 0
    before = (folder / "manifest.json").read_bytes()
    (folder / "00001.idx").unlink()
    assert run(folder) == 3
    assert "00001.idx" in capsys.readouterr().err
    (folder / "00001.idx").write_text("0\t4\n")
    assert run(folder) == 1
    assert "00001.idx" in capsys.readouterr().err
    assert (folder / "manifest.json").read_bytes() == before
    assert max(os.listdir(folder)) == "manifest.json"  # no temporary file


def test_parts_of_two_kinds_are_refused(folder, capsys):
    write_parts(folder, [2])  # 00000 anew
    rec = folder / "00002.rec"
    payload = rec.read_bytes()[8 + 24 :]
    size = rec.stat().st_size // 4 - 32
    framed = b"\x0a\x23\xd7\xce" + size.to_bytes(4, "little") + payload[:size]
    rec.write_bytes(framed)
    rec.with_suffix(".idx").write_text("0\t0\n")
    assert run(folder) == 1
    assert "00002.rec holds bare images and 00000.rec image records" in capsys.readouterr().err


def test_a_manifest_stands_for_its_parts(folder, capsys):
    assert run(folder) == 0
    capsys.readouterr()
    assert main(["verify", str(folder / "manifest.json"), "--json", "--headers"]) == 0
    found = json.loads(capsys.readouterr().out)["files"]
    assert [one["path"] for one in found] == [f"{folder}/0000{n}.rec" for n in range(3)]
    assert [one["records"] for one in found] == [3, 1, 4]
