"""Parts of a list: the same records as one file, whoever packs them, however often."""

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import StorageError
from gpuio.pipeline import pack_parts
from gpuio.pipeline.framed_image import PackOptions
from gpuio.pipeline.pack_parts import manifest_path, pack_in_parts, pack_part
from gpuio.pipeline.packing import pack_list
from gpuio.recordio.lists import ListItem, write_list
from gpuio.recordio.manifest import read_manifest
from gpuio.tools.cli import main
from support import making
from support.remote import served, url

OPTIONS = PackOptions(pass_through=True)
COUNT = 11


@pytest.fixture
def listed(tmp_path):
    """A list of eleven images, of which two cannot be packed, out of the order of their ids."""
    (tmp_path / "images").mkdir()
    items = []
    for number in range(COUNT):
        blob = b"" if number in (4, 9) else making.flat(number)
        (tmp_path / "images" / f"{number}.png").write_bytes(blob)
        items.append(ListItem(100 - number, f"{number}.png", (float(number),)))
    write_list(tmp_path / "set.lst", items)
    return tmp_path / "set.lst"


def pack(listed, parts, **how):
    return pack_in_parts(listed, str(listed.parent / "images"), OPTIONS, parts, **how)


def files(listed):
    """Return the bytes of every file beside a list, by name."""
    beside = (one for one in listed.parent.iterdir() if one.is_file() and one != listed)
    return {one.name: one.read_bytes() for one in beside}


@pytest.mark.parametrize("parts", [1, 3, 4, 20])
def test_the_parts_hold_the_records_of_one_file(listed, parts):
    made = pack(listed, parts)
    assert made.records == COUNT - 2
    assert [problem.split(":")[0] for problem in made.problems] == ["4.png", "9.png"]
    manifest = read_manifest(manifest_path(listed))
    assert len(manifest) == min(parts, COUNT - 2)
    joined = b"".join(Path(path).read_bytes() for path in manifest.paths)
    single = pack_list(listed, str(listed.parent / "images"), OPTIONS)
    assert (single.records, single.problems) == (made.records, made.problems)
    assert joined == listed.with_suffix(".rec").read_bytes()
    assert not list(listed.parent.glob("*.done"))
    options = {"data_shape": (3, 8, 8), "batch_size": 9, "ctx": "cpu", "verbose": False}
    with mx.io.ImageRecordIter(path_imgrec=manifest_path(listed), **options) as it:
        labels = it.next().label[0]
    np.testing.assert_array_equal(labels, [0, 1, 2, 3, 5, 6, 7, 8, 10])


def test_the_files_are_the_same_in_any_order_by_any_number_of_threads(listed):
    pack(listed, 4)
    expected = files(listed)
    assert sorted(expected) == [
        *(f"set-0000{n}-of-00004.{end}" for n in range(4) for end in ("idx", "rec")),
        "set.manifest.json",
    ]

    def backwards(function, jobs):
        jobs = list(jobs)
        random.Random(0).shuffle(jobs)
        for job in jobs:
            yield function(job)
            function(job)  # tried again, though it was done

    pack(listed, 4, threads=3, run=backwards)
    assert files(listed) == expected


def test_a_run_that_was_killed_goes_on(listed, monkeypatch):
    pack(listed, 4)
    expected = files(listed)
    packed = []

    def noted(job):
        packed.append(job.name)
        if len(packed) == 3:
            Path(job.folder, f".{job.name}.rec.x1").write_bytes(b"half")
            raise KeyboardInterrupt
        return pack_part(job)

    monkeypatch.setattr(pack_parts, "pack_part", noted)
    with pytest.raises(KeyboardInterrupt):
        pack(listed, 4)
    assert not Path(manifest_path(listed)).exists()  # the parts are not all of one run
    read = []
    frame = pack_parts.frame_image
    monkeypatch.setattr(
        pack_parts, "frame_image", lambda item, *rest: read.append(item.path) or frame(item, *rest)
    )
    made = pack(listed, 4, resume=True)
    assert sorted(read) == sorted(f"{number}.png" for number in range(5, 11))
    assert [problem.split(":")[0] for problem in made.problems] == ["4.png", "9.png"]
    assert files(listed) == expected


