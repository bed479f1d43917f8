"""shuffle, split, merge and filter copy records as they are, all or nothing, and go on."""

import json
import os
import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from gpuio.recordio import MXIndexedRecordIO, unpack
from gpuio.recordio.index import read_index
from gpuio.tools import cli, rewriting
from support.faceset import write_faces
from support.making import flat, jpeg, offsets, photo, png, write_rec


def run(capsys, *arguments):
    code = cli.main([str(one) for one in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def contents(rec):
    """Return {key: (label, image)} in the order of the file."""
    idx = Path(rec).with_suffix(".idx")
    keys, offsets = read_index(str(idx), int)
    reader = MXIndexedRecordIO(str(idx), str(rec), "r")
    found = {}
    for _, key in sorted(zip(offsets, keys, strict=True)):
        header, image = unpack(reader.read_idx(key))
        found[key] = (header.label, image)
    reader.close()
    return found


def sound(capsys, *files):
    for file in files:
        assert run(capsys, "verify", file, "--decode", "--quiet")[0] == 0
        assert not list(Path(file).parent.glob("*.part"))


LABELS = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]


@pytest.fixture
def twelve(tmp_path):
    blobs = [jpeg(photo(20 + 4 * i, 30, i)) if i % 3 else flat(i) for i in range(12)]
    rec, idx = write_rec(tmp_path, blobs, [float(one) for one in LABELS])
    lines = [f"{100 + 3 * i}\t{at}\n" for i, at in enumerate(offsets(idx))]
    Path(idx).write_text("".join(lines))
    (tmp_path / "data.classes.json").write_text(json.dumps({"cat": 0, "dog": 1, "owl": 2}))
    return rec


def test_a_shuffle_holds_every_record_in_an_order_of_the_seed(twelve, tmp_path, capsys):
    before = contents(twelve)
    orders = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        target = tmp_path / f"{name}.rec"
        assert run(capsys, "shuffle", twelve, target, "--seed", seed)[0] == 0
        after = contents(target)
        assert after == before
        orders.append(list(after))
        sound(capsys, target)
        assert json.loads((tmp_path / f"{name}.classes.json").read_text())["owl"] == 2
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != list(before)
    assert orders[0] == [100 + 3 * i for i in np.random.RandomState(1).permutation(12)]
    code, out, _ = run(capsys, "shuffle", twelve, tmp_path / "d.rec", "--renumber", "--json")
    assert (code, json.loads(out)["files"][0]["records"]) == (0, 12)
    renumbered = contents(tmp_path / "d.rec")
    assert list(renumbered) == list(range(12))
    assert sorted(map(repr, renumbered.values())) == sorted(map(repr, before.values()))


def test_a_split_puts_every_image_into_one_file(twelve, tmp_path, capsys):
    shares = ("--shares", 0.75, 0.25, "--names", "train", "val")
    code, out, _ = run(capsys, "split", twelve, tmp_path / "s", *shares, "--by-label", "--json")
    assert code == 0
    assert [one["records"] for one in json.loads(out)["files"]] == [9, 3]
    train, val = contents(tmp_path / "s_train.rec"), contents(tmp_path / "s_val.rec")
    assert [label for label, _ in val.values()] == [0, 1, 2]
    assert train | val == contents(twelve)
    assert not set(train) & set(val)
    sound(capsys, tmp_path / "s_train.rec", tmp_path / "s_val.rec")
    assert run(capsys, "split", twelve, tmp_path / "p", "--parts", 5, "--consecutive")[0] == 0
    parts = [contents(tmp_path / f"p_{number}.rec") for number in range(5)]
    assert [key for part in parts for key in part] == list(contents(twelve))
    assert {len(part) for part in parts} == {2, 3}
    for words in (
        ["--shares", 0.9, 0.2], ["--parts", 13], ["--parts", 2, "--names", "a"],
        ["--shares", 1.5, -0.5], ["--parts", 2, "--names", "a", "a"],
    ):  # fmt: skip
        code, _, err = run(capsys, "split", twelve, tmp_path / "bad", *words)
        assert (code, err.startswith("gpuio split: ")) == (2, True)
    assert not list(tmp_path.glob("bad*"))


def test_merged_parts_are_the_whole_again(twelve, tmp_path, capsys):
    assert run(capsys, "split", twelve, tmp_path / "p", "--parts", 3, "--consecutive")[0] == 0
    parts = [tmp_path / f"p_{number}.rec" for number in range(3)]
    assert run(capsys, "merge", *parts, "--out", tmp_path / "m.rec", "--keep-keys")[0] == 0
    assert (tmp_path / "m.rec").read_bytes() == Path(twelve).read_bytes()
    assert contents(tmp_path / "m.rec") == contents(twelve)
    assert (tmp_path / "m.classes.json").exists()
    assert run(capsys, "merge", *parts[:2], "--out", tmp_path / "n.rec")[0] == 0
    assert list(contents(tmp_path / "n.rec")) == list(range(8))
    sound(capsys, tmp_path / "m.rec", tmp_path / "n.rec")
    code, _, err = run(
        capsys, "merge", parts[0], twelve, "--out", tmp_path / "k.rec", "--keep-keys"
    )
    assert (code, "4 keys stand in several files, such as 100" in err) == (2, True)
    (tmp_path / "p_0.classes.json").write_text('{"cow": 0}')
    code, _, err = run(capsys, "merge", *parts, "--out", tmp_path / "k.rec")
    assert (code, "--different-classes" in err) == (2, True)
    assert not (tmp_path / "k.rec").exists()
    both = ("--out", tmp_path / "k.rec", "--different-classes")
    assert run(capsys, "merge", *parts, *both)[0] == 0
    assert not (tmp_path / "k.classes.json").exists()


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["--labels", "1"], range(4, 8)),
        (["--labels", "cat", "2"], [*range(4), *range(8, 12)]),
        (["--labels", "1-2"], range(4, 12)),
        (["--no-labels", "owl"], range(8)),
        (["--formats", "jpg"], [i for i in range(12) if i % 3]),
        (["--min-edge", "30"], [i for i in range(12) if i % 3 and i >= 3]),
        (["--max-edge", "30"], [i for i in range(12) if not i % 3 or i <= 2]),
        (["--min-bytes", "200"], [i for i in range(12) if i % 3]),
        (["--max-bytes", "199", "--labels", "dog"], [6]),
    ],
)
def test_a_filter_keeps_what_meets_every_condition(twelve, tmp_path, capsys, words, kept):
    target = tmp_path / "f.rec"
    code, out, err = run(capsys, "filter", twelve, target, *words, "--json")
    assert code == 0, err
    assert json.loads(out)["records"] == len(kept)
    whole = list(contents(twelve).items())
    assert list(contents(target).items()) == [whole[i] for i in kept]
    sound(capsys, target)


