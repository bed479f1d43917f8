"""Ray: datasets over record files, and commands whose work is done by tasks of a cluster."""

import json
import os
import re
import shlex
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.adapters.ray import read_rec, run_tasks, write_rec
from gpuio.errors import DecodeError, FormatError, OptionError, RecordError, StorageError
from gpuio.pipeline.framed_image import PackOptions
from gpuio.pipeline.pack_parts import pack_in_parts
from gpuio.recordio.lists import ListItem, write_list
from gpuio.recordio.manifest import read_manifest
from gpuio.tools.cli import main
from support import making
from support.parts import manifest_of, write_parts

pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="session")
def ray():
    """A cluster of this machine, for all tests."""
    ray = pytest.importorskip("ray")
    root = Path(__file__).resolve().parents[2]
    paths = [str(root), str(root / "tests"), str(root / "tests" / "adapters")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.syspath_prepend(str(root / "tests" / "adapters"))
        ray.init(
            num_cpus=2, include_dashboard=False, object_store_memory=300 << 20, log_to_driver=False
        )
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray
        ray.shutdown()


@pytest.fixture
def parts(tmp_path):
    return write_parts(
        tmp_path, [40, 1, 25], payload=lambda number: making.flat(number % 256), first_key=7
    )


def rows_of(dataset):
    return sorted(dataset.take_all(), key=lambda row: row["position"])


def by_iterator(recs, count=66):
    """Labels and pixels of the records in order, as an iterator has them."""
    idxs = [str(rec.with_suffix(".idx")) for rec in recs]
    options = {"data_shape": (3, 8, 8), "batch_size": count, "ctx": "cpu", "verbose": False}
    with mx.io.ImageRecordIter(
        path_imgrec=[str(rec) for rec in recs], path_imgidx=idxs, **options
    ) as it:
        batch = it.next()
        return batch.label[0].copy(), batch.data[0].copy()


@pytest.mark.parametrize("by_manifest", [False, True])
def test_records_are_read_by_ranges(ray, parts, by_manifest):
    if by_manifest:
        dataset = read_rec(manifest_of(parts), tasks=5)
    else:
        idxs = [str(rec.with_suffix(".idx")) for rec in parts]
        dataset = read_rec([str(rec) for rec in parts], idxs, tasks=5)
    assert dataset.count() == 66
    rows = rows_of(dataset)
    assert [row["position"] for row in rows] == list(range(66))
    assert [row["key"] for row in rows] == [row["id"] for row in rows] == list(range(7, 73))
    labels, _ = by_iterator(parts)
    assert [row["label"] for row in rows] == labels.tolist()
    assert [row["image"] for row in rows] == [making.flat(key % 256) for key in range(7, 73)]
    assert [Path(row["path"]).name for row in rows[38:42]] == [
        *["00000.rec"] * 2, "00001.rec", "00002.rec"
    ]  # fmt: skip
    assert [row["offset"] for row in rows if row["position"] in (0, 40, 41)] == [0, 0, 0]


def test_images_are_decoded(ray, parts):
    rows = rows_of(read_rec(manifest_of(parts), decode=True, tasks=2))
    _, pixels = by_iterator(parts)
    for row, expected in zip(rows, pixels, strict=True):
        assert row["image"].dtype == np.uint8
        np.testing.assert_array_equal(row["image"].transpose(2, 0, 1), expected)
    sizes = [making.flat(1, 4, 6), making.flat(2, 5, 3)]
    other = write_parts(parts[0].parent, [2], payload=sizes.__getitem__)
    rows = rows_of(read_rec(str(other[0]), decode=True))
    assert [row["image"].shape for row in rows] == [(4, 6, 3), (5, 3, 3)]


def test_channels_are_r_g_b(ray, tmp_path):
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 2] = 255  # OpenCV's order
    (rec,) = write_parts(tmp_path, [1], payload=lambda number: making.png(red))
    (row,) = rows_of(read_rec(str(rec), decode=True))
    assert row["image"][0, 0].tolist() == [255, 0, 0]


