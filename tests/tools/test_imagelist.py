"""Lists hold every image of a folder once, and what is left out is said."""

import json
import os

import pytest

from gpuio.tools import im2rec
from gpuio.tools.imagelist import usable_exts
from support.tree import pixel


@pytest.fixture
def root(tmp_path):
    """A folder with ten images."""
    folder = tmp_path / "root"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.jpg").write_bytes(pixel(number))
    return folder


def lists(root, *arguments):
    """Run --list; return the exit code and the paths of each list, by what its name ends in."""
    prefix = root.parent / "s"
    code = im2rec.main([str(prefix), str(root), "--list", *arguments])
    made = {
        path.stem[1:]: [
            line.split("\t")[2] for line in path.read_text("utf-8", "surrogateescape").splitlines()
        ]
        for path in sorted(root.parent.glob("s*.lst"))
    }
    return code, made


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        ("--train-ratio 0.71 --test-ratio 0.29", {"_test": 2, "_train": 8}),
        ("--train-ratio 0.55 --test-ratio 0.45", {"_test": 4, "_train": 6}),
        ("--train-ratio 0.7 --test-ratio 0.2", {"_test": 2, "_train": 7, "_val": 1}),
        ("--train-ratio 0.75", {"_train": 7, "_val": 3}),
        ("--test-ratio 0.2", {"_test": 2, "_train": 8}),
        ("--train-ratio 1", {"": 10}),
        ("--chunks 3", {"_0": 4, "_1": 4, "_2": 2}),
        ("--chunks 4", {"_0": 3, "_1": 3, "_2": 3, "_3": 1}),
        ("--chunks 6", {f"_{i}": size for i, size in enumerate((1, 2, 2, 1, 2, 2))}),
        ("--chunks 10", {f"_{i}": 1 for i in range(10)}),
        (
            "--chunks 3 --test-ratio 0.5",
            {f"_{i}_{name}": 1 + (i < 2) for i in range(3) for name in ("test", "train")},
        ),
        (
            "--chunks 2 --train-ratio 0.5 --test-ratio 0.3",
            {
                f"_{i}_{n}": size
                for i in range(2)
                for n, size in zip(("test", "train", "val"), (1, 2, 2), strict=True)
            },
        ),
    ],
)
def test_every_image_is_in_one_list(root, capsys, arguments, sizes):
    code, made = lists(root, *arguments.split())
    assert code == 0
    assert {name: len(paths) for name, paths in made.items()} == sizes
    assert sorted(path for paths in made.values() for path in paths) == [
        f"{number}.jpg" for number in range(10)
    ]
    said = capsys.readouterr().err
    assert said.startswith("10 images listed in ")
    assert len(sizes) == 1 or all(f"s{name}.lst ({size})" in said for name, size in sizes.items())


@pytest.mark.parametrize(
    "arguments",
    [
        "--test-ratio 0.05",
        "--train-ratio 0.05 --test-ratio 0.5",
        "--train-ratio 0 --test-ratio 0.5",
        "--chunks 11",
        "--chunks 3 --test-ratio 0.3",
        "--train-ratio 1 --test-ratio 0.2",
        "--train-ratio nan",
        "--test-ratio -0.1",
    ],
)
def test_a_split_that_leaves_a_list_empty_or_cannot_be_is_refused(root, capsys, arguments):
    code, made = lists(root, *arguments.split(), "--recursive", "--classes")
    assert (code, made) == (2, {})
    assert capsys.readouterr().err.startswith("gpuio im2rec: ")
    assert [path.name for path in root.parent.iterdir()] == ["root"]


def test_hidden_folders_are_skipped_and_said(root, capsys):
    for folder in (".ipynb_checkpoints", "cat/.cache", "__MACOSX"):
        (root / folder).mkdir(parents=True)
        (root / folder / "x.jpg").write_bytes(pixel(1))
    (root / "._0.jpg").write_bytes(b"\0\5\x16\7")
    (root / "cat" / ".named.jpg").write_bytes(pixel(2))
    code, made = lists(root, "--recursive", "--no-shuffle", "--classes")
    assert code == 0
    assert made[""] == [*(f"{number}.jpg" for number in range(10)), "cat/.named.jpg"]
    assert json.loads((root.parent / "s.classes.json").read_text()) == {".": 0, "cat": 1}
    said = capsys.readouterr()
    assert said.out.splitlines() == [". 0", "cat 1"]
    assert "4 hidden folders or files are skipped: " in said.err
    for name in (".ipynb_checkpoints", "cat/.cache", "__MACOSX", "._0.jpg"):
        assert name in said.err


@pytest.mark.parametrize("ext", [".JPG", "jpg", "JPG", "*.jpg", ".jpg"])
def test_extensions_come_with_or_without_dot_and_case(root, ext):
    (root / "a.JPG").write_bytes(pixel(1))
    code, made = lists(root, "--exts", ext)
    assert (code, len(made[""])) == (0, 11)
    assert usable_exts([ext, "tar.GZ"]) == [".jpg", ".tar.gz"]


def test_extensions_that_are_divided_by_commas_are_hinted_at(root, capsys):
    assert lists(root, "--exts", "jpg,png") == (1, {})
    assert "divided by blanks: --exts jpg png" in capsys.readouterr().err


@pytest.mark.parametrize("recursive", [True, False])
def test_a_link_to_nothing_is_left_out_and_named(root, capsys, recursive):
    (root / "gone.jpg").symlink_to(root / "none")
    os.mkfifo(root / "pipe.jpg")
    code, made = lists(root, *["--recursive"] * recursive)
    assert (code, len(made[""])) == (1, 10)
    said = capsys.readouterr().err
    for name in ("gone.jpg", "pipe.jpg"):
        assert f"left out: {name}: a link to nothing, or not a file" in said


@pytest.mark.parametrize("recursive", [True, False])
def test_a_folder_that_cannot_be_read_is_an_error(root, monkeypatch, capsys, recursive):
    (root / "cat").mkdir()
    barred = root / "cat" if recursive else root

    def refuse(real):
        def listed(path):
            if str(path) == str(barred):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path)

        return listed

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, refuse(getattr(os, name)))
    assert lists(root, *["--recursive"] * recursive)[0] == 3
    monkeypatch.undo()
    said = capsys.readouterr().err
    assert "images would be missing: Permission denied" in said
    assert str(barred) in said
    assert not (root.parent / "s.lst").exists()


def test_names_that_a_terminal_would_obey_are_escaped(root, capsys):
    for name in ("\x1b[31mred", "line\nbreak", os.fsdecode(b"caf\xe9")):
        (root / name).mkdir()
        (root / name / "x.jpg").write_bytes(pixel(1))
    (root / ".\x1bhidden").mkdir()
    assert lists(root, "--recursive")[0] == 1
    said = capsys.readouterr()
    for text in (r"\x1b[31mred 1", r"line\nbreak 3", r"caf\xe9 2", r"skipped: .\x1bhidden"):
        assert text in said.out + said.err
    assert "\x1b" not in said.out + said.err