def test_a_filter_takes_verifys_report(tmp_path, capsys):
    rec, _ = write_rec(tmp_path, [flat(1), b"no image", png(photo(9, 9)), b""])
    code, out, _ = run(capsys, "verify", rec, "--headers", "--json")
    assert code == 1
    (tmp_path / "report.json").write_text(out)
    report = ("--report", tmp_path / "report.json")
    code, _, err = run(capsys, "filter", rec, tmp_path / "clean.rec", *report)
    assert (code, "2 of 4 images" in err, "left out by --report: 2" in err) == (0, True, True)
    assert list(contents(tmp_path / "clean.rec")) == [0, 2]
    sound(capsys, tmp_path / "clean.rec")
    for text, says in (("{}", "expected what"), ('{"files": []}', "does not speak of")):
        (tmp_path / "report.json").write_text(text)
        code, _, err = run(capsys, "filter", rec, tmp_path / "x.rec", *report)
        assert (code, says in err) == (1, True)


def test_what_cannot_be_filtered_is_an_error_and_writes_nothing(twelve, tmp_path, capsys):
    for words, code, says in (
        ([], 2, "no condition is given"),
        (["--labels", "cta"], 2, "--labels cta: expected a number, a range such as 10-19"),
        (["--formats", "jpegg"], 2, "--formats jpegg: expected some of jpeg, png"),
        (["--formats", "unknown"], 2, "--formats unknown: expected some of"),
        (["--min-edge", "50", "--max-edge", "40"], 2, "--max-edge 40: no image is both"),
        (["--min-bytes", "9", "--max-bytes", "8"], 2, "--max-bytes 8: no image is both"),
        (["--labels", "7"], 3, "no record is left: nothing is written"),
    ):
        found = run(capsys, "filter", twelve, tmp_path / "f.rec", *words)
        assert (found[0], says in found[2]) == (code, True)
    assert not list(tmp_path.glob("f.*"))