def test_labels_are_a_number_or_a_list(ray, tmp_path):
    labels = {0: [1.0, 2.0], 1: 3.0}
    (rec,) = write_parts(tmp_path, [2], labels=labels.__getitem__)
    assert [list(row["label"]) for row in rows_of(read_rec(str(rec)))] == [[1, 2], [3]]
    labels = {0: 3.0, 1: [1.0, 2.0]}
    write_parts(tmp_path, [2], labels=labels.__getitem__)
    rows = rows_of(read_rec(str(rec), labels="several"))
    assert [list(row["label"]) for row in rows] == [[3], [1, 2]]
    with pytest.raises(RecordError, match="has 2 labels"):
        read_rec(str(rec)).take_all()
    with pytest.raises(OptionError, match="expected 'auto'"):
        read_rec(str(rec), labels="x")


def test_what_is_wrong_with_a_record_is_named(ray, parts):
    manifest = manifest_of(parts)
    content = bytearray(parts[2].read_bytes())
    step = len(content) // 25
    content[3 * step] ^= 1
    parts[2].write_bytes(content)
    with pytest.raises(FormatError, match=r"magic.*00002\.rec, key=51, offset="):
        read_rec(str(manifest)).take_all()
    content[3 * step] ^= 1
    content[3 * step + 32] ^= 1
    parts[2].write_bytes(content)
    with pytest.raises(DecodeError, match=r"00002\.rec, key=51, offset="):
        read_rec(str(manifest), decode=True).take_all()
    parts[2].write_bytes(content[:-4])
    with pytest.raises(StorageError, match="changed"):
        read_rec(str(manifest)).take_all()
    parts[0].with_suffix(".idx").write_text("1\t0\n")
    with pytest.raises(FormatError, match="not the one that"):
        read_rec(str(manifest))
    with pytest.raises(OptionError, match="path_imgidx"):
        read_rec(str(manifest), "a.idx")


def test_a_dataset_is_written_and_read_back(ray, parts, tmp_path):
    out = tmp_path / "out"
    (out).mkdir()
    (out / ".part-000000.rec.x1").write_bytes(b"of a task that was killed")
    named = write_rec(read_rec(manifest_of(parts), tasks=4), out)
    manifest = read_manifest(named)
    assert manifest.first[-1] == 66
    joined = b"".join(Path(path).read_bytes() for path in manifest.paths)
    assert joined == b"".join(rec.read_bytes() for rec in parts)
    assert main(["verify", "--headers", *manifest.paths]) == 0
    names = sorted(one.name for one in out.iterdir())
    expected = [name for part in manifest.names for name in (part[:-3] + "idx", part)]
    assert names == [*expected, "part.manifest.json"]
    assert [row["key"] for row in rows_of(read_rec(named))] == list(range(7, 73))
    again = read_rec(named).drop_columns(["position", "key", "id"])
    named = write_rec(again.repartition(1), tmp_path / "more", name="x")
    assert sorted(row["key"] for row in rows_of(read_rec(named))) == list(range(66))
    with pytest.raises(OptionError, match="no column 'label'"):
        write_rec(again.drop_columns(["label"]), tmp_path / "none")


def slow_first(number):
    """Work of which the first piece ends last."""
    import time

    if number == 0:
        time.sleep(0.5)
    return number


def fails(number):
    raise FormatError("no", path=f"{number}.rec", key=3, offset=8)


def dies(folder):
    os.kill(os.getpid(), signal.SIGKILL)


def test_tasks_end_in_any_order_and_their_errors_are_ours(ray):
    made = list(run_tasks(slow_first, range(6)))
    assert made != sorted(made) == list(range(6))
    with pytest.raises(FormatError, match="no") as raised:
        list(run_tasks(fails, [1]))
    assert (raised.value.path, raised.value.key, raised.value.offset) == ("1.rec", 3, 8)
    with pytest.raises(StorageError, match="died 4 times"):
        list(run_tasks(dies, [1]))


@pytest.fixture
def listed(tmp_path):
    (tmp_path / "images").mkdir()
    items = []
    for number in range(23):
        blob = b"" if number == 4 else making.jpeg(making.photo(40, 30, number))
        (tmp_path / "images" / f"{number}.jpg").write_bytes(blob)
        items.append(ListItem(number, f"{number}.jpg", (float(number),)))
    for name in ("one", "two"):
        write_list(tmp_path / f"{name}.lst", items)
    return tmp_path


def files(folder, name):
    """The bytes of the files of one list, by the rest of their names."""
    found = [one for one in folder.iterdir() if one.name.lstrip(".").startswith(f"{name}")]
    return {
        one.name.replace(name, "LIST"): one.read_bytes().replace(name.encode(), b"LIST")
        for one in found
        if one.suffix != ".json"
    }