@pytest.mark.parametrize("what", ["options", "part", "index", "note"])
def test_what_an_earlier_run_left_is_taken_only_if_it_is_the_same(listed, monkeypatch, what):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pack_parts, "write_manifest", stop)
        with pytest.raises(KeyboardInterrupt):
            pack(listed, 2)
    name = listed.with_name("set-00000-of-00002")
    if what == "options":
        other = PackOptions(quality=50)
        made = pack_in_parts(listed, str(listed.parent / "images"), other, 2, resume=True)
        assert name.with_suffix(".rec").read_bytes()[32:34] != b"\x89P"
        assert made.records == COUNT - 2
        return
    if what == "part":
        name.with_suffix(".rec").write_bytes(b"")
    elif what == "index":
        name.with_suffix(".idx").write_text("0\t0\n")
    else:
        name.with_suffix(".done").write_text("{")
    pack(listed, 2, resume=True)
    resumed = files(listed)
    pack(listed, 2)
    assert files(listed) == resumed


def test_parts_behind_a_url_are_those_of_a_disk(listed, monkeypatch):
    pytest.importorskip("obstore")
    pack(listed, 4)
    expected = files(listed)
    packed = []

    def killed(job):
        packed.append(job.name)
        if len(packed) == 3:
            raise KeyboardInterrupt
        return pack_part(job)

    with served([listed]) as server:
        server.objects["bkt/set.manifest.json"] = expected["set.manifest.json"]
        server.objects["bkt/set-00002-of-00004.idx"] = b"0\t0\n"
        with monkeypatch.context() as patch:
            patch.setattr(pack_parts, "pack_part", killed)
            with pytest.raises(KeyboardInterrupt):
                pack_in_parts(
                    url(server, listed, "http"), str(listed.parent / "images"), OPTIONS, 4
                )
        assert "bkt/set.manifest.json" not in server.objects  # the parts are not all of one run
        read = []
        frame = pack_parts.frame_image
        monkeypatch.setattr(
            pack_parts,
            "frame_image",
            lambda item, *rest: read.append(item.path) or frame(item, *rest),
        )
        made = pack_in_parts(
            url(server, listed, "http"), str(listed.parent / "images"), OPTIONS, 4, resume=True
        )
        assert sorted(read) == sorted(f"{number}.png" for number in range(5, 11))
        assert (made.records, len(made.problems)) == (COUNT - 2, 2)
        there = {name.removeprefix("bkt/"): data for name, data in server.objects.items()}
        assert there.pop("set.lst") == listed.read_bytes()
        assert there == expected
        puts = [path.rpartition("/")[2] for method, path, _ in server.requests if method == "PUT"]
        names = [f"set-0000{number}-of-00004" for number in range(4)]
        ends = ("rec", "idx", "done")
        assert puts == [*(f"{name}.{end}" for name in names for end in ends), "set.manifest.json"]
        asked = [(method, path) for method, path, _ in server.requests]
        gone = asked.index(("DELETE", "bkt/set-00002-of-00004.idx"))
        assert gone < asked.index(("PUT", "bkt/set-00002-of-00004.rec"))


def test_where_nothing_can_be_packed_there_is_no_manifest(listed):
    for image in (listed.parent / "images").iterdir():
        image.write_bytes(b"")
    made = pack(listed, 3)
    assert (made.records, len(made.problems)) == (0, COUNT)
    assert files(listed) == {}


def test_a_file_of_another_kind_is_not_replaced(listed):
    Path(manifest_path(listed)).write_text("[]")
    with pytest.raises(StorageError, match="another kind"):
        pack(listed, 2)
    assert files(listed) == {"set.manifest.json": b"[]"}


def test_the_command_packs_parts(listed, capsys):
    arguments = ["im2rec", str(listed.with_suffix("")), str(listed.parent / "images")]
    assert main([*arguments, "--pass-through", "--parts", "3", "--json"]) == 1  # two are left out
    (told,) = json.loads(capsys.readouterr().out)["files"]
    assert (told["path"], told["records"]) == (manifest_path(listed), COUNT - 2)
    before = files(listed)
    pack(listed, 3)
    assert files(listed) == before
    with pytest.raises(SystemExit):
        main([*arguments, "--parts", "0"])
    assert main([*arguments, "--engine", "ray"]) == 2
    assert "--engine ray packs parts: say into how many" in capsys.readouterr().err
    assert os.listdir(listed.parent / "images")
