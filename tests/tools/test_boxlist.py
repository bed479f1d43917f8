"""im2rec --detection packs lists of right boxes, and names every other line."""

import re
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio import recordio
from gpuio.tools import cli
from support.making import flat

GOOD = "0.1\t0.2\t0.5\t0.6"


@pytest.fixture
def pack(tmp_path, capsys):
    """Return a function that packs lines, each without its id, and returns code and stderr."""
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(flat(number))

    def packed(*labels, words=("--detection",), end="\n", first=0):
        lines = [f"{first + i}\t{one}\t{i % 3}.png{end}" for i, one in enumerate(labels)]
        (tmp_path / "set.lst").write_text("".join(lines), newline="")
        code = cli.main(
            ["im2rec", str(tmp_path / "set"), str(tmp_path), *words, "--progress", "none"]
        )
        return code, capsys.readouterr().err

    return packed


@pytest.mark.parametrize("words", [["--detection"], ["--detection", "--pack-label"]])
def test_boxes_and_background_are_packed_with_all_their_numbers(pack, tmp_path, words):
    code, said = pack(f"2\t5\t1\t{GOOD}", "2\t5", f"3\t6\t7\t0\t{GOOD}\t9", words=words)
    assert (code, "3 records" in said, "--pack-label" in said) == (0, True, False)
    with recordio.MXIndexedRecordIO(tmp_path / "set.idx", tmp_path / "set.rec", "r") as reader:
        labels = [recordio.unpack(reader.read_idx(key))[0].label for key in reader.keys]
    assert np.allclose(labels[0], [2, 5, 1, 0.1, 0.2, 0.5, 0.6])
    assert labels[1].tolist() == [2, 5]
    assert np.allclose(labels[2], [3, 6, 7, 0, 0.1, 0.2, 0.5, 0.6, 9])


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("2\t5\t1\t10\t20\t100\t200", "in pixels"),
        ("2\t5\t1\t0.5\t0.2\t0.1\t0.6", "right is not above left"),
        ("2\t5\t1\tnan\t0.2\t0.5\t0.6", "NaN or infinite"),
        (f"2\t5\t-1\t{GOOD}", "id is negative"),
        (f"2\t5\t1\t{GOOD}\t0", "1 are left over"),
        (f"1\t{GOOD}", "label begins with 1, 0.1"),
        ("1", "label has 1 numbers"),
    ],
)
@pytest.mark.parametrize(("end", "first"), [("\n", 0), ("\r\n", 90), ("\n\n", 7)])
def test_a_wrong_line_is_named_and_nothing_is_packed(pack, tmp_path, label, says, end, first):
    assert pack(f"2\t5\t1\t{GOOD}")[0] == 0
    before = (tmp_path / "set.rec").read_bytes()
    code, said = pack(f"2\t5\t1\t{GOOD}", "2\t5", label, end=end, first=first)
    assert code == 1
    line = 5 if end == "\n\n" else 3
    assert f"set.lst, line {line} (2.png): " in said
    assert says in said
    assert "nothing is packed: 1 lines hold" in said
    assert (tmp_path / "set.rec").read_bytes() == before


def test_other_lists_are_packed_as_before(pack):
    assert pack("2\t5\t1\t10\t20\t100\t200", "1", words=["--pack-label"])[0] == 0


def test_many_wrong_lines_are_cut_short(pack):
    code, said = pack(*["1"] * 60)
    assert code == 1
    assert said.count("set.lst, line") == 50
    assert "and 10 more" in said


@pytest.mark.parametrize(
    ("more", "says"),
    [("--list", "--detection is for packing"), ("--center-crop", "does not move boxes")],
)
def test_what_makes_no_boxes_or_wrong_ones_is_refused(pack, more, says):
    code, said = pack("2\t5", words=["--detection", more])
    assert (code, says in said) == (2, True)


def test_the_page_makes_a_file_of_boxes(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs/detection.md").read_text()
    section = page.split("## How a detection file is made")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    commands = re.findall(r"^    gpuio (.*)$", section, re.MULTILINE)
    assert [one.split()[0] for one in commands] == ["im2rec", "verify"]
    (tmp_path / "photos").mkdir()
    for name in ("street", "empty"):
        (tmp_path / f"photos/{name}.png").write_bytes(flat(1, 400, 500))
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "docs/detection.md", "exec"), {})
    assert [cli.main(one.split()) for one in commands] == [0, 0]
    with mx.io.ImageDetRecordIter(
        path_imgrec="train.rec", data_shape=(3, 40, 50), batch_size=2, label_format="boxes"
    ) as it:
        found, count = (one.asnumpy() for one in it.next().label)
        assert it.stats()["bad_boxes"] == 0
    assert count.tolist() == [2, 0]
    assert np.allclose(
        found[0] * [1, 500, 400, 500, 400], [[0, 48, 140, 195, 271], [7, 8, 12, 352, 398]]
    )
