"""Sets of more files than a process may open, and sets that a manifest describes."""

import contextlib
import json
import logging
import os
import pickle
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio import recordio
from gpuio.errors import FormatError, OptionError, RecordError, StateError, StorageError
from gpuio.recordio import parts as parts_module
from gpuio.recordio.checksum import write_checksums
from gpuio.recordio.framing import encode
from support import boxes
from support.parts import change, manifest_of, write_parts
from support.tables import PIXEL

PARTS, EACH = 300, 4


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Record files of a few records each, with their indexes; ids count through them."""
    folder = tmp_path_factory.mktemp("parts")
    manifest_of(write_parts(folder, [EACH] * PARTS))
    return folder


@pytest.fixture
def few_descriptors():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = 2 * len(os.listdir("/proc/self/fd")) + 80  # other tests of this process may hold some
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    yield soft
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def small(tmp_path):
    """A few parts of different lengths and their manifest."""
    return manifest_of(write_parts(tmp_path, [7, 1, 12, 5]))


def held(folder):
    """Which files of a folder this process holds open."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the look-ahead closes some meanwhile
            found.append(Path(os.readlink(f"/proc/self/fd/{fd}")))
    return sorted(path.name for path in found if path.parent == folder)


def open_it(rec, idx="", kind=mx.io.ImageRecordIter, **options):
    given = {
        "path_imgrec": rec if isinstance(rec, list) else str(rec),
        "path_imgidx": idx,
        "data_shape": (3, 1, 1),
        "batch_size": 4,
        "preprocess_threads": 1,
        "verbose": False,
        "ctx": "cpu",
    }
    return kind(**{**given, **options})


def files_of(folder):
    recs = sorted(map(str, folder.glob("*.rec")))
    return recs, [rec[:-3] + "idx" for rec in recs]


def ids(it):
    """Return the ids of an epoch, and how many files were open at once."""
    made, most = [], 0
    for batch in it:
        made += batch.index[: len(batch.index) - batch.pad].tolist()
        most = max(most, len(held(Path(it._opened.table.paths[0]).parent)))
    return made, most


