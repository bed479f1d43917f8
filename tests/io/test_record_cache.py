"""Decoded images kept from epoch to epoch: the same batches, without reading and decoding again.

On the CPU; in the rehearsal on the simulated GPU, in its memory and in the host's.
"""

import contextlib
import functools
import gc
import logging
import os
import weakref

import cv2
import numpy as np
import pytest

import gpuio as mx
from gpuio.backend import cpu
from gpuio.cache import opening
from gpuio.cache.use import Cache
from gpuio.decode import turbojpeg
from gpuio.errors import OptionError
from gpuio.plan.replay import replay
from gpuio.recordio.checksum import write_checksums
from gpuio.recordio.framing import encode
from gpuio.storage.local import LocalFile
from support import boxes, coding, kinds, making, pictures
from support.parts import manifest_of, write_parts
from support.places import PLACES, there
from support.remote import served, url

pytestmark = pytest.mark.simulated  # there, too
PLACE = ""  # see `place`
CROPS = {"random_resized_crop": True, "rand_mirror": True, "seed_aug": 3}
JOBS = {
    "random resized crop": CROPS,
    "resize and crop": {"resize": 36, "rand_mirror": True, "seed_aug": 1},
    "rotated": {"max_rotate_angle": 20, "seed_aug": 2},
    "coloured": {**CROPS, "brightness": 0.3, "random_h": 20, "pca_noise": 0.1},
    "bytes": {**CROPS, "dtype": "uint8", "layout": "NHWC"},
    "gray": {**CROPS, "data_shape": (1, 28, 28)},
    "halves": {"resize": 30, "dtype": "float16", "mean_r": 100.0, "std_r": 50.0},
}


def several_parts():
    """A PNG whose record is stored in several parts: the framing's magic number is in it."""
    blob = making.png(making.photo(40, 44, 5))
    text = coding.chunk(b"tEXt", b"k\0" + b"\x0a\x23\xd7\xce " * 4)  # at each place of a word
    return blob[:-12] + text + blob[-12:]


