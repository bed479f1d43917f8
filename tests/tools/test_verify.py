"""verify names every problem with key, byte and reason; its exit codes tell them apart."""

import json
import os
import shutil
from pathlib import Path

import pytest

from gpuio import recordio
from gpuio.decode import turbojpeg
from gpuio.tools import cli
from support import boxes
from support.making import flat, jpeg, offsets, photo, warned, write_rec


@pytest.fixture
def six(tmp_path):
    """Six images; write_rec's index lies beside them."""
    return write_rec(tmp_path, [flat(i) for i in range(6)])


def verify(capsys, *words):
    """Return the exit code and the files' facts."""
    code = cli.main(["verify", *map(str, words), "--json", "--quiet"])
    said = json.loads(capsys.readouterr().out)
    assert said["sound"] == (code == 0)
    return code, said["files"]


def problems(capsys, *words):
    code, (facts,) = verify(capsys, *words)
    assert code == int(bool(facts["problems"]))
    return facts["problems"]


def put(path, at, new):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(new)


@pytest.mark.parametrize("depth", [[], ["--headers"], ["--decode"], ["--decode", "--checksum"]])
def test_a_sound_file_has_no_problem(six, capsys, depth):
    cli.main(["checksum", six[0], "--quiet"])
    code, (facts,) = verify(capsys, six[0], *depth)
    assert (code, facts["records"], facts["index"], facts["problems"]) == (0, 6, six[1], [])
    assert facts["checked"][:2] == ["framing", "index"]
    assert facts["bytes"] == os.path.getsize(six[0])


def test_damaged_framing_is_named_by_range(six, capsys):
    at = offsets(six[1])
    put(six[0], at[2], b"\0")
    put(six[0], at[4] + 4, b"\xff\xff\xff")
    framing = [one for one in problems(capsys, six[0]) if one["kind"] == "framing"]
    assert [(one["offset"], one["end"]) for one in framing] == [(at[2], at[3]), (at[4], at[5])]
    assert "bad magic" in framing[0]["reason"]
    assert "cut short" in framing[1]["reason"]


def test_a_hidden_record_is_found_when_records_are_read(six, capsys):
    at = offsets(six[1])
    Path(six[1]).unlink()
    put(six[0], at[2] + 4, (at[4] - at[2] - 8).to_bytes(4, "little"))
    assert problems(capsys, six[0]) == []
    (one,) = problems(capsys, six[0], "--headers")
    assert (one["kind"], one["offset"], one["end"]) == ("framing", at[2], at[3])
    assert "its length is damaged" in one["reason"]


def test_every_flaw_of_an_index_is_named(six, capsys):
    at = offsets(six[1])
    lines = [(0, at[0]), (1, at[1]), (2, at[2] + 4), (1, at[3]), (9, at[1]), (5, 10**6)]
    Path(six[1]).write_text("".join(f"{key}\t{offset}\n" for key, offset in lines))
    found = problems(capsys, six[0])
    assert all(one["kind"] == "index" for one in found)
    said = [(one["key"], one["offset"], one["reason"].split(": ", 1)[-1]) for one in found]
    assert said[:4] == [
        ("2", at[2] + 4, "no record starts there"),
        ("1", at[3], "the key stands there twice"),
        ("9", at[1], "key 1 has this offset as well"),
        ("5", 10**6, f"beyond the end of the file ({os.path.getsize(six[0]):,} bytes)"),
    ]
    assert [one["offset"] for one in found[4:]] == [at[2], at[3], at[4], at[5]]
    assert "does not list this record" in found[4]["reason"]


def test_an_index_of_huge_offsets_or_nonsense(six, capsys):
    Path(six[1]).write_text(f"0\t0\n1\t{2**70}\n")
    assert "beyond the end" in problems(capsys, six[0])[0]["reason"]
    Path(six[1]).write_text("0\tx\n")
    assert "index line 1" in problems(capsys, six[0])[0]["reason"]


