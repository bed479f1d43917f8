"""rec2idx, info, show, options, demo and the contact sheet."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from gpuio.errors import GpuioWarning
from gpuio.recordio.index_binary import open_entries
from gpuio.tools import cli, demo, rec2idx
from gpuio.tools.contact import contact_sheet
from support.making import jpeg, offsets, photo, png, write_rec


@pytest.fixture
def mixed(tmp_path):
    blobs = [jpeg(photo(40, 60)), png(photo(30, 30)), b"no image", jpeg(photo(40, 60)[:, :, 0])]
    return write_rec(tmp_path, blobs)


def test_rec2idx_writes_the_index_and_says_what_is_wrong(mixed, tmp_path, capsys):
    out = tmp_path / "again.idx"
    assert rec2idx.main([mixed[0], str(out)]) == 0
    assert offsets(out) == offsets(mixed[1])
    assert rec2idx.main([str(tmp_path / "no.rec"), str(out)]) == 3
    (tmp_path / "bad.rec").write_bytes(b"12345678")
    assert cli.main(["rec2idx", str(tmp_path / "bad.rec"), str(out)]) == 1
    assert "bad magic" in capsys.readouterr().err
    assert offsets(out) == offsets(mixed[1])


def test_rec2idx_goes_on_behind_damage_if_asked_to(mixed, tmp_path, capsys):
    at = offsets(mixed[1])
    with open(mixed[0], "r+b") as file:
        file.seek(at[1])
        file.write(bytes(8))
    out = tmp_path / "again.idx"
    assert rec2idx.main([mixed[0], str(out)]) == 1
    with pytest.warns(GpuioWarning, match="1 ranges"):
        assert rec2idx.main([mixed[0], str(out), "--resync"]) == 0
    assert offsets(out) == [at[0], at[2], at[3]]
    capsys.readouterr()


def test_rec2idx_writes_a_binary_if_asked_to(mixed, tmp_path, capsys):
    out = tmp_path / "again.idx"
    assert rec2idx.main([mixed[0], str(out)]) == 0
    assert not (tmp_path / "again.idx.bin").exists()
    assert cli.main(["rec2idx", "--binary", mixed[0], str(out)]) == 0
    assert open_entries(out).offsets.tolist() == offsets(mixed[1])
    (tmp_path / "again.idx.bin").unlink()
    (tmp_path / "again.idx.bin").mkdir()
    assert rec2idx.main(["--binary", mixed[0], str(out)]) == 3
    assert "cannot write" in capsys.readouterr().err


def test_info_counts_what_is_there(mixed, capsys):
    assert cli.main(["info", mixed[0], "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["records"] == 4
    assert facts["counts"]["format"] == {"jpeg": 2, "png": 1}
    assert facts["counts"]["size"] == {"60x40": 2, "30x30": 1}
    assert facts["counts"]["subsampling"] == {"4:2:0": 1, "gray": 1}
    (bad,) = facts["unusable"]
    assert (bad["key"], bad["offset"]) == (2, offsets(mixed[1])[2])
    assert cli.main(["info", mixed[0], "--idx", mixed[1]]) == 1
    assert "unusable: key 2" in capsys.readouterr().out


def test_info_of_a_good_and_of_a_missing_file(tmp_path, capsys):
    rec, _ = write_rec(tmp_path, [png(photo(8, 8))])
    assert cli.main(["info", rec]) == 0
    assert cli.main(["info", rec + ".no"]) == 3
    capsys.readouterr()


def test_show_draws_every_record(mixed, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    assert cli.main(["show", mixed[0], "--out", str(out), "--edge", "32"]) == 1
    assert "key 2" in capsys.readouterr().err
    sheet = cv2.imread(str(out))
    assert sheet.shape == (2 * (32 + 16 + 4) + 4, 2 * (32 + 4) + 4, 3)
    assert cli.main(["show", mixed[0], "--out", str(tmp_path / "no/x.png")]) == 3
    capsys.readouterr()


def test_a_contact_sheet_holds_the_images_where_they_belong():
    images = [np.full((10, 20, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = contact_sheet(images, columns=2)
    assert sheet.shape == (4 + 2 * 14, 4 + 2 * 24, 3)
    assert (sheet[4:14, 4:24] == 10).all()
    assert (sheet[4:14, 28:48] == 20).all()
    assert (sheet[18:28, 4:24] == 30).all()
    assert (sheet[18:28, 28:48] == 255).all()
    assert contact_sheet([]).ndim == 3


def test_options_are_printed_from_their_declaration(capsys):
    assert cli.main(["options", "ImageRecordIter", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["rand_mirror"]["default"] is False
    assert rows["rand_mirror"]["type"] == "bool"
    assert rows["last_batch"]["ours"]
    assert cli.main(["options"]) == 0
    assert "rand_mirror" in capsys.readouterr().out


def test_options_are_searched_and_fit_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert cli.main(["options", "resize"]) == 0
    said = capsys.readouterr().out
    assert "rand_mirror" not in said
    for name in ("ImageRecordIter\n", "ImageDetRecordIter\n", "ImageIter\n", "resize_mode  str"):
        assert name in said
    monkeypatch.setenv("COLUMNS", "60")
    assert cli.main(["options"]) == 0
    words = [line for line in capsys.readouterr().out.splitlines() if " " in line.strip()]
    assert max(map(len, words)) <= 60
    assert cli.main(["options", "imageiter", "CROP", "--json"]) == 0
    (rows,) = json.loads(capsys.readouterr().out).values()
    assert [row["name"] for row in rows] == ["rand_crop"]
    assert cli.main(["options", "greyscaled"]) == 2  # in meanings, too
    assert cli.main(["options", "rand_miror"]) == 2
    assert "no option has 'rand_miror'; did you mean rand_mirror?" in capsys.readouterr().err


def test_the_page_of_options_is_the_printed_one(capsys):
    assert cli.main(["options", "--markdown"]) == 0
    printed = capsys.readouterr().out
    page = Path(__file__).parents[2] / "docs" / "options.md"
    assert page.read_text() == printed, "gpuio options --markdown > docs/options.md"


def test_the_demo_packs_reads_and_draws(tmp_path, capsys):
    root = tmp_path / "images"
    for i in range(8):
        folder = root / f"class_{i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.jpg").write_bytes(jpeg(photo(260, 300, i)))
    arguments = ["--images", str(root), "--out", str(tmp_path / "out"), "--epochs", "2"]
    arguments += ["--ctx", "cpu", "--threads", "2"]
    code = demo.main(arguments)
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "16 images in" in said.out
    assert " kernels loaded)" in said.out or " kernels compiled in " in said.out
    assert cv2.imread(str(tmp_path / "out/batch.png")) is not None
    assert demo.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 16
    (root / "class_1" / "bad.jpg").write_text("no image")
    assert demo.main(arguments) == 1
    assert "not a readable image" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "info a.rec --sample -3", "info a.rec --sample 0", "ls a.rec --first -1",
        "ls a.rec --count -1", "show a.rec --out a.png --count 0", "doctor --device-id -1",
        "show a.rec --out a.png --edge 0",
        "show a.rec --out a.png --first -2", "verify a.rec --threads 0",
        "verify a.rec --max-pixels -1", "repair a.rec b.rec --threads -1", "demo --count 0",
        "demo --epochs -1", "demo --threads 0", "ls a.rec --count x",
    ],
)  # fmt: skip
def test_a_number_out_of_range_is_an_error_of_the_arguments(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as raised:
        cli.main(words.split())
    assert raised.value.code == 2
    assert "expected a whole number of at least" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["ls", "info", "cat", "options"])
def test_a_full_standard_output_is_an_error_and_no_traceback(tmp_path, command):
    rec, _ = write_rec(tmp_path, [jpeg(photo(8, 8, 0))])
    given = {"options": [], "cat": [rec, "0"]}.get(command, [rec])
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gpuio", command, *given],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 3
    assert (
        done.stderr == f"gpuio {command}: cannot write standard output: No space left on device\n"
    )