@pytest.mark.parametrize("by_manifest", [False, True])
def test_more_files_are_read_than_may_be_open(parts, few_descriptors, by_manifest):
    named = (parts / "manifest.json",) if by_manifest else files_of(parts)
    allowed = few_descriptors // 2 + 4  # those beside: being read from
    with open_it(*named, batch_size=64) as it:
        made, most = ids(it)
        assert made == list(range(PARTS * EACH))
        it.reset()  # looks whether the files changed
        assert 4 < max(most, len(held(parts))) <= allowed < PARTS
    with open_it(*named, batch_size=64, shuffle=True, num_parts=2, part_index=1) as it:
        made, most = ids(it)
        assert made != sorted(made)
        np.testing.assert_array_equal(np.sort(made), np.arange(PARTS * EACH // 2, PARTS * EACH))
        assert most <= allowed
    assert held(parts) == []


def test_a_rank_opens_its_own_parts_only(parts):
    with open_it(parts / "manifest.json", num_parts=100, part_index=40) as it:
        assert held(parts) == []  # at construction
        assert ids(it)[0] == list(range(40 * 12, 41 * 12))
        assert held(parts) == [f"{number:05d}.rec" for number in (120, 121, 122)]


OPTIONS = [
    {},
    {"shuffle": True, "seed": 3},
    {"num_parts": 3, "part_index": 1},
    {"shuffle": "full", "num_parts": 2},
    {"shuffle": "block", "shuffle_block_size": 300 / 2**20, "shuffle_pool_size": 900 / 2**20},
    {"num_parts": 4, "part_index": 3, "shuffle": True, "last_batch": "pad"},
    {"last_batch": "discard", "shuffle": True},
    {"last_batch": "partial", "label_width": "auto"},
    {"label_width": "ragged", "num_parts": 2},
    {"seed_aug": 4, "rand_mirror": True, "checksum": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_batches_are_those_of_the_files(small, options):
    for rec in small.parent.glob("*.rec"):
        write_checksums(rec)
    with (
        open_it(small, batch_size=4, **options) as one,
        open_it(*files_of(small.parent), batch_size=4, **options) as other,
    ):
        assert len(one) == len(other)
        for _ in range(3):
            for ours, theirs in zip(one, other, strict=True):
                np.testing.assert_array_equal(ours.index, theirs.index)
                np.testing.assert_array_equal(ours.label[0], theirs.label[0])
                np.testing.assert_array_equal(ours.data[0], theirs.data[0])
                assert ours.pad == theirs.pad
            one.reset()
            other.reset()


def test_detection_and_bare_images_come_by_a_manifest(tmp_path):
    labels = {number: boxes.label([[number % 3, 0.1, 0.1, 0.5, 0.5]]) for number in range(9)}
    for name in ("boxes", "bare"):
        (tmp_path / name).mkdir()
    small = manifest_of(write_parts(tmp_path / "boxes", [4, 5], labels=labels.__getitem__))
    kind = mx.io.ImageDetRecordIter
    with (
        open_it(small, kind=kind, batch_size=3) as one,
        open_it(*files_of(small.parent), kind=kind, batch_size=3) as other,
    ):
        for ours, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(ours.label[0], theirs.label[0])
    recs = [tmp_path / "bare" / f"{number}.rec" for number in range(2)]
    framed = encode(PIXEL)
    for number, rec in enumerate(recs):
        rec.write_bytes(framed * 2)
        lines = [f"{10 * number + place}\t{place * len(framed)}\n" for place in range(2)]
        rec.with_suffix(".idx").write_text("".join(lines))
    with open_it(manifest_of(recs), batch_size=4) as it:
        assert it.next().index.tolist() == [0, 1, 10, 11]


def test_a_state_belongs_to_the_set_wherever_it_lies(small, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(small.parent, other, ignore=lambda *_: ["other"])
    with open_it(small, batch_size=3) as one, open_it(other / small.name, batch_size=3) as two:
        one.next()
        state = json.loads(json.dumps(one.state_dict()))
        two.load_state_dict(state)
        assert two.next().index.tolist() == one.next().index.tolist()
        with pickle.loads(pickle.dumps(one)) as copy:
            assert copy.next().index.tolist() == one.next().index.tolist()
        (other / "00001.rec").unlink()
        less = manifest_of(sorted(other.glob("*.rec")))
        with open_it(less, batch_size=3) as it, pytest.raises(StateError, match="digest"):
            it.load_state_dict(state)


def test_a_part_that_is_not_what_the_manifest_says_is_an_error_when_it_is_due(small):
    (small.parent / "00002.rec").unlink()
    (small.parent / "00003.rec").write_bytes(b"12345678")
    with open_it(small, batch_size=4) as it:
        assert it.next().index.tolist() == [0, 1, 2, 3]
        it.next()
        with pytest.raises(StorageError, match=r"cannot open.*00002\.rec"):
            it.next()
    said = r"8 bytes, .*manifest\.json says .*00003\.rec"
    last = open_it(small, num_parts=5, part_index=4)
    with last, pytest.raises(StorageError, match=said):
        last.next()


def test_a_damaged_record_is_named_as_ever(small):
    rec = small.parent / "00002.rec"
    size = rec.stat().st_size
    content = bytearray(rec.read_bytes())
    content[size // 12 * 3] ^= 255
    rec.write_bytes(content)
    with open_it(small, batch_size=25) as it, pytest.raises(FormatError, match="magic") as raised:
        it.next()
    assert (raised.value.path, raised.value.key) == (str(rec), 11)
    assert raised.value.offset == size // 12 * 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"idx": "a.idx"}, "path_imgidx: has no use with a manifest"),
        ({"reindex": True}, "reindex: has no use"),
        ({"resync": True}, "resync: has no use"),
        ({"checksum": "a.crc32"}, "checksum: with a manifest only True"),
        ({"record_layout": "insightface"}, "record_layout='insightface'"),
        ({"num_parts": 99, "part_index": 98}, "part 98 of 99 holds no record"),
        ({"error_log": "manifest.json"}, "error_log"),
    ],
)
def test_options_that_a_manifest_cannot_have_are_refused(small, monkeypatch, options, said):
    monkeypatch.chdir(small.parent)
    before = small.read_bytes()
    with pytest.raises((OptionError, FormatError), match=said):
        open_it(small, **options)
    assert small.read_bytes() == before
    with pytest.raises(OptionError, match="stands alone"):
        open_it([str(small), str(small.parent / "00000.rec")])


def test_more_records_than_memory_is_for_have_an_order_without_an_array(
    small, tmp_path, monkeypatch
):
    monkeypatch.setattr(parts_module, "MOST_AT_ONCE", 10)
    monkeypatch.setattr("gpuio.pipeline.opening.MOST_AT_ONCE", 10)
    with open_it(small, batch_size=25) as it:
        assert it.next().index.tolist() == list(range(25))
    with pytest.raises(OptionError, match=r"shuffle=True: visits 25 records .* at most 10"):
        open_it(small, shuffle=True)
    with open_it(small, shuffle="block", batch_size=25) as it:
        assert sorted(it.next().index.tolist()) == list(range(25))
    with open_it(small, shuffle=True, num_parts=3, batch_size=9) as it:
        assert sorted(it.next().index.tolist()) == list(range(9))
    with pytest.raises(OptionError, match="label_width='ragged': looks at every record"):
        open_it(small, label_width="ragged")
    with pytest.raises(OptionError, match="ImageDetRecordIter: looks at every record"):
        open_it(small, kind=mx.io.ImageDetRecordIter)
    (tmp_path / "property").write_text("3,1,1")
    with open_it(small) as it:
        assert it.num_classes == 3  # as stated: the labels are not looked at
    lst = tmp_path / "a.lst"
    lst.write_text("".join(f"{number}\t{2 * number}\tx\n" for number in range(24)))
    with open_it(small, path_imglist=str(lst), batch_size=24) as it:
        assert it.next().label[0].tolist() == [2.0 * number for number in range(24)]
        with pytest.raises(RecordError, match="24"):
            it.next()
    monkeypatch.setattr(parts_module, "MOST_AT_ONCE", 25)
    with pytest.raises(RecordError, match="no label for id 24"):
        open_it(small, path_imglist=str(lst))
    with open_it(small) as it:
        assert it.num_classes == 25


def test_it_is_said_what_was_opened(small, caplog):
    caplog.set_level(logging.INFO, "gpuio")
    with open_it(small, verbose=True):
        pass
    assert any(f"25 records in {small}, part 0 of 1" in message for message in caplog.messages)
    change(small, records=24)
    with pytest.raises(FormatError, match="damaged"):
        open_it(small)


def test_a_manifest_is_no_record_file(small):
    with pytest.raises(FormatError, match=r"a manifest of the parts of a set.* takes it as"):
        recordio.MXRecordIO(str(small), "r").read()


@pytest.mark.parametrize(
    "opened",
    [
        mx.gluon.data.RecordFileDataset,
        mx.gluon.data.vision.ImageRecordDataset,
        lambda path: recordio.MXIndexedRecordIO(path[:-5] + ".idx", path, "r"),
        lambda path: mx.image.ImageIter(2, (3, 1, 1), path_imgrec=path).next(),
        lambda path: mx.image.ImageIter(2, (3, 1, 1), path_imgrec=path, path_imgidx=path + "x"),
        lambda path: mx.image.ImageDetIter(2, (3, 1, 1), path_imgrec=path),
    ],
)
def test_those_that_take_one_record_file_say_what_takes_a_manifest(small, opened):
    with pytest.raises(FormatError, match=r"a manifest .*ImageRecordIter takes it as") as raised:
        opened(str(small))
    assert raised.value.path == str(small)
