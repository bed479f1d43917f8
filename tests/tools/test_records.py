"""ls, cat, extract and info show what the records of a file are, of every layout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuio.recordio.lists import read_list
from gpuio.tools import cli
from support import boxes
from support.faceset import face_payloads, record, sagemaker, write_faces, write_payloads
from support.making import flat, jpeg, offsets, photo, png, write_rec

BLOBS = [jpeg(photo(40, 60)), png(photo(30, 20)), b"no image", b""]


@pytest.fixture
def mixed(tmp_path):
    payloads = [
        record([1.0, 2.5], BLOBS[0], 70),
        record(3.0, BLOBS[1], 71),
        record(4.0, BLOBS[2], 72),
        record(5.0, BLOBS[3], 73),
        b"short",
    ]
    return write_payloads(tmp_path, payloads, keys=[10, 11, 12, 13, 11])


def run(capsys, *arguments):
    code = cli.main([str(one) for one in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.filterwarnings("ignore:.*keys stand at more than one record")
def test_ls_has_a_line_for_each_record(mixed, capsys):
    code, out, _ = run(capsys, "ls", mixed[0], "--idx", mixed[1])
    assert code == 1
    head, *lines = [line.split("\t") for line in out.splitlines()]
    assert head == ["key", "offset", "bytes", "id", "format", "size", "labels"]
    at = offsets(mixed[1])
    assert lines[0][:2] + lines[0][3:] == ["10", "0", "70", "jpeg", "60x40", "1 2.5"]
    assert lines[0][2] == str(at[1])
    assert lines[1][3:] == ["71", "png", "20x30", "3"]
    assert lines[2][3:] == ["72", "-", "-", "4", "! no image signature: 6e6f20696d616765"]
    assert lines[3][3:] == ["73", "-", "-", "5", "! the image is empty"]
    assert lines[4][0] == "11"
    assert "shorter than an image record" in lines[4][-1]
    code, out, _ = run(capsys, "ls", mixed[0], "--first", 1, "--count", 1)
    assert (code, out.splitlines()[1].split("\t")[:2]) == (0, ["11", str(at[1])])


def test_ls_writes_json_lines(tmp_path, capsys):
    paths = write_rec(tmp_path, [flat(1), flat(2)], labels=[float("nan"), 2.0])
    code, out, _ = run(capsys, "ls", paths[0], "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["labels"] for row in rows] == [["nan"], [2.0]]
    assert rows[1]["offset"] == offsets(paths[1])[1]
    assert (rows[0]["format"], rows[0]["height"], rows[0]["image_bytes"]) == (
        "png",
        8,
        len(flat(1)),
    )


def test_ls_shows_what_insightfaces_records_are(tmp_path, capsys):
    code, out, _ = run(capsys, "ls", write_faces(tmp_path)[0])
    lines = out.splitlines()
    assert (code, len(lines)) == (0, 17)
    assert lines[1].endswith("-\t-\t13 16")
    assert lines[-1].endswith("-\t-\t10 13")


@pytest.mark.parametrize("count", [1, 3000])
def test_ls_stops_quietly_when_the_pipe_is_closed(tmp_path, count):
    paths = write_rec(tmp_path, [flat(1)] * count)
    nobody, pipe = os.pipe()
    os.close(nobody)
    done = subprocess.run(
        [sys.executable, "-m", "gpuio", "ls", paths[0]],
        stdout=pipe,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        check=False,
    )
    os.close(pipe)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.filterwarnings("ignore:.*keys stand at more than one record")
def test_cat_writes_one_image(mixed, tmp_path, capfdbinary):
    out = tmp_path / "one.jpg"
    assert cli.main(["cat", mixed[0], "10", "--idx", mixed[1], "--out", str(out)]) == 0
    assert out.read_bytes() == BLOBS[0]
    assert cli.main(["cat", mixed[0], "11", "--idx", mixed[1]]) == 0
    said = capfdbinary.readouterr()
    assert said.out == BLOBS[1]
    assert said.err == b"gpuio cat: 2 records have key 11: the first\n"
    Path(mixed[1]).unlink()
    assert cli.main(["cat", mixed[0], "2"]) == 0  # no image that is known, but bytes
    assert capfdbinary.readouterr().out == BLOBS[2]
    for key, says in (
        ("99", b"no record 99"),
        ("3", b"the image is empty"),
        ("4", b"shorter than"),
    ):
        assert cli.main(["cat", mixed[0], key]) == 1
        assert says in capfdbinary.readouterr().err
    assert cli.main(["cat", mixed[0], "0", "--out", str(tmp_path / "no/x")]) == 3
    assert cli.main(["cat", mixed[0] + ".no", "0"]) == 3


def test_cat_of_a_record_without_an_image(tmp_path, capsys):
    code, _, said = run(capsys, "cat", write_faces(tmp_path)[0], 0)
    assert (code, said) == (1, "gpuio cat: key 0 holds labels and no image\n")


def test_extracted_images_and_list_make_the_same_records_again(tmp_path, capsys):
    blobs = [jpeg(photo(20, 20, i)) for i in range(3)] + [flat(7)]
    payloads = [record([float(i), 0.5], blob, 50 + i) for i, blob in enumerate(blobs)]
    paths = write_payloads(tmp_path, payloads, keys=range(50, 54))
    out = tmp_path / "out"
    code, _, said = run(capsys, "extract", paths[0], out, "--idx", paths[1], "--progress", "none")
    assert (code, said) == (0, f"4 images in {out}, listed in data.lst\n")
    items = list(read_list(out / "data.lst"))
    assert [item.path for item in items] == [
        "00000050.jpg",
        "00000051.jpg",
        "00000052.jpg",
        "00000053.png",
    ]
    assert [(out / item.path).read_bytes() for item in items] == blobs
    flags = ("--pass-through", "--pack-label", "--progress", "none")
    assert run(capsys, "im2rec", out / "data", out, *flags)[0] == 0
    assert (out / "data.rec").read_bytes() == Path(paths[0]).read_bytes()
    assert (out / "data.idx").read_bytes() == Path(paths[1]).read_bytes()
    code, _, said = run(capsys, "extract", paths[0], out, "--progress", "none")
    assert code == 3
    assert "there already" in said


@pytest.mark.filterwarnings("ignore:.*keys stand at more than one record")
def test_extract_leaves_out_what_is_no_image_and_overwrites_nothing(mixed, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ("extract", mixed[0], out, "--idx", mixed[1], "--progress", "none", "--by-label")
    code, _, said = run(capsys, *arguments)
    assert code == 1
    assert "2 images in" in said
    assert "left out: key 12 at byte" in said
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    assert files == ["1/00000010.jpg", "3/00000011.png", "data.lst"]
    (out / "data.lst").unlink()
    code, _, said = run(capsys, *arguments)
    assert (code, (out / "data.lst").exists()) == (3, False)
    assert "File exists" in said


def test_extract_numbers_repeated_keys(tmp_path, capsys):
    paths = write_payloads(tmp_path, [flat(1), flat(2)], keys=[5, 5])
    with pytest.warns(UserWarning, match="keys stand at more than one record"):
        code, _, said = run(
            capsys, "extract", paths[0], tmp_path / "out", "--idx", paths[1], "--progress", "none"
        )
    assert code == 0
    assert "1 keys are repeated or negative: listed under new ids" in said
    assert [(item.index, item.path) for item in read_list(tmp_path / "out/data.lst")] == [
        (5, "00000005.png"),
        (6, "00000005_1.png"),
    ]


def test_info_never_says_fewer_classes_than_labels_have(tmp_path, capsys):
    payloads = face_payloads((2, 3))
    payloads[1] = record(9.0, flat(1))
    rec, _ = write_payloads(tmp_path, payloads)
    for arguments, classes in (
        (["--sample", "1"], 2),  # the header alone was looked into
        ([], 10),
        (["--sample", "1", "--labels"], 10),
    ):
        code, out, _ = run(capsys, "info", rec, "--json", *arguments)
        assert (code, json.loads(out)["num_classes"]) == (0, classes)


@pytest.mark.parametrize("order", ["between", "last"])
def test_a_key_of_an_insightface_set_is_one_record_in_every_command(tmp_path, capsys, order):
    rec, idx = write_faces(tmp_path, order=order)
    assert run(capsys, "extract", rec, tmp_path / "images")[0] == 0
    said = [run(capsys, "ls", rec, *more)[1] for more in ([], ["--idx", idx])]
    assert said[0] == said[1]
    assert run(capsys, "cat", rec, 5, "--out", tmp_path / "fifth")[0] == 0
    (extracted,) = (tmp_path / "images").glob("00000005.*")
    assert (tmp_path / "fifth").read_bytes() == extracted.read_bytes()
    assert run(capsys, "cat", rec, 0)[0] == 1


def test_extract_takes_the_images_of_an_insightface_set(tmp_path, capsys):
    paths = write_faces(tmp_path)
    code, *_ = run(
        capsys, "extract", paths[0], tmp_path / "out", "--by-label", "--progress", "none"
    )
    assert code == 0
    assert len(list((tmp_path / "out").rglob("*.png"))) == 12
    assert {item.path.split("/")[0] for item in read_list(tmp_path / "out/train.lst")} == set("012")


def test_info_knows_layouts(tmp_path, capsys):
    def facts(paths):
        code, out, _ = run(capsys, "info", paths[0], "--json")
        assert code == 0
        return json.loads(out)

    faces = facts(write_faces(tmp_path))
    named = ("layout", "images", "identities", "num_classes", "identity_records", "records")
    assert [faces[name] for name in named] == ["insightface", 12, 3, 3, 4, 16]
    assert faces["counts"]["label width"] == {"1": 12}
    assert facts(write_rec(tmp_path, [flat(1)]))["layout"] == "plain"
    assert facts(write_payloads(tmp_path, [flat(1), flat(2)]))["layout"] == "bare images"
    _, out, _ = run(capsys, "info", write_faces(tmp_path)[0])
    assert "layout: InsightFace, 12 images and 3 identities; classes: 3" in out
    code, _, said = run(capsys, "info", write_payloads(tmp_path, [sagemaker([1, 2], 3)])[0])
    assert code == 1
    assert "RecordIO-protobuf" in said


def test_info_counts_labels(tmp_path, capsys):
    labels = [0.0, 3.0, 3.0, float("nan"), -1.0, 2.5, float("inf")]
    paths = write_rec(tmp_path, [flat(i) for i in range(7)], labels=labels)
    _, out, _ = run(capsys, "info", paths[0], "--json")
    counted = json.loads(out)["labels"]
    assert counted.pop("most_common") == {"3": 2, "-1": 1, "0": 1, "2.5": 1}
    assert counted == {
        "values": 7,
        "distinct": 4,
        "smallest": -1,
        "largest": 3,
        "rarest_count": 1,
        "nan": 1,
        "infinite": 1,
        "negative": 1,
        "fractional": 1,
    }
    _, out, _ = run(capsys, "info", paths[0])
    assert "labels that are not classes: 1 nan, 1 infinite, 1 negative, 1 fractional" in out
    assert "first labels: 4 values from -1 to 3" in out
    wide = write_payloads(tmp_path, [record([float(i), -5.0], flat(i)) for i in range(3)])
    _, out, _ = run(capsys, "info", wide[0])
    assert "first labels: 3 values from 0 to 2" in out
    assert "labels that are not classes: 3 negative" in out


def test_info_counts_boxes(tmp_path, capsys):
    good, wide = (1, 0.1, 0.2, 0.5, 0.6), (1, 10, 20, 100, 200)
    labels = [boxes.label(one) for one in ([good] * 3, [], [good, wide, wide], [(-2, *good[1:])])]
    labels.append(boxes.label([good])[:-1])
    paths = write_rec(tmp_path, [flat(i) for i in range(5)], labels)
    _, out, _ = run(capsys, "info", paths[0], "--json")
    counted = json.loads(out)["boxes"]
    assert sorted(counted.pop("wrong").values()) == [1, 2]
    assert counted == {"objects": 7, "background": 1, "malformed": 1, "images_with_wrong": 2}
    _, out, _ = run(capsys, "info", paths[0])
    assert "detection labels: 7 boxes, 1 images without one" in out
    assert "labels that are not a header and whole objects: 1 records" in out
    assert "wrong boxes: 3 in 2 images\n  2: in pixels?" in out
    _, out, _ = run(capsys, "info", write_rec(tmp_path, [flat(1)], [4.0])[0], "--json")
    assert json.loads(out)["boxes"] is None


def test_info_shares_are_of_all_that_was_counted(tmp_path, capsys):
    paths = write_rec(tmp_path, [flat(1, 8, 8 + i % 20) for i in range(40)])
    _, out, _ = run(capsys, "info", paths[0])
    (sizes,) = [line for line in out.splitlines() if line.startswith("size: ")]
    assert sizes.count("(2, 5.0%)") == 12
    assert sizes.endswith("others (16, 40.0%)")


def test_info_says_how_jpegs_were_saved(tmp_path, capsys):
    from support.pictures import jpeg as encoded
    from support.pictures import picture

    blobs = [encoded(picture(16, 16), quality=q, progressive=p) for q, p in ((95, 0), (80, 1))] * 2
    paths = write_rec(tmp_path, blobs)
    _, out, _ = run(capsys, "info", paths[0])
    assert "process: baseline (2, 50.0%), progressive (2, 50.0%)" in out
    assert "quality: 95 (2, 50.0%), 80 (2, 50.0%)" in out
    assert "subsampling: 4:2:0 (4, 100.0%)" in out
    assert "size: 16x16 (4, 100.0%)" in out


def test_show_draws_bare_images_and_leaves_out_identities(tmp_path, capsys):
    bare = write_payloads(tmp_path, [flat(1), flat(2)])
    for paths in (bare, write_faces(tmp_path)):
        assert run(capsys, "show", paths[0], "--out", tmp_path / "sheet.png")[0] == 0


def test_im2rec_writes_the_classes_of_folders(tmp_path, capsys):
    for name in ("cats", "dogs/big"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "a.jpg").write_bytes(b"x")
    listing = ("im2rec", tmp_path / "set", tmp_path / "in", "--list", "--classes")
    assert run(capsys, *listing, "--recursive")[0] == 0
    assert json.loads((tmp_path / "set.classes.json").read_text()) == {"cats": 0, "dogs/big": 1}
    code, _, said = run(capsys, *listing)
    assert code == 2
    assert "--recursive" in said


def test_a_label_of_a_million_keeps_its_digits(tmp_path, capsys):
    rec, _ = write_rec(tmp_path, [flat(1)] * 3, [1234567.0, 1234568.0, 0.5])
    assert cli.main(["ls", rec]) == 0
    assert [line.split("\t")[-1] for line in capsys.readouterr().out.splitlines()[1:]] == [
        *("1234567", "1234568", "0.5")
    ]
    assert cli.main(["stats", rec, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == {"0.5": 1, "1234567": 1, "1234568": 1}
    assert cli.main(["extract", rec, str(tmp_path / "out"), "--quiet"]) == 0
    assert cli.main(["convert", rec, str(tmp_path / "classes"), "--quiet"]) == 0
    assert {"1234567", "1234568"} <= {path.name for path in (tmp_path / "classes").iterdir()}
