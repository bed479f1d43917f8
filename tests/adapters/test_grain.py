"""Records by number, as Grain asks for them."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from gpuio.adapters.grain import RecordSource
from gpuio.errors import ClosedError, DecodeError, FormatError, StorageError
from support import faceset, making
from support.parts import manifest_of, write_parts
from support.remote import served, url


@pytest.fixture
def paths(tmp_path):
    return making.write_rec(tmp_path, [making.flat(20 * i, 4, 6) for i in range(10)])


def test_a_record_is_numpy_values(paths):
    source = RecordSource(*paths)
    assert len(source) == 10
    sample = source[3]
    assert (sample["image"].shape, sample["image"].dtype) == ((4, 6, 3), np.uint8)
    assert type(sample["image"]) is np.ndarray
    assert (sample["image"] == 60).all()
    assert (sample["label"], sample["id"]) == (np.float32(3), np.uint64(3))
    assert RecordSource(*paths, decode=False)[3]["image"] == making.flat(60, 4, 6)


def test_channels_are_r_g_b(tmp_path):
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 2] = 255  # OpenCV's order
    source = RecordSource(*making.write_rec(tmp_path, [making.png(red)]))
    assert source[0]["image"][0, 0].tolist() == [255, 0, 0]


def test_several_labels_are_an_array(tmp_path):
    source = RecordSource(*making.write_rec(tmp_path, [making.flat(0)], labels=[[1.0, 2.0]]))
    label = source[0]["label"]
    assert (label.dtype, label.tolist()) == (np.float32, [1, 2])


@pytest.mark.parametrize("indexed", [True, False])
def test_several_files_are_one_set(indexed, tmp_path):
    recs = write_parts(tmp_path, [3, 1, 4], payload=making.flat)
    idxs = [rec.with_suffix(".idx") for rec in recs] if indexed else ""
    source = RecordSource(recs, idxs)
    assert [int(source[n]["image"][0, 0, 0]) for n in range(len(source))] == list(range(8))
    by_manifest = RecordSource(manifest_of(recs))
    assert [int(by_manifest[n]["image"][0, 0, 0]) for n in range(8)] == list(range(8))


def test_of_a_face_set_the_images_come(tmp_path):
    source = RecordSource(*faceset.write_faces(tmp_path, (2, 3), array=True))
    assert [source[n]["label"].tolist() for n in range(len(source))] == [[0, 7]] * 2 + [[1, 7]] * 3


def test_a_copy_holds_paths_and_opens_anew(paths, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = RecordSource("data.rec", "data.idx")
    assert source[0]["label"] == 0
    kept = pickle.dumps(source)
    assert len(kept) < 600
    monkeypatch.chdir("/")
    copy = pickle.loads(kept)
    assert repr(copy) == repr(source)
    assert copy[9]["label"] == 9
    source.close()
    with pytest.raises(ClosedError):
        source[0]
    making.write_rec(tmp_path, [making.flat(0)] * 4)
    with pytest.raises(StorageError, match="10 records when this was pickled, 4 now"):
        pickle.loads(kept)


def test_a_set_may_lie_behind_a_url(paths):
    pytest.importorskip("obstore")
    with served(paths) as server:
        source = RecordSource(url(server, paths[0]), url(server, paths[1]))
        assert [source[n]["label"] for n in range(10)] == list(range(10))
        assert pickle.loads(pickle.dumps(source))[4]["id"] == 4


@pytest.mark.parametrize("number", [-1, 10, 2**40])
def test_a_number_outside_is_an_index_error(number, paths):
    with pytest.raises(IndexError, match="from 0 to 9"):
        RecordSource(*paths)[number]
    with pytest.raises(TypeError):
        RecordSource(*paths)["3"]


def test_a_bad_record_is_named(paths, tmp_path):
    blobs = [making.flat(0), making.jpeg(making.photo(40, 40))[:60]]
    source = RecordSource(*making.write_rec(tmp_path, blobs, name="bad"))
    with pytest.raises(DecodeError, match=r"bad\.rec, key=1, offset="):
        source[1]
    at = making.offsets(paths[1])[4]
    content = bytearray(Path(paths[0]).read_bytes())
    content[at] ^= 1
    Path(paths[0]).write_bytes(content)
    with pytest.raises(FormatError, match=rf"data\.rec, key=4, offset={at}"):
        RecordSource(*paths)[4]


def test_bare_images_are_refused(tmp_path):
    paths = faceset.write_payloads(tmp_path, [making.flat(1)] * 4)
    with pytest.raises(FormatError, match="expected image records"):
        RecordSource(*paths)


def test_grain_takes_it_for_a_source_that_is_shuffled_batched_and_resumed(paths):
    grain = pytest.importorskip("grain")
    source = RecordSource(*paths)
    assert isinstance(source, grain.sources.RandomAccessDataSource)
    data = grain.MapDataset.source(source).shuffle(seed=1).batch(3).to_iter_dataset()
    loop = iter(data)
    first = next(loop)
    assert (first["image"].shape, first["label"].dtype) == ((3, 4, 6, 3), np.float32)
    state = loop.get_state()
    rest = [batch["label"].tolist() for batch in loop]
    assert sorted(sum(rest, first["label"].tolist())) == list(range(10))
    again = iter(data)
    again.set_state(state)
    assert [batch["label"].tolist() for batch in again] == rest


def test_grains_loader_checkpoints_by_its_repr(paths):
    grain = pytest.importorskip("grain")

    def loop():
        source = RecordSource(*paths)
        sampler = grain.samplers.IndexSampler(len(source), num_epochs=1, shuffle=True, seed=2)
        return iter(grain.DataLoader(data_source=source, sampler=sampler, worker_count=0))

    first = loop()
    next(first)
    state = first.get_state()
    assert re.search(rb"RecordSource\(.*records=10\)", state)
    rest = [sample["id"] for sample in first]
    again = loop()
    again.set_state(state)
    assert [sample["id"] for sample in again] == rest
    assert len(rest) == 9
