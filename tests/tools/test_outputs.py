"""No command writes over a file that is not its own output, or replaces something by nothing."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import OptionError, StorageError
from gpuio.recordio.framing import MAGIC
from gpuio.recordio.index_binary import binary_path
from gpuio.storage.atomic import RECORD_START
from gpuio.tools import cli, im2rec
from support.making import flat, jpeg, photo, reader, write_rec


@pytest.fixture
def files(tmp_path):
    """a.rec with its index, b.rec, c.rec: where it lies, nothing may change but new files."""
    for name in "abc":
        write_rec(tmp_path, [flat(number) for number in range(4)], name=name)
    (tmp_path / "link.idx").symlink_to(tmp_path / "a.rec")
    shutil.copy(tmp_path / "c.rec", binary_path(tmp_path / "d.idx"))
    (tmp_path / "photo.jpg").write_bytes(jpeg(photo(8, 8, 0)))
    (tmp_path / "list.lst").write_text("0\t1\tphoto.jpg\n")
    (tmp_path / "notes.txt").write_text("keep me")
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


COMMANDS = [
    "rec2idx a.rec a.rec",
    "rec2idx a.rec b.rec",
    "rec2idx a.rec link.idx",
    "rec2idx a.idx a.rec",
    "rec2idx --resync a.idx a.rec",
    "rec2idx --binary a.rec d.idx",
    "checksum a.rec --out a.rec",
    "checksum a.rec --out b.rec",
    "cat a.rec 0 --out a.rec",
    "cat a.rec 0 --out b.rec",
    "cat a.rec 0 --idx a.idx --out a.idx",
    "show a.rec --out a.rec",
    "show a.rec --idx a.idx --out a.idx",
    "repair a.rec d.idx.new --force",
    "cat a.rec 0 --out a.idx",
    "cat a.rec 0 --out b.idx",
    "cat a.rec 0 --out list.lst",
    "checksum a.rec --out b.idx",
    "checksum a.rec --out photo.jpg",
    "rec2idx a.rec photo.jpg",
    "rec2idx a.rec list.lst",
    "rec2idx a.rec notes.txt",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_writes_over_no_source_and_no_record_file(files, monkeypatch, capsys, command):
    monkeypatch.chdir(files)
    shutil.copy("c.rec", "d.idx.json")
    shutil.copy("c.rec", "d.idx.idx")
    before = contents(files)
    assert cli.main(command.split()) in (1, 2, 3)
    assert "cannot write" in capsys.readouterr().err
    assert contents(files) == before


@pytest.mark.parametrize(
    "command",
    [
        "cat a.rec 0 --out photo.jpg",
        "cat a.rec 0 --out empty",
        "checksum a.rec --out empty",
        "rec2idx a.rec empty",
        "rec2idx a.rec older",
        "rec2idx a.rec page.idx",
    ],
)
def test_a_command_replaces_its_own_kind_of_output(files, monkeypatch, command):
    monkeypatch.chdir(files)
    Path("empty").touch()
    shutil.copy("b.idx", "older")
    Path("page.idx").write_text("<html>")  # what a download left; rec2idx is what mends it
    assert cli.main(command.split()) == 0


def test_repair_replaces_no_index_of_another_record_file(files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    before = contents(files)
    assert cli.main(["repair", "a.rec", "b", "--force"]) == 2
    assert "would be that of b.rec" in capsys.readouterr().err
    assert contents(files) == before


@pytest.mark.filterwarnings("ignore:.*hold no record that can be read")
def test_an_index_of_nothing_replaces_none(files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    Path("junk").write_bytes(b"no record" * 100)
    Path("empty").touch()
    before = contents(files)
    for command in ("rec2idx --resync junk a.idx", "rec2idx empty a.idx"):
        assert cli.main(command.split()) in (1, 3)
    assert "no index is written" in capsys.readouterr().err
    assert contents(files) == before


def test_other_outputs_spare_record_files(files):
    before = contents(files)
    for save in (
        lambda: mx.nd.save(str(files / "a.rec"), mx.nd.array(np.zeros(3))),
        lambda: mx.recordio.share_index(str(files / "d.idx")),
    ):
        shutil.copy(files / "a.idx", files / "d.idx")
        with pytest.raises(StorageError, match="this is a record file"):
            save()
        (files / "d.idx").unlink()
    assert contents(files) == before


@pytest.mark.parametrize("name", ["a.rec", "b.rec", "a.idx", "a.lst", "link.idx"])
def test_an_error_log_is_no_file_that_is_read(files, name):
    lst = files / "a.lst"
    lst.write_text("".join(f"{number}\t1\tx\n" for number in range(4)))
    before = contents(files)
    paths = str(files / "a.rec"), str(files / "a.idx")
    with pytest.raises(OptionError, match="error_log: cannot write"):
        reader(paths, path_imglist=str(lst), error_log=str(files / name))
    assert contents(files) == before


@pytest.mark.parametrize("name", ["photo.jpg", "list.lst", "b.idx", "notes.txt", "nowhere/log"])
def test_an_error_log_is_added_to_no_other_file(files, name):
    before = contents(files)
    paths = str(files / "a.rec"), str(files / "a.idx")
    with pytest.raises(OptionError, match="error_log: cannot write"):
        reader(paths, error_log=str(files / name))
    assert contents(files) == before


def test_an_error_log_goes_on_in_an_older_one(files):
    log = files / "log"
    log.write_text('{"time": 1.5, "path": "a.rec"}\n')
    paths = str(files / "a.rec"), str(files / "a.idx")
    reader(paths, error_log=str(log)).close()


@pytest.fixture
def packed(tmp_path):
    """A list and a record file of six photos in two folders."""
    for number in range(6):
        folder = tmp_path / "photos" / f"class_{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(jpeg(photo(20, 30, number)))
    root = str(tmp_path / "photos")
    assert im2rec.main([str(tmp_path / "set"), root, "--list", "--recursive"]) == 0
    assert im2rec.main([str(tmp_path / "set"), root, "--progress", "none"]) == 0
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("photos/class_0 --progress none", "no image could be packed"),  # one folder too deep
        ("photos/class_0 --progress none --resume", "no image could be packed"),
        ("photos --list", "there are sub-folders: --recursive"),
        ("photos --list --recursive --classes --exts gif", "ends in .gif"),
        ("photos --list --recursive --train-ratio 0", "older lists stay"),
    ],
)
def test_im2rec_replaces_nothing_by_nothing(packed, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(packed)
    shutil.copy("set.lst", "set_train.lst")
    before = contents(packed)
    assert im2rec.main(["set", *arguments.split()]) in (1, 2)
    assert said in capsys.readouterr().err
    assert contents(packed) == before


def test_packing_an_empty_list_is_a_failure(packed, capsys):
    (packed / "set.lst").write_text("")
    assert im2rec.main([str(packed / "set"), str(packed / "photos"), "--progress", "none"]) == 1
    assert "no image could be packed" in capsys.readouterr().err
    assert (packed / "set.rec").stat().st_size
    assert (packed / "set.idx").stat().st_size


def test_im2rec_spares_a_record_file_where_its_index_belongs(packed):
    shutil.copy(packed / "set.rec", packed / "set.idx")
    before = contents(packed)
    assert im2rec.main([str(packed / "set"), str(packed / "photos"), "--progress", "none"]) == 3
    assert contents(packed) == before


def test_the_demo_removes_nothing(tmp_path, monkeypatch):
    (tmp_path / "photos.jpg").write_bytes(b"mine")
    assert cli.main(["demo", "--images", str(tmp_path / "none"), "--out", str(tmp_path)]) != 0
    assert (tmp_path / "photos.jpg").read_bytes() == b"mine"


def test_a_record_file_is_told_by_its_magic_number():
    assert MAGIC.to_bytes(4, "little") == RECORD_START


@pytest.mark.parametrize(("name", "said"), [("sheet", "no suffix"), ("a.txt", "suffix .txt")])
def test_a_contact_sheet_whose_name_states_no_format_is_refused(files, capsys, name, said):
    assert cli.main(["show", str(files / "a.rec"), "--out", str(files / name)]) == 2
    assert f"{said}: expected .png or .jpg" in capsys.readouterr().err
    assert not (files / name).exists()
