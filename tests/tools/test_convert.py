"""What is converted to another format and back is the same images, labels and class names."""

import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from gpuio.recordio import MXIndexedRecordIO, unpack
from gpuio.recordio.index import read_index
from gpuio.tools import cli, convert
from support.faceset import record, write_faces, write_payloads
from support.making import flat, jpeg, photo, write_rec

BLOBS = [jpeg(photo(20, 30, i)) if i % 2 else flat(i) for i in range(7)]
LABELS = [0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 2.0]
NAMES = {"cat": 0, "dog": 1, "big/owl": 2}


@pytest.fixture
def seven(tmp_path):
    rec, _ = write_rec(tmp_path, BLOBS, LABELS)
    (tmp_path / "data.classes.json").write_text(json.dumps(NAMES))
    return rec


def run(capsys, *arguments):
    code = cli.main([str(one) for one in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def contents(rec):
    """Return [(key, label, image)] in the order of the file."""
    idx = Path(rec).with_suffix(".idx")
    keys, offsets = read_index(str(idx), int)
    reader = MXIndexedRecordIO(str(idx), str(rec), "r")
    found = []
    for _, key in sorted(zip(offsets, keys, strict=True)):
        header, image = unpack(reader.read_idx(key))
        found.append((key, np.atleast_1d(header.label).tolist(), image))
    reader.close()
    return found


def back_again(capsys, target, source, *more):
    """Convert to a record file, which must be sound; return its records."""
    code, _, err = run(capsys, "convert", source, target, *more)
    assert code == 0, err
    assert run(capsys, "verify", target, "--decode", "--quiet")[0] == 0
    assert not list(target.parent.glob("*.part"))
    return contents(target)


def test_webdatasets_shards(seven, tmp_path, capsys):
    out = tmp_path / "tars"
    out.mkdir()
    code, told, _ = run(capsys, "convert", seven, out / "t.tar", "--shard-records", 3, "--json")
    assert (code, json.loads(told)["samples"]) == (0, 7)
    assert [one.name for one in sorted(out.glob("*"))] == [
        "t-000000.tar", "t-000001.tar", "t-000002.tar", "t.classes.json",
    ]  # fmt: skip
    with tarfile.open(out / "t-000001.tar") as tar:
        assert tar.getnames()[:2] == ["00000003.jpg", "00000003.cls"]
        assert tar.extractfile("00000003.cls").read() == b"0"
    again = back_again(capsys, tmp_path / "again.rec", out, "--keep-keys")
    assert again == contents(seven)


def test_labels_that_are_not_classes_go_through_json(tmp_path, capsys):
    payloads = [record([0.1, -2.5], BLOBS[0], 0), record([1e9, 3.0], BLOBS[1], 1)]
    rec, _ = write_payloads(tmp_path, payloads)
    assert run(capsys, "convert", rec, tmp_path / "t.tar")[0] == 0
    again = back_again(capsys, tmp_path / "again.rec", tmp_path / "t-000000.tar")
    assert again == contents(rec)
    assert run(capsys, "convert", rec, tmp_path / "t.parquet")[0] == 0
    again = back_again(capsys, tmp_path / "more.rec", tmp_path / "t-000000.parquet")
    assert again == contents(rec)


def test_samples_of_a_tar_that_cannot_be_records_are_named(tmp_path, capsys):
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        for name, text in (
            ("a/1.jpg", BLOBS[1]), ("a/1.cls", b"3"), ("a/2.png", b"no image"), ("a/2.cls", b"1"),
            ("b/2.jpg", BLOBS[3]), ("b/3.cls", b"1"), ("b/4.jpg", BLOBS[5]), ("b/4.json", b"{}"),
            ("c/5.seg.png", BLOBS[0]), ("c/5.json", b'{"label": [4, 5]}'), ("c/6.jpg", BLOBS[1]),
            ("c/6.cls", b"x"),
        ):  # fmt: skip
            (tmp_path / "one").write_bytes(text)
            tar.add(tmp_path / "one", name)
    code, out, _ = run(capsys, "convert", tmp_path / "t.tar", tmp_path / "t.rec", "--json")
    told = json.loads(out)
    assert code == 1
    assert told["samples"] == 2
    assert [one.partition(": ")[2][:22] for one in told["left_out"]] == [
        "not an image", "no label: neither .cls", "0 images", "its label cannot be re",
        "its label cannot be re",
    ]  # fmt: skip
    assert [labels for _, labels, _ in contents(tmp_path / "t.rec")] == [[3.0], [4.0, 5.0]]
    (tmp_path / "t.tar").write_bytes((tmp_path / "t.tar").read_bytes()[:1000])
    code, _, err = run(capsys, "convert", tmp_path / "t.tar", tmp_path / "u.rec")
    assert (code, "not a whole tar file" in err) == (1, True)
    assert not (tmp_path / "u.rec").exists()


def test_class_folders(seven, tmp_path, capsys):
    folder = tmp_path / "photos"
    assert run(capsys, "convert", seven, folder)[0] == 0
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    assert files[0] == "big_owl/00000002.png"
    assert len(files) == 7
    again = back_again(capsys, tmp_path / "again.rec", folder)
    names = json.loads((tmp_path / "again.classes.json").read_text())
    assert names == {"big_owl": 0, "cat": 1, "dog": 2}  # in the order of ImageFolder
    moved = [2.0, 0.0, 1.0]  # from those numbers to the old ones
    moved = {0.0: 2.0, 1.0: 0.0, 2.0: 1.0}
    assert sorted((moved[label], image) for _, (label,), image in again) == sorted(
        zip(LABELS, BLOBS, strict=True)
    )
    code, _, err = run(capsys, "convert", seven, folder)
    assert (code, "is not empty" in err) == (2, True)
    (folder / files[0]).unlink()
    assert run(capsys, "convert", seven, folder, "--resume")[0] == 0
    assert (folder / files[0]).exists()
    for source, says in (
        (tmp_path / "data.idx", "--from says"),
        (tmp_path / "none", "no such file"),
    ):
        code, _, err = run(capsys, "convert", source, tmp_path / "x.rec")
        assert (code, says in err) == (3, True)


def test_parquet_files(seven, tmp_path, capsys):
    import pyarrow.parquet as pq

    code, _, err = run(capsys, "convert", seven, tmp_path / "p.parquet", "--shard-records", 5)
    assert code == 0, err
    table = pq.read_table(tmp_path / "p-000000.parquet")
    assert table["label"].to_pylist() == [0, 1, 2, 0, 1]
    assert table["image"][1].as_py() == {"bytes": BLOBS[1], "path": "00000001.jpg"}
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["label"] == {"names": ["cat", "dog", "big/owl"], "_type": "ClassLabel"}
    for path in tmp_path.glob("p-*.parquet"):
        (tmp_path / "set").mkdir(exist_ok=True)
        path.rename(tmp_path / "set" / path.name)
    again = back_again(capsys, tmp_path / "again.rec", tmp_path / "set")
    assert again == contents(seven)
    assert json.loads((tmp_path / "again.classes.json").read_text()) == NAMES
    bad = tmp_path / "set" / "p-000000.parquet"
    code, _, err = run(capsys, "convert", bad, tmp_path / "x.rec", "--label-column", "lable")
    assert (code, "no column lable: the file has image, label" in err) == (2, True)
    bad.write_bytes(b"PAR1 nothing")
    code, _, err = run(capsys, "convert", bad, tmp_path / "x.rec")
    assert (code, "not a Parquet file" in err) == (1, True)


def test_parquet_without_pyarrow_names_the_extra(seven, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = run(capsys, "convert", seven, tmp_path / "p.parquet")
    assert (code, "pip install 'gpuio[parquet]'" in err) == (1, True)
    assert not list(tmp_path.glob("p*.parquet"))


DATASET = """
import numpy as np
from PIL import Image

class Small:
    classes = ["cat", "dog"]

    def __init__(self, root):
        if root.endswith("none"):
            raise RuntimeError("not found: use download=True")

    def __len__(self):
        return 5

    def __getitem__(self, at):
        pixels = np.full((6, 4, 3), 40 * at, np.uint8)
        pixels[0, 0] = 255, 0, 7
        return (
            (Image.fromarray(pixels), 0), (pixels, 1), (pixels[:, :, 0], 1),
            (pixels.astype(float), 1), (Image.fromarray(pixels[:, :, 1]), "x"),
        )[at]
"""


def test_data_sets_as_torchvisions(tmp_path, monkeypatch, capsys):
    (tmp_path / "smallset.py").write_text(DATASET)
    monkeypatch.syspath_prepend(str(tmp_path))
    named = ("--dataset", "smallset:Small")
    code, out, _ = run(capsys, "convert", tmp_path, tmp_path / "s.rec", *named, "--json")
    told = json.loads(out)
    assert (code, told["samples"], len(told["left_out"])) == (1, 3, 2)
    assert "float64 [6, 4, 3]" in told["left_out"][0]
    found = contents(tmp_path / "s.rec")
    import cv2

    first = cv2.imdecode(np.frombuffer(found[0][2], np.uint8), cv2.IMREAD_UNCHANGED)
    assert first[0, 0].tolist() == [7, 0, 255]  # B G R
    assert [labels for _, labels, _ in found] == [[0], [1], [1]]
    assert json.loads((tmp_path / "s.classes.json").read_text()) == {"cat": 0, "dog": 1}
    for words, says in (
        (("smallset:Large",), "AttributeError"), (("nothing:Small",), "No module named"),
        (("smallset",), "expected MODULE:CLASS"),
    ):  # fmt: skip
        code, _, err = run(capsys, "convert", tmp_path, tmp_path / "x.rec", "--dataset", *words)
        assert (code, says in err) == (2, True)
    code, _, err = run(capsys, "convert", tmp_path / "none", tmp_path / "x.rec", *named)
    assert (code, "use download=True" in err) == (2, True)


def test_what_is_no_conversion_is_refused(seven, tmp_path, capsys):
    for words in ((seven, tmp_path / "x.rec"), (tmp_path, tmp_path / "x.tar")):
        code, _, err = run(capsys, "convert", *words)
        assert (code, "expected a record file on one side" in err) == (2, True)
    (tmp_path / "t-000000.tar").write_text("somebody's")
    code, _, err = run(capsys, "convert", seven, tmp_path / "t.tar")
    assert (code, "exists" in err) == (2, True)
    assert (tmp_path / "t-000000.tar").read_text() == "somebody's"
    tars = tmp_path / "tars"
    tars.mkdir()
    assert run(capsys, "convert", seven, tars / "t.tar")[0] == 0
    code, _, err = run(capsys, "convert", tars, seven, "--resume")
    assert (code, "no stopped run is there" in err) == (2, True)


def test_a_source_that_is_not_there_or_not_known_says_so(tmp_path, capsys):
    (tmp_path / "list.txt").write_text("text")
    for name, says in (("none", "no such file or folder"), ("list.txt", "--from says what")):
        code, _, err = run(capsys, "convert", tmp_path / name, tmp_path / "x.rec")
        assert (code, says in err) == (3, True)


@pytest.mark.parametrize("to", ["x.tar", "x.parquet", "folder"])
def test_what_lies_behind_a_url_is_a_record_file(seven, tmp_path, capsys, to):
    url = f"s3://bucket/{to}"
    for source, target in ((seven, url), (url, tmp_path / "x.rec")):
        code, _, err = run(capsys, "convert", source, target)
        assert (code, f"{url}: " in err, "on a disk only" in err) == (2, True, True)
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "photos" / "cat" / "a.jpg").write_bytes(flat(1))
    code, _, err = run(capsys, "convert", tmp_path / "photos", "s3://bucket/x.rec")
    assert (code, "s3://bucket/x.rec: expected a path on a disk" in err) == (2, True)


def test_of_insightfaces_sets_the_images_are_converted(tmp_path, capsys):
    rec, _ = write_faces(tmp_path)
    code, out, _ = run(capsys, "convert", rec, tmp_path / "t.tar", "--json")
    assert (code, json.loads(out)["samples"]) == (0, 12)


@pytest.mark.parametrize("to", ["rec", "tar"])
def test_a_stopped_conversion_goes_on_to_the_same_bytes(seven, tmp_path, monkeypatch, capsys, to):
    def stop(sample_or_samples, *args, real, calls=[]):  # noqa: B006
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(sample_or_samples, *args)

    def files(folder, pattern):
        return {one.name: one.read_bytes() for one in folder.glob(pattern)}

    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    if to == "tar":
        source, name = seven, "t.tar"
        import gpuio.tools.tarsets as home

        function = "write_tar"
    else:
        assert run(capsys, "convert", seven, tmp_path / "s.tar")[0] == 0
        source, name, home, function = tmp_path / "s-000000.tar", "t.rec", convert, "_framed"
    words = ("--shard-records", 2)
    assert run(capsys, "convert", source, tmp_path / "one" / name, *words)[0] == 0
    real = getattr(home, function)
    with monkeypatch.context() as context:
        context.setattr(home, function, lambda *given: stop(*given, real=real))
        code, _, err = run(capsys, "convert", source, tmp_path / "two" / name, *words)
    assert (code, "with --resume goes on" in err) == (130, True)
    calls = []
    with monkeypatch.context() as context:
        context.setattr(home, function, lambda *given: calls.append(1) or real(*given))
        target = tmp_path / "two" / name
        assert run(capsys, "convert", source, target, *words, "--resume")[0] == 0
    assert len(calls) == {"tar": 2, "rec": 5}[to]  # of 4 and 7
    assert files(tmp_path / "one", "*") == files(tmp_path / "two", "*")


def test_labels_that_turn_out_to_be_no_classes_are_an_error_that_says_what_to_do(
    tmp_path, monkeypatch, capsys
):
    rec, _ = write_rec(tmp_path, BLOBS[:2], [1.0, 0.5])
    monkeypatch.setattr(convert, "_LOOKED_AT", 1)
    code, _, err = run(capsys, "convert", rec, tmp_path / "p.parquet")
    assert (code, "00000001: its labels [0.5]" in err, "--label-lists" in err) == (1, True, True)
    assert not list(tmp_path.glob("p-*"))
    code, _, err = run(capsys, "convert", rec, tmp_path / "p.parquet", "--label-lists", "--resume")
    assert code == 0, err
    assert back_again(capsys, tmp_path / "again.rec", tmp_path / "p-000000.parquet") == contents(
        rec
    )


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_shard_is_written_sample_by_sample(tmp_path, capsys, monkeypatch, kind):
    import tracemalloc

    import gpuio.tools.parquetsets as home

    monkeypatch.setattr(home, "_GROUP", 10)
    rec, _ = write_rec(tmp_path, [flat(1).ljust(20_000, b"x")] * 600)  # 12 MB
    assert run(capsys, "convert", rec, tmp_path / f"a.{kind}")[0] == 0  # imports what it needs
    tracemalloc.start()
    try:
        assert run(capsys, "convert", rec, tmp_path / f"t.{kind}")[0] == 0
        assert tracemalloc.get_traced_memory()[1] < 3 << 20
    finally:
        tracemalloc.stop()