def test_records_and_images_are_looked_into_as_deep_as_asked(tmp_path, capsys):
    whole = jpeg(photo(40, 40))
    rec, idx = write_rec(tmp_path, [whole, whole[: len(whole) // 2], b"no image", b"", flat(1)])
    at = offsets(idx)
    assert problems(capsys, rec) == []
    heads = [(p["kind"], p["key"], p["offset"]) for p in problems(capsys, rec, "--headers")]
    assert heads == [("image", "2", at[2]), ("image", "3", at[3])]
    full = [(p["kind"], p["key"]) for p in problems(capsys, rec, "--decode", "--threads", "3")]
    assert full == [("image", "1"), ("image", "2"), ("image", "3")]
    few = problems(capsys, rec, "--headers", "--max-pixels", "100")
    assert [p["key"] for p in few] == ["0", "1", "2", "3"]


def test_a_record_that_is_no_image_record(tmp_path, capsys):
    from gpuio.recordio import IRHeader, MXRecordIO, pack

    rec = str(tmp_path / "a.rec")
    with MXRecordIO(rec, "w") as writer:
        writer.write(pack(IRHeader(0, [6.0, 9.0], 0, 0), b""))  # InsightFace's first record
        writer.write(b"short")
    (one,) = problems(capsys, rec, "--headers")
    assert one["kind"] == "record"
    assert "shorter than an image record's header" in one["reason"]


def test_checksums_find_what_decoders_do_not(six, capsys):
    cli.main(["checksum", six[0], "--quiet"])
    at = offsets(six[1])
    put(six[0], at[3] + 8 + 4, b"\x01")  # the label
    assert problems(capsys, six[0], "--decode") == []
    (one,) = problems(capsys, six[0], "--checksum")
    assert (one["kind"], one["key"], one["offset"]) == ("checksum", "3", at[3])
    with open(six[0], "ab") as file:
        file.write(b"123456789")
    kinds = [one["kind"] for one in problems(capsys, six[0], "--checksum")]
    assert kinds == ["checksum", "framing", "checksum"]  # the size, the junk, the label
    put(six[0], at[4], b"\0")
    reasons = [one["reason"] for one in problems(capsys, six[0], "--checksum", six[0] + ".crc32")]
    assert any("lists a record here that was not found" in reason for reason in reasons)
    put(six[0] + ".crc32", 30, b"\0")
    assert "file of checksums" in problems(capsys, six[0], "--checksum")[0]["reason"]


def test_several_files_and_exit_codes(six, tmp_path, capsys):
    other = str(tmp_path / "other.rec")
    shutil.copy(six[0], other)
    code, files = verify(capsys, six[0], other)
    assert (code, [one["index"] for one in files]) == (0, [six[1], None])
    code, files = verify(capsys, six[0], other, "--idx", six[1], six[1])
    assert (code, [one["index"] for one in files]) == (0, [six[1], six[1]])
    put(other, 0, b"\0")
    code, files = verify(capsys, six[0], other)
    assert (code, [bool(one["problems"]) for one in files]) == (1, [False, True])
    code, files = verify(capsys, tmp_path / "no.rec", other)
    assert code == 3
    assert "error" in files[0]
    assert cli.main(["verify", six[0], other, "--idx", six[1]]) == 2
    assert cli.main(["verify", six[0], other, "--checksum", "x"]) == 2
    assert cli.main(["verify", six[0], "--checksum", str(tmp_path / "no")]) == 3
    capsys.readouterr()


def test_an_empty_file_is_a_problem(tmp_path, capsys):
    (tmp_path / "a.rec").touch()
    assert [one["reason"] for one in problems(capsys, tmp_path / "a.rec")] == ["the file is empty"]


def test_the_text_lists_problems_and_sums_up(six, capsys):
    at = offsets(six[1])
    put(six[0], at[2], b"\0")
    assert cli.main(["verify", six[0], "--headers", "--progress", "plain"]) == 1
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].startswith(f"{six[0]}: framing at byte {at[2]} to {at[3]}: bad magic")
    assert lines[-2].endswith("5 records, framing, index, headers: 2 problems")
    assert "`gpuio repair" in lines[-1]
    assert f"verify {six[0]}: 5 of 5" in said.err


def test_more_problems_than_are_shown(tmp_path, capsys):
    rec, _ = write_rec(tmp_path, [b"x"] * 120)
    assert cli.main(["verify", rec, "--headers", "--quiet"]) == 1
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 103
    assert "and 20 more" in said


@pytest.mark.parametrize("depth", ["--headers", "--decode"])
def test_bare_images_are_looked_into_as_images(tmp_path, capsys, depth):
    blobs = [jpeg(photo(20, 30, seed=k)) for k in range(6)]
    blobs[4] = blobs[4][:200]
    rec = str(tmp_path / "bare.rec")
    with recordio.MXRecordIO(rec, "w") as writer:
        for blob in blobs:
            writer.write(blob)
    found = problems(capsys, rec, depth)
    assert [one["kind"] for one in found] == ["image"] * (depth == "--decode")


GOOD, PIXELS, FLAT = (1, 0.1, 0.2, 0.5, 0.6), (1, 10, 20, 100, 200), (1, 0.5, 0.2, 0.5, 0.6)


def test_the_boxes_of_a_detection_set_are_checked(tmp_path, capsys):
    labels = [boxes.label(one) for one in ([GOOD], [], [GOOD, PIXELS], [FLAT, GOOD], [GOOD])]
    labels.append(boxes.label([GOOD])[:-1])
    blobs = [flat(1)] * 4 + [b"no image"] + [flat(1)]
    rec, idx = write_rec(tmp_path, blobs, labels)
    assert problems(capsys, rec) == []
    for depth in ("--headers", "--decode"):
        found = problems(capsys, rec, depth)
        at = offsets(idx)
        assert [(one["kind"], one["key"], one["offset"]) for one in found] == [
            ("label", "2", at[2]),
            ("label", "3", at[3]),
            ("image", "4", at[4]),
            ("label", "5", at[5]),
        ]
        assert "1 of 2 boxes are wrong; the first is number 2" in found[0]["reason"]
        assert "in pixels?" in found[0]["reason"]
        assert "right is not above left" in found[1]["reason"]
        assert "4 are left over" in found[3]["reason"]


def test_labels_of_other_sets_are_not_taken_for_boxes(tmp_path, capsys):
    for labels in ([[2, 5]] * 3, [1.0] * 3, [[2, 5, *range(7)]] * 3, [[0.5] * 12] * 3):
        rec, _ = write_rec(tmp_path, [flat(1)] * 3, labels)
        assert problems(capsys, rec, "--headers") == []


def test_repair_keeps_records_of_wrong_boxes(tmp_path, capsys):
    rec, _ = write_rec(tmp_path, [flat(1)] * 2, [boxes.label([FLAT]), boxes.label([GOOD])])
    made = tmp_path / "made.rec"
    assert cli.main(["repair", rec, str(made), "--headers", "--quiet"]) == 0
    assert made.read_bytes() == Path(rec).read_bytes()
    report = json.loads((tmp_path / "made.json").read_text())
    assert [one["kind"] for one in report["other_problems"]] == ["label"]


def test_images_that_are_decoded_with_a_warning_are_counted_and_no_problem(tmp_path, capsys):
    sound = [jpeg(photo(60, 80)), flat(3)]
    rec, idx = write_rec(tmp_path, [*sound, *warned(photo(60, 80))])
    code, (facts,) = verify(capsys, rec, "--decode")
    assert (code, facts["problems"]) == (0, [])
    if not turbojpeg.status().usable:
        assert (facts["decoded_with_warnings"], facts["warnings"]) == (None, [])
        return
    assert facts["decoded_with_warnings"] == 2
    named = [(one["key"], one["offset"], one["kind"]) for one in facts["warnings"]]
    assert named == [(str(n), offsets(idx)[n], "warning") for n in (2, 3)]
    assert cli.main(["verify", rec, "--decode", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "nothing wrong; 2 images are decoded with warnings" in said
    assert "warning key 2 at byte" in said
    assert cli.main(["repair", rec, str(tmp_path / "new.rec"), "--decode", "--quiet"]) == 0


def test_what_nobody_looked_for_is_not_a_number(six, capsys):
    assert verify(capsys, six[0], "--headers")[1][0]["decoded_with_warnings"] is None


def test_an_index_in_which_nothing_is_wrong_costs_eight_bytes_a_key(six):
    from gpuio.pipeline.audit import PlainKeys, audit_index, lay_out
    from gpuio.storage.local import LocalFile

    with LocalFile(six[0]) as file:
        layout = lay_out(file, thorough=False)
        keys, wrong = audit_index(six[1], layout, file.size)
        assert isinstance(keys, PlainKeys)
        assert (list(keys), keys[1], keys[2:4], wrong) == ([*"012345"], "1", ["2", "3"], [])
        at = offsets(six[1])
        for lines in (  # keys that are other texts, or lines that lead nowhere
            [f"0{key}\t{at[key]}" for key in range(6)],
            [f"{key}\t{at[key]} " for key in range(6)],
            [f"1\t{one}" for one in at],
            [f"{key}\t{at[key] + 4 * (key == 2)}" for key in range(6)],
            [f"{key}\t{at[key]}" for key in range(5)],
        ):
            Path(six[1]).write_text("\n".join(lines) + "\n")
            keys, wrong = audit_index(six[1], layout, file.size)
            assert isinstance(keys, list)
        assert len(wrong) == 1
        Path(six[1]).write_text("".join(f"0{key}\t{at[key]}\n" for key in range(6)))
        assert audit_index(six[1], layout, file.size)[0][3] == "03"