def test_a_split_that_cannot_be_is_refused(twelve, tmp_path, capsys):
    for words, says in (
        (["--parts", "13"], "would get none of the 12 images"),
        (["--parts", "2", "--names", "a/b", "c"], "--names a/b: a name has no slash"),
    ):
        code, _, err = run(capsys, "split", twelve, tmp_path / "p", *words)
        assert (code, says in err) == (2, True)
    assert not list(tmp_path.glob("p*"))


def test_nothing_that_is_there_is_overwritten(twelve, tmp_path, capsys):
    for name in ("t.rec", "t.idx", "t.classes.json"):
        (tmp_path / name).write_text("somebody's")
        code, _, err = run(capsys, "shuffle", twelve, tmp_path / "t.rec")
        assert (code, f"{name} exists" in err) == (2, True)
        assert (tmp_path / name).read_text() == "somebody's"
        (tmp_path / name).unlink()
    (tmp_path / "t.rec").write_bytes(b"old")
    assert run(capsys, "shuffle", twelve, tmp_path / "t.rec", "--force")[0] == 0
    assert len(contents(tmp_path / "t.rec")) == 12
    before = Path(twelve).read_bytes()
    code, _, err = run(capsys, "shuffle", twelve, twelve, "--force")
    assert (code, "this is a file that is read" in err) == (3, True)
    assert Path(twelve).read_bytes() == before
    code, _, err = run(capsys, "shuffle", twelve, tmp_path / "t.txt")
    assert (code, "ends in .rec" in err) == (2, True)


def test_of_insightfaces_sets_the_images_are_kept_with_their_keys(tmp_path, capsys):
    rec, _ = write_faces(tmp_path)
    code, out, _ = run(capsys, "shuffle", rec, tmp_path / "plain.rec", "--json")
    assert (code, json.loads(out)["left_out"]) == (0, 4)
    found = contents(tmp_path / "plain.rec")
    assert sorted(found) == list(range(1, 13))
    sound(capsys, tmp_path / "plain.rec")


def stopped_after(monkeypatch, batches):
    """Make the next rewriting stop, as by Ctrl-C, after some batches; return what it wrote."""
    seen = []

    class Stopping:
        def __init__(self, *args):
            pass

        def __enter__(self):
            return self.advance

        def __exit__(self, *args):
            pass

        def advance(self, done, total):
            if len(seen) == batches:
                raise KeyboardInterrupt
            seen.append(done)

    monkeypatch.setattr(rewriting, "progress", Stopping)
    return seen


@pytest.mark.parametrize("harm", ["", "cut", "other", "arguments"])
def test_a_stopped_run_goes_on_to_the_same_bytes(twelve, tmp_path, monkeypatch, capsys, harm):
    monkeypatch.setattr(rewriting, "_AT_ONCE", 1000)
    whole, target = tmp_path / "whole.rec", tmp_path / "t.rec"
    assert run(capsys, "shuffle", twelve, whole, "--seed", 5)[0] == 0
    with monkeypatch.context() as context:
        stopped_after(context, 3)
        code, _, err = run(capsys, "shuffle", twelve, target, "--seed", 5)
        assert (code, err.count("\n"), "with --resume goes on" in err) == (130, 1, True)
    part = tmp_path / "t.rec.part"
    assert not target.exists()
    size = part.stat().st_size
    if harm == "cut":
        os.truncate(part, size - 5)
    elif harm == "other":
        part.write_bytes(bytes(size))
    seed = 6 if harm == "arguments" else 5
    with monkeypatch.context() as context:
        seen = stopped_after(context, 99)
        assert run(capsys, "shuffle", twelve, target, "--seed", seed, "--resume")[0] == 0
    if harm == "arguments":
        assert run(capsys, "shuffle", twelve, whole, "--seed", 6, "--force")[0] == 0
    assert target.read_bytes() == whole.read_bytes()
    assert contents(target) == contents(whole)
    again = {"": range(5, 13), "cut": range(4, 13)}.get(harm, range(1, 5))
    assert seen[0] in again  # what is there is compared, and not written again
    sound(capsys, target)