def manifests(folder, *names):
    found = [json.loads((folder / f"{name}.manifest.json").read_text()) for name in names]
    return [[part[1:] for part in one["parts"]] for one in found]


def test_im2rec_packs_the_same_files_as_tasks(ray, listed, capsys):
    how = ["--parts", "5", "--resize", "20"]
    for name, engine in (("one", "local"), ("two", "ray")):
        command = ["im2rec", f"{listed}/{name}", f"{listed}/images", "--engine", engine, *how]
        assert main(command) == 1  # one is left out
    assert files(listed, "one") == files(listed, "two")
    assert len(files(listed, "two")) == 11
    one, two = manifests(listed, "one", "two")
    assert one == two
    errors = capsys.readouterr().err
    assert errors.count("left out: 4.jpg") == 2


def killed_once(job):
    """Pack a part in a worker that is killed while it writes, the first time it is asked to."""
    from gpuio.pipeline import pack_parts

    mark = Path(job.folder, "killed")
    if job.name.startswith("two-00001") and not mark.exists():
        mark.touch()
        written = pack_parts.write_index

        def kill(*_):
            os.kill(os.getpid(), signal.SIGKILL)

        pack_parts.write_index = kill
        Path(job.folder, f".{job.name}.rec.half").write_bytes(b"what a killed writer leaves")
        try:
            return pack_parts.pack_part(job)
        finally:
            pack_parts.write_index = written
    return pack_parts.pack_part(job)


def test_a_task_that_is_killed_leaves_the_same_files(ray, listed):
    def run(function, jobs):
        return run_tasks(killed_once, jobs)

    options = PackOptions(resize=20)
    for name, how in (("one", {}), ("two", {"run": run})):
        pack_in_parts(listed / f"{name}.lst", str(listed / "images"), options, 5, **how)
    assert (listed / "killed").exists()
    assert files(listed, "one") == files(listed, "two")
    one, two = manifests(listed, "one", "two")
    assert one == two


def test_verify_looks_at_files_as_tasks(ray, parts, capsys):
    content = bytearray(parts[2].read_bytes())
    content[len(content) // 25 * 3 + 40] ^= 1
    parts[2].write_bytes(content)
    told = []
    for engine in ("local", "ray"):
        command = ["verify", "--decode", "--json", "--engine", engine, *map(str, parts)]
        told.append((main(command), json.loads(capsys.readouterr().out)))
    assert told[0] == told[1]
    assert told[0][0] == 1
    assert main(["verify", "--engine", "ray", str(parts[0]), str(parts[0]) + "x"]) == 3
    assert "00000.recx" in capsys.readouterr().err


def test_what_the_page_about_scale_says_of_ray_runs(ray, tmp_path, monkeypatch, capsys):
    page = (Path(__file__).resolve().parents[2] / "docs/scale.md").read_text()
    blocks = re.findall(
        r"^```(\w*)\n(.*?)^```", page.split("\n## Ray\n")[1], re.MULTILINE | re.DOTALL
    )
    assert [language for language, _ in blocks] == ["", "python"]
    for number in range(12):
        there = tmp_path / "photos" / f"class_{number % 3}"
        there.mkdir(parents=True, exist_ok=True)
        (there / f"{number}.jpg").write_bytes(making.jpeg(making.photo(40, 30, number)))
    monkeypatch.chdir(tmp_path)
    for line in blocks[0][1].splitlines():
        _, *arguments = shlex.split(line)
        assert main(arguments) == 0, line
    capsys.readouterr()
    exec(compile(blocks[1][1], "docs/scale.md", "exec"), {})
    made = read_manifest(capsys.readouterr().out.strip())
    assert made.path == str(tmp_path / "changed" / "part.manifest.json")
    before = by_iterator([Path(path) for path in read_manifest("train.manifest.json").paths], 12)
    after = by_iterator([Path(path) for path in made.paths], 12)
    np.testing.assert_array_equal(after[0], before[0] + 1)
    np.testing.assert_array_equal(after[1], before[1])


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    for call in (lambda: list(run_tasks(fails, [1])), lambda: write_rec(None, tmp_path)):
        with pytest.raises(ImportError, match=r"pip install 'gpuio\[ray\]'"):
            call()
