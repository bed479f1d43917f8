"""repair copies what is sound, reports the rest, and leaves the source alone."""

import errno
import json
import os
from pathlib import Path

import pytest

from gpuio.recordio.framing import scan
from gpuio.recordio.index import read_index
from gpuio.storage.local import LocalFile
from gpuio.tools import cli
from support.making import flat, jpeg, offsets, photo, write_rec


@pytest.fixture
def six(tmp_path):
    return write_rec(tmp_path, [flat(i) for i in range(6)])


@pytest.fixture
def target(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "clean.rec"


def repair(*words):
    return cli.main(["repair", *map(str, words), "--quiet"])


def put(path, at, new):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(new)


def pieces(path):
    """The framed records of a file."""
    with LocalFile(path) as file:
        return [bytes(piece) for piece in file.read_ranges(*scan(file))]


def report(target):
    return json.loads(target.with_suffix(".json").read_text())


def test_a_sound_file_is_copied_as_it_is(six, target, capsys):
    assert repair(six[0], target) == 0
    assert target.read_bytes() == Path(six[0]).read_bytes()
    assert target.with_suffix(".idx").read_bytes() == Path(six[1]).read_bytes()
    assert report(target)["left_out"] == []
    assert "6 records" in capsys.readouterr().out


def test_damaged_records_are_left_out_and_keys_kept(six, target, capsys):
    at, whole = offsets(six[1]), pieces(six[0])
    put(six[0], at[1], b"\0")
    put(six[0], at[3] + 4, (at[5] - at[3] - 8).to_bytes(4, "little"))  # hides record 4
    os.truncate(six[0], os.path.getsize(six[0]) - 3)
    before = Path(six[0]).read_bytes()
    assert repair(six[0], target) == 1
    assert pieces(target) == [whole[0], whole[2], whole[4]]
    keys, there = read_index(target.with_suffix(".idx"))
    assert keys == [0, 2, 4]
    assert there == [0, len(whole[0]), len(whole[0]) + len(whole[2])]
    facts = report(target)
    assert [(one["offset"], one["end"]) for one in facts["left_out"]] == [
        (at[1], at[2]),
        (at[3], at[4]),
        (at[5], len(before)),
    ]
    assert (facts["records"], facts["source_bytes"]) == (3, len(before))
    assert facts["bytes"] == target.stat().st_size
    assert Path(six[0]).read_bytes() == before
    out = capsys.readouterr().out
    assert f"left out: framing at byte {at[1]} to {at[2]}: bad magic" in out
    assert cli.main(["verify", str(target), "--decode", "--quiet"]) == 0
    capsys.readouterr()


def test_records_that_another_hides_are_found(six, target, capsys):
    at, whole = offsets(six[1]), pieces(six[0])
    Path(six[1]).unlink()
    put(six[0], at[1] + 4, (at[4] - at[1] - 8).to_bytes(4, "little"))
    assert repair(six[0], target) == 1
    assert pieces(target) == [whole[0], *whole[2:]]
    capsys.readouterr()


def test_images_are_left_out_only_if_asked_to(tmp_path, target, capsys):
    rec, _ = write_rec(tmp_path, [flat(0), b"no image", flat(2)])
    assert repair(rec, target) == 0
    assert repair(rec, target, "--headers", "--force") == 1
    assert read_index(target.with_suffix(".idx"))[0] == [0, 2]
    (one,) = report(target)["left_out"]
    assert (one["kind"], one["key"]) == ("image", "1")
    capsys.readouterr()


def test_checksums_decide_if_asked_to(six, target, capsys):
    cli.main(["checksum", six[0], "--quiet"])
    put(six[0], offsets(six[1])[2] + 12, b"\x01")
    assert repair(six[0], target) == 0
    assert repair(six[0], target, "--checksum", "--force") == 1
    assert read_index(target.with_suffix(".idx"))[0] == [0, 1, 3, 4, 5]
    capsys.readouterr()


def test_records_without_a_key_get_new_ones(six, target, capsys):
    at = offsets(six[1])
    Path(six[1]).write_text(f"7\t{at[0]}\n7\t{at[1]}\nx\t{at[2]}\n3\t{at[4]}\n")
    assert repair(six[0], target) == 0
    assert read_index(target.with_suffix(".idx"), str)[0] == ["7", "8", "x", "9", "3", "10"]
    assert len(report(target)["other_problems"]) == 4
    Path(six[1]).unlink()
    assert repair(six[0], target, "--force") == 0
    assert read_index(target.with_suffix(".idx"))[0] == list(range(6))
    capsys.readouterr()


def test_a_shifted_record_comes_back_to_its_place(six, target, capsys):
    at, whole = offsets(six[1]), pieces(six[0])
    data = Path(six[0]).read_bytes()
    Path(six[0]).write_bytes(data[: at[2]] + b"x" + data[at[2] :])
    assert repair(six[0], target) == 1
    assert pieces(target) == whole
    capsys.readouterr()


def test_what_may_not_be_written_over(six, target, tmp_path, capsys):
    before = Path(six[0]).read_bytes()
    assert repair(six[0], six[0]) == 2
    assert repair(six[0], six[0], "--force") == 2
    link = tmp_path / "link.rec"
    link.symlink_to(six[0])
    assert repair(six[0], link, "--force") == 2
    os.link(six[0], tmp_path / "hard.rec")
    assert repair(six[0], tmp_path / "hard.rec", "--force") == 2
    assert repair(six[0], tmp_path / "data.other", "--force") == 2  # its index is the source's
    assert repair(six[0], tmp_path / "x.json") == 2
    for name in ("clean.rec", "clean.idx", "clean.json"):
        other = target.with_name(name)
        other.write_text("mine")
        assert repair(six[0], target) == 2
        assert other.read_text() == "mine"
        other.unlink()
    assert list(target.parent.iterdir()) == []
    assert Path(six[0]).read_bytes() == before
    assert "--force" in capsys.readouterr().err


def test_what_cannot_be_read_or_written(six, target, tmp_path, capsys):
    assert repair(tmp_path / "no.rec", target) == 3
    assert repair(six[0], tmp_path / "no" / "clean.rec") == 3
    (tmp_path / "bad.rec").write_bytes(bytes(5000))
    assert repair(tmp_path / "bad.rec", target) == 3
    assert list(target.parent.iterdir()) == []
    capsys.readouterr()


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_full_disk_leaves_no_half_index(six, target, monkeypatch, capsys, call):
    """The record file, the report and the index reach the disk in this order, each as a whole."""
    real, calls = os.fsync, []

    def fsync(fd):
        calls.append(fd)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    assert repair(six[0], target) == 3
    assert "No space left" in capsys.readouterr().err
    there = sorted(path.name for path in target.parent.iterdir())
    assert there == ["clean.json", "clean.rec"][3 - call :]  # never the index
    monkeypatch.undo()
    assert repair(six[0], target, "--force") == 0
    assert len(list(target.parent.iterdir())) == 3
    capsys.readouterr()


def test_an_old_index_does_not_outlive_its_record_file(six, target, monkeypatch, capsys):
    target.write_text("old")
    target.with_suffix(".idx").write_text("0\t0\n")
    real, calls = os.replace, []

    def replace(*names):
        calls.append(names)
        if len(calls) == 3:
            raise OSError(errno.EIO, "Input/output error")
        real(*names)

    monkeypatch.setattr(os, "replace", replace)
    assert repair(six[0], target, "--force") == 3
    assert not target.with_suffix(".idx").exists()
    assert target.read_bytes() == Path(six[0]).read_bytes()
    capsys.readouterr()


def test_what_is_left_out_is_listed_in_part_and_counted(tmp_path, target, capsys):
    blobs = [b"no image"] * 130 + [jpeg(photo(20, 30))]
    rec, _ = write_rec(tmp_path, blobs, name="many")
    assert cli.main(["repair", rec, str(target), "--headers", "--quiet"]) == 1
    said = capsys.readouterr().out
    assert said.count("left out: image") == 100
    assert "left out: 30 more; " in said


def test_a_key_that_no_index_can_give_back_gets_a_number(six, target):
    rec, idx = six
    lines = Path(idx).read_bytes().splitlines(keepends=True)
    Path(idx).write_bytes(b"7\0\t0\n" + b"".join(lines[1:]))
    assert repair(rec, target) in (0, 1)
    keys = [line.split("\t")[0] for line in target.with_suffix(".idx").read_text().splitlines()]
    assert keys == ["6", "1", "2", "3", "4", "5"]