def test_a_run_stopped_before_its_index_writes_it(twelve, tmp_path, monkeypatch, capsys):
    def stop(*args):
        raise KeyboardInterrupt

    target = tmp_path / "t.rec"
    with monkeypatch.context() as context:
        context.setattr(rewriting, "write_index", stop)
        assert run(capsys, "shuffle", twelve, target)[0] == 130
    assert target.exists()
    assert not (tmp_path / "t.idx").exists()
    with monkeypatch.context() as context:
        seen = stopped_after(context, 0)  # nothing is to be written again
        assert run(capsys, "shuffle", twelve, target, "--resume")[0] == 0
    assert seen == []
    assert contents(target) == contents(twelve)


@pytest.mark.parametrize("words", [["shuffle"], ["merge", "--out"]])
def test_a_target_that_takes_only_a_part_is_not_published(twelve, tmp_path, capsys, words):
    target = tmp_path / "new.rec"
    command = [words[0], twelve, *words[1:], target]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # the first write that crosses the limit is short, as on a disk that gets full; the next fails
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(twelve) * 2 // 3, limits[1]))
    try:
        code, _, said = run(capsys, *command)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 3
    assert "cannot write" in said
    assert not target.exists()
    assert run(capsys, *command, "--resume")[0] == 0
    sound(capsys, target)
    assert len(contents(target)) == 12


def test_a_damaged_source_is_named_and_leaves_no_target(twelve, tmp_path, capsys):
    idx = Path(twelve).with_suffix(".idx")
    _, offsets = read_index(str(idx), int)
    with open(twelve, "r+b") as file:
        file.seek(offsets[7])
        file.write(b"\0\0\0\0")
    code, _, err = run(capsys, "shuffle", twelve, tmp_path / "t.rec")
    assert (code, f"offset={offsets[7]}" in err, "gpuio repair" in err) == (1, True, True)
    assert not (tmp_path / "t.rec").exists()


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch, capsys):
    import tracemalloc

    rec, _ = write_rec(tmp_path, [flat(1).ljust(20_000, b"x")] * 600)  # 12 MB
    peaks = []
    for at_once in (1 << 18, 1 << 30):
        monkeypatch.setattr(rewriting, "_AT_ONCE", at_once)
        tracemalloc.start()
        try:
            assert run(capsys, "shuffle", rec, tmp_path / "s.rec", "--force")[0] == 0
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[0] < 3 << 20
    assert peaks[1] > 12 << 20  # what is measured is measured


def test_bytes_of_records_lie_in_memory_hardly_twice(tmp_path, capsys, monkeypatch):
    blobs = [jpeg(photo(8, 8, k)) + bytes(20_000) for k in range(200)]
    rec, *_ = write_rec(tmp_path, blobs)
    run(capsys, "shuffle", rec, tmp_path / "first.rec", "--quiet")  # what is loaded is loaded
    monkeypatch.setattr(rewriting, "_AT_ONCE", 1 << 20)
    monkeypatch.setattr(rewriting, "_WRITTEN", 1 << 16)
    tracemalloc.start()
    try:
        assert run(capsys, "shuffle", rec, tmp_path / "mixed.rec", "--quiet")[0] == 0
        assert tracemalloc.get_traced_memory()[1] < 2.7 * (1 << 20)
    finally:
        tracemalloc.stop()
    sound(capsys, tmp_path / "mixed.rec")


def test_reading_labels_says_how_far_it_is(tmp_path, capsys):
    rec, *_ = write_rec(tmp_path, [jpeg(photo(8, 8, k)) for k in range(4)], [0, 1, 0, 1])
    plain = ("--progress", "plain")
    for command in (
        ("filter", rec, tmp_path / "few.rec", "--labels", "1", *plain),
        ("split", rec, tmp_path / "half", "--parts", "2", "--by-label", *plain),
    ):
        code, _, err = run(capsys, *command)
        assert code == 0
        assert f"reading labels of {rec}: 4 of 4" in err
