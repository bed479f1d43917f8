"""Small batches are read, and made, several at a time, and are what each would be alone."""

import gc
import weakref
from itertools import islice
from operator import attrgetter

import numpy as np
import pytest

import gpuio as mx
from gpuio.backend.cpu import CpuBackend
from gpuio.errors import DecodeError, StorageError
from gpuio.pipeline import pipeline
from support import boxes
from support.making import flat, jpeg, photo, png, write_rec

BAD = b"not an image"


@pytest.fixture(params=["made at once", "read at once"])
def alone(request, monkeypatch):
    """Return a function from which on batches are read and made alone.

    Before, several are read and made at once, or read at once and each made alone.
    """

    def make_alone():
        monkeypatch.setattr(CpuBackend, "together", lambda *_: 1)

    def read_alone():
        make_alone()
        monkeypatch.setattr(pipeline, "_AT_ONCE", 1)

    if request.param == "read at once":
        make_alone()
    return read_alone


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Twenty-three photos, one of them a PNG."""
    blobs = [jpeg(photo(40 + i, 44, i)) for i in range(23)]
    blobs[7] = png(photo(41, 43))
    return write_rec(tmp_path_factory.mktemp("pictures"), blobs)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory):
    """Twenty records, of which 5, 6 and 13 hold no image."""
    blobs = [BAD if i in (5, 6, 13) else flat(10 * i) for i in range(20)]
    return write_rec(tmp_path_factory.mktemp("spoiled"), blobs)


def given(paths, **options):
    """Options of batches of three."""
    return {
        "path_imgrec": paths[0],
        "path_imgidx": paths[1],
        "data_shape": (3, 32, 32),
        "batch_size": 3,
        "ctx": "cpu",
        **options,
    }


def epochs(kind, options, count=3):
    """All that batches of some epochs hold."""
    found = []
    with kind(**options) as it:
        for _ in range(count):
            for batch in it:
                arrays = [*batch.data, *batch.label, batch.index, batch.plan]
                found.append((batch.pad, [np.asarray(array).tobytes() for array in arrays]))
            found.append(it.stats()["failed_records"])
            it.reset()
    return found


OPTIONS = {
    "plain": {},
    "in MXNet's stream": {"seed_aug": 3, "rand_crop": True, "rand_mirror": True, "shuffle": True},
    "padded": {"last_batch": "pad", "shuffle": True, "resize": 36, "random_l": 20},
    "partial": {"last_batch": "partial", "batch_size": 2},
    "mixed": {"num_classes": 23, "mixup_alpha": 0.4, "shuffle": True},
    "a part": {"num_parts": 2, "part_index": 1, "dtype": "uint8"},
    "single": {"batch_size": 1, "layout": "NHWC", "rand_mirror": True},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_batches_are_those_made_alone(pictures, alone, name):
    options = given(pictures, **OPTIONS[name])
    together = epochs(mx.io.ImageRecordIter, options)
    alone()
    assert together == epochs(mx.io.ImageRecordIter, options)


@pytest.mark.parametrize("stream", ["record", "mxnet"])
def test_batches_of_boxes_are_those_made_alone(tmp_path, alone, stream):
    paths = boxes.write(tmp_path, 14)
    options = given(paths, aug_stream=stream, rand_mirror_prob=0.5, rand_crop_prob=0.5, seed=4)
    if stream == "mxnet":
        del options["path_imgidx"]
    together = epochs(mx.io.ImageDetRecordIter, options)
    alone()
    assert together == epochs(mx.io.ImageDetRecordIter, options)


@pytest.mark.parametrize("on_error", ["skip", "zero", "replace"])
def test_bad_records_are_settled_as_in_batches_made_alone(spoiled, alone, on_error):
    options = given(spoiled, data_shape=(3, 8, 8), on_error=on_error)
    together = epochs(mx.io.ImageRecordIter, options, 2)
    alone()
    assert together == epochs(mx.io.ImageRecordIter, options, 2)


@pytest.mark.usefixtures("alone")
def test_a_bad_record_is_raised_at_its_own_batch(spoiled):
    with mx.io.ImageRecordIter(**given(spoiled, data_shape=(3, 8, 8))) as it:
        assert it.next().index.tolist() == [0, 1, 2]
        for _ in range(2):  # asked again, that batch is tried again
            with pytest.raises(DecodeError, match="key=5"):
                it.next()


@pytest.mark.usefixtures("alone")
def test_a_file_that_fails_does_so_at_its_own_batch(pictures, monkeypatch):
    from gpuio.pipeline.reader import RecordReader

    read = RecordReader.read

    def failing(reader, positions, *more):
        if 10 in positions:
            raise StorageError("input/output error", path="data.rec")
        return read(reader, positions, *more)

    monkeypatch.setattr(RecordReader, "read", failing)
    with mx.io.ImageRecordIter(**given(pictures)) as it:
        for _ in range(3):
            it.next()
        with pytest.raises(StorageError, match="input/output error"):
            it.next()
        monkeypatch.setattr(RecordReader, "read", read)
        assert it.next().index.tolist() == [9, 10, 11]


def test_batches_are_made_together_only_where_they_are_small(pictures):
    sizes = {}
    for size, batch in ((32, 3), (64, 20), (512, 3)):
        with mx.io.ImageRecordIter(
            **given(pictures, data_shape=(3, size, size), batch_size=batch)
        ) as it:
            sizes[size, batch] = it._machine().pipeline.together
    assert sizes[32, 3] > 2
    assert sizes[64, 20] == sizes[512, 3] == 1


def test_batches_are_read_at_once_where_records_are_small(pictures, monkeypatch):
    found = {}
    for most in (8 << 20, 20_000, 1):
        monkeypatch.setattr(pipeline, "_BYTES_AT_ONCE", most)
        options = given(pictures, data_shape=(3, 512, 512), batch_size=4)
        with mx.io.ImageRecordIter(**options) as it:
            made = it._machine().pipeline
            assert made.together == 1
            found[most] = made.read_at_once
            groups = islice(made.groups(pipeline.BatchPosition(0, 0, 0)), 2)
            assert [len(group) for group in groups] == [1, found[most]]
    assert (found[8 << 20], found[1]) == (4, 1)
    assert 1 < found[20_000] < 4


@pytest.mark.parametrize(
    ("threads", "prefetch", "calls"), [(1, 1, 1), (2, 4, 1), (4, 4, 2), (4, 1, 4), (4, 2, 4)]
)
def test_small_batches_are_spread_no_further_than_threads_need(tmp_path, threads, prefetch, calls):
    """A call costs as much as some images; those of batches ahead are for the other threads."""
    paths = write_rec(tmp_path, [flat(9)] * 16)
    options = given(paths, data_shape=(3, 256, 256), batch_size=16, prefetch_buffer=prefetch)
    with mx.io.ImageRecordIter(**options, preprocess_threads=threads) as it:
        made = it._machine().pipeline
        assert made.together == 1
        assert made.calls == calls
        assert made._rows_a_call(16) == 16 // calls
        assert np.isfinite(next(it).data[0].asnumpy()).all()


def test_batches_of_large_records_are_spread_over_the_threads(tmp_path):
    paths = write_rec(tmp_path, [jpeg(photo(300, 300)) + bytes(40_000)] * 16)
    options = given(paths, data_shape=(3, 256, 256), batch_size=16, preprocess_threads=2)
    with mx.io.ImageRecordIter(**options) as it:
        assert it._machine().pipeline.calls == 2


def test_what_was_made_is_not_held_while_more_is_read(pictures):
    """Its memory is read into next."""
    with mx.io.ImageRecordIter(**given(pictures)) as it:
        machine, loaded = it._opened.pipeline, []

        def load(number):
            made = machine.load((pipeline.BatchPosition(0, 0, number),))
            loaded.append(weakref.ref(made[0][0]))
            return made

        def groups():
            yield load(0)
            gc.collect()
            assert loaded[0]() is None
            yield load(1)

        assert sum(map(attrgetter("last"), machine.shares(groups()))) == 2