@functools.cache
def blobs():
    made = [making.jpeg(making.photo(40 + k, 60 - k, k)) for k in range(17)]
    made += [kinds.decoded()[name][0] for name in kinds.decoded() if name.startswith("jpeg")]
    made += [making.png(making.photo(40, 50, 9)), several_parts()]
    return [*made, pictures.jpeg(making.photo(48, 64, 8), progressive=True)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images of all sizes and kinds, those of one kind in equal places; labels 0, 1, ..."""
    return making.write_rec(tmp_path_factory.mktemp("cache"), blobs())


@pytest.fixture(autouse=True, params=PLACES)
def place(request, monkeypatch):
    """Make batches there."""
    monkeypatch.setattr(f"{__name__}.PLACE", request.param)


def reader(files, **options):
    base = {"data_shape": (3, 28, 28), "batch_size": 6, "verbose": False}
    base |= {"path_imgidx": files[1], "shuffle": True, "preprocess_threads": 2}
    return mx.io.ImageRecordIter(path_imgrec=files[0], **there(PLACE, {**base, **options}))


def taken(it, epochs=3):
    """Everything of some epochs, as bytes."""
    found = []
    for _ in range(epochs):
        for batch in it:
            arrays = [batch.data[0].asnumpy(), batch.label[0].asnumpy(), batch.index, batch.plan]
            found.append([batch.pad, *(np.asarray(one).tobytes() for one in arrays)])
        it.reset()
    return found


def epochs(files, count=3, **options):
    with reader(files, **options) as it:
        return taken(it, count)


MANY = 8  # epochs: what is read ahead, several of them, is not looked for


@pytest.mark.parametrize("job", JOBS)
def test_batches_are_the_same_to_the_bit(files, job):
    with reader(files, cache="host", **JOBS[job]) as it:
        assert taken(it, MANY) == epochs(files, MANY, **JOBS[job])
        assert it.stats()["cache"]["hits"] >= len(it._machine().table)


def test_without_turbojpeg_too(files, monkeypatch):
    monkeypatch.setattr(turbojpeg, "compiled", lambda: None)
    assert epochs(files, cache="host", **CROPS) == epochs(files, **CROPS)


def test_later_epochs_read_nothing_and_decode_nothing(files, monkeypatch):
    expected = epochs(files, 2, last_batch="discard", **CROPS)
    with reader(files, cache="host", last_batch="discard", **CROPS) as it:
        first = taken(it, 1)
        while it.stats()["cache"]["images"] < len(it._machine().table):
            first = taken(it, 1)  # what the last batch left out comes in another epoch
        it.load_state_dict({**it.state_dict(), "epoch": 1, "start": 0, "samples": 0})

        def refuse(*args, **kwargs):
            raise AssertionError("a record was read, or decoded")

        monkeypatch.setattr(LocalFile, "read_packed", refuse)
        monkeypatch.setattr(LocalFile, "read", refuse)
        monkeypatch.setattr(cpu, "decode", refuse)
        monkeypatch.setattr(cpu, "shorten", refuse)
        monkeypatch.setattr("gpuio.backend.gpu.host.decode", refuse)
        monkeypatch.setattr("gpuio.backend.gpu.engines.EnginePool.lend", refuse)
        assert first
        assert taken(it, 1) == expected[len(expected) // 2 :]


BLOCKS = {"shuffle": "block", "shuffle_block_size": 0.02, "shuffle_pool_size": 0.06}


def until_nothing_is_read(it):
    """Make epochs, up to 30; return six, and the bytes that were read in the last two of all.

    Files as small as these are read several epochs ahead of decoding, more of them on a busy
    machine, so nothing is said of any one epoch.
    """
    made, read = [], []
    while len(read) < 6 or (read[-1] > read[-3] and len(read) < 30):
        epoch = taken(it, 1)
        made += epoch if len(read) < 6 else []
        read.append(sum(it.stats()["read_bytes"].values()))
    return made, read[-1] - read[-3]


@pytest.mark.parametrize("parts", [{}, {"num_parts": 2, "part_index": 1, "shard": "even"}])
def test_of_blocks_what_is_cached_is_not_read(files, parts):
    options = {**BLOCKS, **CROPS, **parts, "path_imgidx": ""}
    expected = epochs(files, 6, **options)
    with reader(files, cache="host", **options) as it:
        assert until_nothing_is_read(it) == (expected, 0)
    with reader(files, cache="host", cache_size=100_000, **options) as it:
        made, read = until_nothing_is_read(it)
        assert made == expected
        assert read > 0


@pytest.mark.parametrize("options", [{}, BLOCKS])
def test_behind_a_url_what_is_cached_is_not_read(files, options):
    options = {**options, **CROPS, "path_imgidx": ""}
    expected = epochs(files, 6, **options)
    with served(files[:1]) as server:  # noqa: SIM117 -- the server first
        with reader([url(server, files[0]), ""], cache="host", **options) as it:
            assert until_nothing_is_read(it) == (expected, 0)


@pytest.mark.parametrize("options", [BLOCKS, {}])
def test_what_the_cache_gives_no_longer_is_read_after_all(files, options, tmp_path, monkeypatch):
    options = {**options, **CROPS, "path_imgidx": ""}
    expected = epochs(files, 6, **options)
    with served(files[:1]) as server:  # noqa: SIM117 -- the server first
        with reader([url(server, files[0]), ""], cache="host", **options) as it:
            made, find = taken(it, 4), Cache.find

            def forgetful(self, positions):
                found = find(self, positions)
                return None if found is None else found.without(positions % 3 != 0)

            monkeypatch.setattr(Cache, "find", forgetful)
            it._machine().pipeline.stop()
            assert made + taken(it, 2) == expected


@pytest.fixture
def many(tmp_path):
    """A manifest of three parts."""
    images = [making.jpeg(making.photo(40 + k % 9, 60 - k % 7, k)) for k in range(30)]
    return manifest_of(write_parts(tmp_path, [12, 1, 17], images.__getitem__))


@pytest.mark.parametrize("options", [{"shuffle": True}, {**BLOCKS, "num_parts": 2}])
def test_the_parts_of_a_manifest_are_cached_too(many, options):
    options = {**options, **CROPS, "path_imgidx": ""}
    expected = epochs([many, ""], 6, **options)
    with reader([many, ""], cache="host", **options) as it:
        assert until_nothing_is_read(it) == (expected, 0)


def test_the_parts_of_a_manifest_behind_a_url_are_kept_on_a_disk(many, tmp_path):
    options = {**BLOCKS, **CROPS, "path_imgidx": ""}
    expected = epochs([many, ""], 6, **options)
    options |= {"cache": "disk", "cache_dir": str(tmp_path / "cache"), "cache_size": "4MB"}
    with served(sorted(many.parent.glob("*.*"))) as server:
        with reader([url(server, many), ""], **options) as it:
            assert until_nothing_is_read(it) == (expected, 0)
        with reader([url(server, many), ""], **options) as it:
            begun = sum(it.stats()["read_bytes"].values())  # what is looked at when it is opened
            assert taken(it, 6) == expected
            assert it.stats()["cache"]["misses"] == 0
            assert sum(it.stats()["read_bytes"].values()) == begun


@pytest.mark.parametrize("policy", ["skip", "zero", "replace"])
def test_bad_records_of_a_manifest_stay_bad_from_run_to_run(tmp_path, policy):
    images = [making.jpeg(making.photo(40 + k % 9, 60 - k % 7, k)) for k in range(30)]
    images[3], images[17] = b"no image", images[17][:200] + b"\xff\xd9"
    made = str(manifest_of(write_parts(tmp_path, [12, 1, 17], images.__getitem__)))
    options = {"path_imgidx": "", "on_error": policy, "shuffle": True, **CROPS}
    room = {"cache": "disk", "cache_dir": str(tmp_path / "cache"), "cache_size": "4MB"}
    with reader([made, ""], **options) as it:
        expected, faults = taken(it), it.stats()["faults"]
    for _ in range(2):
        with reader([made, ""], **options, **room) as it:
            assert taken(it) == expected
            assert it.stats()["faults"] == faults > 0


def test_a_run_that_resumes_another_one_finds_its_cache(many, tmp_path):
    options = {"path_imgidx": "", "shuffle": True, **CROPS}
    room = {"cache": "disk", "cache_dir": str(tmp_path / "cache"), "cache_size": "4MB"}
    expected = epochs([many, ""], 2, **options)
    with reader([many, ""], **options, **room) as it:
        taken(it, 1)
        it.reset()
        it.load_state_dict({**it.state_dict(), "epoch": 0, "start": 0, "samples": 0})
        for _ in range(2):
            it.next()
        state = it.state_dict()
    with reader([many, ""], **options, **room) as it:
        it.load_state_dict(state)
        assert taken(it, 2) == expected[2:]
        assert it.stats()["cache"]["misses"] == 0


def test_of_a_manifest_a_resumed_epoch_is_the_same(many):
    options = {"path_imgidx": "", "shuffle": True, **CROPS}
    expected = epochs([many, ""], 2, **options)
    with reader([many, ""], cache="host", **options) as it:
        begun = [next(it) for _ in range(2)]
        state = it.state_dict()
    with reader([many, ""], cache="host", **options) as it:
        it.load_state_dict(state)
        assert taken(it, 2) == expected[len(begun) :]


@pytest.mark.parametrize("change", ["none", "a part", "its date"])
def test_a_cache_of_parts_that_changed_is_replaced(many, tmp_path, change):
    options = {"path_imgidx": "", "cache": "disk", "cache_dir": str(tmp_path / "cache"), **CROPS}
    epochs([many, ""], 2, cache_size="4MB", **options)
    rec = many.parent / "00002.rec"
    if change == "a part":  # of the same size: two images change places
        images = [making.jpeg(making.photo(40 + k % 9, 60 - k % 7, k)) for k in range(30)]
        images[14], images[15] = images[15], images[14]
        write_parts(many.parent, [12, 1, 17], images.__getitem__)
        many = manifest_of(sorted(many.parent.glob("0*.rec")))
    if change == "its date":
        os.utime(rec, (1, 1))
    with reader([many, ""], cache_size="4MB", **options) as it:
        assert taken(it, 1) == epochs([many, ""], 1, path_imgidx="", **CROPS)
        assert (it.stats()["cache"]["misses"] > 0) == (change != "none")
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_of_a_set_that_does_not_fit_a_fixed_part_is_kept(files):
    count = 12  # some epochs are read before the first is taken
    with reader(files, cache="host", cache_size=100_000, last_batch="discard", **CROPS) as it:
        made, counts = [], []
        for _ in range(count):
            made += taken(it, 1)
            counts.append(it.stats()["cache"])
        assert made == epochs(files, count, last_batch="discard", **CROPS)
    assert 0 < counts[-1]["images"] < 37
    assert counts[-2]["images"] == counts[-1]["images"]
    assert max(one["bytes"] for one in counts) <= 100_000
    assert counts[-1]["hits"] > counts[0]["hits"]


def test_of_a_set_in_order_what_is_kept_is_spread_over_it(tmp_path):
    files = making.write_rec(tmp_path, [making.jpeg(making.photo(40, 40, k)) for k in range(64)])
    options = {"shuffle": False, "batch_size": 8, "cache": "host", "cache_size": 32 * 5100}
    # of two threads one may be in the next epoch, where room that is left goes to whoever comes
    options["preprocess_threads"] = 1
    with reader(files, **options) as it:
        taken(it, 1)
        states = it._machine().cache._store.memory.states
        each = [np.count_nonzero(states[first : first + 8] == 2) for first in range(0, 64, 8)]
    assert set(each) <= {3, 4, 5}


@pytest.fixture
def bad(tmp_path):
    """Twenty images: three cannot be decoded, one lacks its end, two of them are warned of."""
    blobs = [making.jpeg(making.photo(48, 48, k)) for k in range(20)]
    blobs[3] = blobs[3][:200] + b"\xff\xd9"
    blobs[8] = b"no image"
    blobs[11] = blobs[11][:-40]
    blobs[14], blobs[15] = making.warned(making.photo(48, 48, 14))
    return making.write_rec(tmp_path, blobs)


@pytest.mark.parametrize("policy", ["skip", "zero", "replace"])
def test_bad_records_stay_bad(bad, policy):
    options = {"on_error": policy, "batch_size": 5, **CROPS}
    with reader(bad, **options) as it, reader(bad, cache="host", **options) as kept:
        assert taken(kept) == taken(it)
        told, expected = kept.stats(), it.stats()
        for name in ("faults", "failed_records", "warned_records", "decoded_with_warnings"):
            assert told[name] == expected[name]
        assert told["faults"] > 0


TURNED = {"max_rotate_angle": 20, "seed_aug": 2}


@pytest.mark.skipif(not turbojpeg.status().usable, reason="OpenCV tells of no warnings")
@pytest.mark.parametrize("before", [TURNED, {"inter_method": 2, "resize": 30}])
def test_warnings_are_counted_of_images_that_opencv_made_before(bad, before):
    options = {"on_error": "skip", "batch_size": 5, **CROPS}
    with reader(bad, **options) as it, reader(bad, cache="host", **{**options, **before}) as first:
        expected = taken(it)
        taken(first, MANY)
        with reader(bad, cache="host", **options) as kept:
            assert taken(kept) == expected
            assert kept.stats()["warned_records"] == it.stats()["warned_records"]
        if PLACE == "cpu":  # engines tell of no warnings
            assert it.stats()["decoded_with_warnings"] == 2
        assert first.stats()["cache"]["hits"] > 0


def test_what_was_found_counts_for_no_decoder(files):
    options = {"cache": "host", "last_batch": "discard", "batch_size": 47}
    for more in (CROPS, TURNED, {**CROPS, "cache_resize": 30}):
        with reader(files, **options, **more) as it:
            before = taken(it, 9) and it.stats()  # what is read ahead at first is not in it yet
            assert before["cache"]["images"] == len(blobs())
            assert min(before["decoders"].values()) >= 1
            assert taken(it, 2)
            assert it.stats()["decoders"] == before["decoders"]


def test_records_are_raised_at_their_batch_in_each_epoch(bad):
    with reader(bad, cache="host", shuffle=False, batch_size=10) as it:
        said = []
        for _ in range(3):
            with pytest.raises(mx.errors.GpuioError, match="key=3") as error:
                it.next()
            said.append(str(error.value))
            it.reset()
    assert said[1:] == said[:-1]


def test_what_was_kept_is_for_iterators_that_check_as_much(tmp_path):
    files = making.write_rec(tmp_path, [making.jpeg(making.photo(32, 32, k)) for k in range(4)])
    before, after = str(tmp_path / "before"), str(tmp_path / "after")
    write_checksums(files[0], before)
    with open(files[0], "r+b") as file:
        file.seek(making.offsets(files[1])[1] + 12)
        file.write(np.float32(5).tobytes())  # the label: behind magic, length and flag
    write_checksums(files[0], after)
    faults = []
    with contextlib.ExitStack() as held:  # all at once: what one of them keeps, others may find
        for checksum in (False, after, before):
            it = held.enter_context(
                reader(files, cache="host", batch_size=4, on_error="skip", checksum=checksum)
            )
            taken(it, 2)
            faults.append(it.stats()["faults"])
    assert faults == [0, 0, 1]


def test_jpegs_without_their_end_are_counted_in_each_epoch(bad):
    options = {"truncated": "accept", "on_error": "skip", **CROPS}
    with reader(bad, **options) as it, reader(bad, cache="host", **options) as kept:
        assert taken(kept) == taken(it)
        assert abs(kept.stats()["cut_short"] - it.stats()["cut_short"]) <= 1
        assert kept.stats()["cut_short"] >= 3


def test_damage_below_the_crop_is_looked_at_by_nobody(tmp_path):
    blobs = []
    for k in range(6):
        blob = making.jpeg(making.photo(256, 64, k))
        blobs.append(blob[: -len(blob) // 4] + bytes(range(1, 30)) + blob[-2:])
    files = making.write_rec(tmp_path, blobs)
    options = {"on_error": "skip", "batch_size": 3, "rand_crop": True, "seed_aug": 5}
    with reader(files, **options) as it, reader(files, cache="host", **options) as kept:
        assert taken(kept) == taken(it)
        assert kept.stats()["faults"] == it.stats()["faults"]


def test_another_iterator_of_the_process_finds_what_is_there(files):
    one, other = (reader(files, cache="host", **CROPS) for _ in range(2))
    with one, other:
        assert one._machine().cache._store is other._machine().cache._store
        expected = taken(one, 2)
        assert taken(other, 2) == expected
        assert other.stats()["cache"]["misses"] == 0
        one.close()
        assert taken(other, 1)
    gray = reader(files, cache="host", data_shape=(1, 28, 28))
    with gray, reader(files, cache="host") as it:
        assert gray._machine().cache._store is not it._machine().cache._store


@pytest.mark.parametrize("room", ["memory", "file"])
@pytest.mark.parametrize("of_parts", [False, True])
def test_files_of_equal_size_and_date_are_told_apart(tmp_path, room, of_parts):
    images = [making.jpeg(making.photo(32, 32, k)) for k in range(80)]
    images = [one + bytes(max(map(len, images)) - len(one)) for one in images]
    options = {"cache": "host", "path_imgidx": "", "shuffle": False}
    if room == "file":
        if PLACES[PLACE]["cache"] == "device":
            pytest.skip("a GPU's memory is no file")
        options["cache_dir"] = str(tmp_path / "cache")
    made, kept = [], []
    for name in "ab":  # two images change places, neither of which is looked at for its source
        folder = tmp_path / name
        folder.mkdir()
        (rec,) = write_parts(folder, [80], images.__getitem__, labels=lambda number: 0.0)
        os.utime(rec, (9, 9))
        made.append([str(manifest_of([rec]) if of_parts else rec), ""])
        images[42], images[43] = images[43], images[42]
    with contextlib.ExitStack() as held:
        its = (held.enter_context(reader(files, **options)) for files in made)
        kept += [taken(it, 1) for it in its]
    assert kept == [epochs(files, 1, path_imgidx="", shuffle=False) for files in made]
    assert kept[0] != kept[1]


def test_labels_are_the_iterators_own(files, tmp_path):
    listed = tmp_path / "list.lst"
    lines = [f"{k}\t{k + 0.5}\t{-k}\tname" for k in range(60)]
    listed.write_text("\n".join(lines))
    options = {"path_imglist": str(listed), "label_width": 2}
    with reader(files, cache="host") as it:
        taken(it, 2)
        with reader(files, cache="host", **options) as other:
            assert taken(other, 2) == epochs(files, 2, **options)
            assert other.stats()["cache"]["misses"] == 0


def test_parts_keep_their_own_records(files):
    parts = [{"num_parts": 3, "part_index": k, **CROPS} for k in range(3)]
    iterators = [reader(files, cache="host", **part) for part in parts]
    for it, part in zip(iterators, parts, strict=True):
        assert taken(it, 2) == epochs(files, 2, **part)
    assert iterators[0].stats()["cache"]["images"] >= 37
    for it in iterators:
        it.close()


def test_bare_images(tmp_path):
    path = tmp_path / "bare.rec"
    blobs = [making.jpeg(making.photo(40 + k, 50, k)) for k in range(9)] + [several_parts()]
    path.write_bytes(b"".join(encode(blob) for blob in blobs))
    options = {"path_imgidx": "", "batch_size": 4, "shuffle": False, **CROPS}
    with reader((path, ""), **options) as it:
        expected = taken(it, MANY)
    with reader((path, ""), cache="host", **options) as it:
        assert taken(it, MANY) == expected
        assert it.stats()["cache"]["hits"] >= 10


def test_it_goes_on_where_a_state_was_taken(files):
    with reader(files, cache="host", **CROPS) as it:
        taken(it, 1)
        it.next()
        state, rest = it.state_dict(), taken(it, 2)
    with reader(files, cache="host", **CROPS) as it:
        it.load_state_dict(state)
        assert taken(it, 2) == rest


def test_detection(tmp_path):
    files = boxes.write(tmp_path)
    moves = {"rand_mirror_prob": 0.5, "rand_crop_prob": 0.7, "min_crop_scales": 0.5, "seed": 2}
    options = {"data_shape": (3, 60, 80), "batch_size": 4, "verbose": False, **moves}
    with mx.io.ImageDetRecordIter(path_imgrec=files[0], **there(PLACE, options)) as it:
        expected = taken(it, MANY)
    options["cache"] = "host"
    with mx.io.ImageDetRecordIter(path_imgrec=files[0], **there(PLACE, options)) as it:
        assert taken(it, MANY) == expected
        assert it.stats()["cache"]["hits"] > 0
        # classification finds the same images
        del options["rand_mirror_prob"], options["rand_crop_prob"], options["min_crop_scales"]
        with reader(files, cache="host", label_width="ragged", path_imgidx="") as other:
            other.next()
            assert other.stats()["cache"]["misses"] == 0


def test_wrong_boxes_are_counted_of_images_that_others_decoded(tmp_path):
    labels = [boxes.label([[0, 0.1 * (k % 2), 0.2, 0.05, 0.8]]) for k in range(6)]  # 3 are wrong
    files = making.write_rec(tmp_path, [making.jpeg(making.photo(48, 60, 1))] * 6, labels)
    options = {"data_shape": (3, 48, 60), "batch_size": 3, "verbose": False, "cache": "host"}
    found = []
    with reader(files, cache="host", label_width="ragged") as it:
        taken(it)
        for _ in range(2):
            given = there(PLACE, {**options, "path_imgidx": files[1]})
            with mx.io.ImageDetRecordIter(path_imgrec=files[0], **given) as other:
                taken(other)
                told = other.stats()
                found.append((told["bad_boxes"], [one["key"] for one in told["bad_box_records"]]))
                assert told["cache"]["misses"] == 0
    assert found == [(3, [1, 3, 5])] * 2


def test_records_that_are_looked_at_once_more_count_once(tmp_path):
    labels = [boxes.label([[0, 0.1, 0.2, 0.05, 0.8]]) for _ in range(12)]  # wrong: each by itself
    files = making.write_rec(tmp_path, [making.jpeg(making.photo(48, 60, 1))] * 12, labels)
    options = {"data_shape": (3, 48, 60), "batch_size": 3, "verbose": False, "cache": "host"}
    with mx.io.ImageDetRecordIter(path_imgrec=files[0], **there(PLACE, options)) as it:
        taken(it, 60)
        told = it.stats()
    assert told["cache"]["hits"] + told["cache"]["misses"] < 1.5 * told["images"]


def test_images_are_made_smaller_once_whether_they_fit_or_not(files, monkeypatch):
    options = {"cache": "host", "cache_resize": 30, "label_width": 1, **CROPS}
    with reader(files, **options) as it:
        made = taken(it, MANY)
        assert it.stats()["cache"]["hits"] >= len(it._machine().table)
    assert made == epochs(files, MANY, **options, cache_size=20_000)
    assert made != epochs(files, MANY, **CROPS)
    monkeypatch.setattr(turbojpeg, "compiled", lambda: None)
    assert made == epochs(files, MANY, **options)


def test_boxes_in_mxnets_stream_are_those_of_smaller_images(tmp_path):
    files = boxes.write(tmp_path)
    options = {"data_shape": (3, 30, 40), "batch_size": 4, "verbose": False, "cache": "host"}
    options |= {"aug_stream": "mxnet", "rand_mirror_prob": 0.5, "rand_crop_prob": 0.7}
    found = []
    for size in ("1MB", 1):
        more = {"cache_resize": 30, "cache_size": size, "min_crop_scales": 0.5}
        given = there(PLACE, {**options, **more})
        with mx.io.ImageDetRecordIter(path_imgrec=files[0], **given) as it:
            found.append(taken(it))
            plan = it.next().plan
        assert set(zip(plan["src_h"].tolist(), plan["src_w"].tolist(), strict=True)) == {(30, 40)}
    assert found[0] == found[1]


def test_a_mean_image_is_that_of_the_smaller_images(files, tmp_path):
    options = {"resize": 40, "cache": "host", "cache_resize": 30}
    epochs(files, 1, mean_img=str(tmp_path / "mean.bin"), **options)
    (tmp_path / "other").mkdir()
    epochs(files, 1, mean_img=str(tmp_path / "other" / "mean.bin"), resize=40)
    one, other = (tmp_path / "mean.bin"), (tmp_path / "other" / "mean.bin")
    assert one.read_bytes() != other.read_bytes()


def test_a_row_of_smaller_images_is_replayed(files):
    options = {"cache": "host", "cache_resize": 30, "dtype": "uint8", **CROPS}
    with reader(files, shuffle=False, **options) as it:
        for _ in range(2):
            batch = it.next()
            for row in range(6):
                image = cv2.imdecode(np.frombuffer(blobs()[row], np.uint8), cv2.IMREAD_COLOR)
                again = replay(image, batch.plan[row], it.options)
                assert again.tobytes() == batch.data[0].asnumpy()[row].tobytes()
                assert min(batch.plan[row]["src_h"], batch.plan[row]["src_w"]) == 30
            it.reset()


def test_the_memory_is_freed_with_the_iterator(files):
    it = reader(files, cache="host")
    taken(it, 1)
    memory = it._machine().cache._store.memory
    assert memory.nbytes > 0
    assert len(opening._open) == 1
    it.close()
    assert memory.nbytes == 0
    assert not opening._open
    it = reader(files, cache="host")
    it.next()
    memory, gone = it._machine().cache._store.memory, weakref.ref(it)
    del it
    gc.collect()
    assert gone() is None
    assert memory.nbytes == 0


def test_an_epoch_that_is_cut_short_leaves_nothing_half_done(files):
    expected = epochs(files, 6, **CROPS)
    per_epoch = len(expected) // 6
    with reader(files, cache="host", batch_size=6, **CROPS) as it:
        for _ in range(4):
            it.next()
            it.reset()
        states = it._machine().cache._store.memory.states
        assert taken(it, 2)[:per_epoch]
        it._machine().pipeline.stop()
        assert set(np.unique(states)) <= {0, 2, 3}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cache": "host", "decode_scale": "auto"}, "cache_resize"),
        ({"cache": "disk"}, "cache_dir: required"),
        ({"cache_dir": "/tmp"}, "cache='off'"),
        ({"cache_resize": 32}, "cache='off'"),
        ({"cache": "disk", "cache_dir": "s3://bucket/folder"}, "a folder of this machine"),
        ({"cache": "disk", "cache_dir": "https://host/x"}, "a folder of this machine"),
        ({"cache": "device", "cache_dir": "/tmp"}, "no use with cache='device'"),
        ({"cache": "ram"}, "'host'"),
        ({"cache": "host", "cache_size": "40 pints"}, "40GiB"),
    ],
)
def test_options_that_do_not_go_together_are_refused(files, options, said):
    with pytest.raises(OptionError, match=said):
        reader(files, **options)


def test_it_warns_where_not_one_image_fits(files, caplog):
    with reader(files, cache="host", cache_size=10) as it:
        assert taken(it, 2) == epochs(files, 2)
        assert it.stats()["cache"]["images"] == 0
    (record,) = [record for record in caplog.records if "room for" in record.message]
    assert record.levelno == logging.WARNING
    assert "give a larger cache_size" in record.message


def test_it_says_how_much_there_is_room_for(files, caplog):
    with caplog.at_level(logging.INFO, "gpuio"):
        reader(files, cache="host", cache_size="50kB", verbose=True).close()
    (line,) = [record.message for record in caplog.records if "room for" in record.message]
    assert "% of" in line
