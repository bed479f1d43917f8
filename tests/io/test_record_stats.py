"""stats() and report() of real iterators: the sentence is right in made situations."""

import contextlib
import functools
import json
import time

import numpy as np
import pytest

import gpuio as mx
from gpuio.backend import cpu
from gpuio.errors import DecodeError, StorageError
from gpuio.pipeline import batch_stream, fetching
from gpuio.pipeline import pipeline as pipeline_module
from gpuio.storage.local import LocalFile
from support.clock import ticking, undisturbed
from support.making import jpeg, photo, reader, write_rec
from support.remote import served, url

SMALL = [jpeg(photo(32, 32, seed)) for seed in range(4)]
KEYS = {  # of a version without stages
    *("batches", "images", "encoded_bytes", "cut_short", "faults", "bad_boxes"),
    *("decoded_with_warnings", "read_s", "make_s", "wait_s", "failed_records"),
    *("bad_box_records", "warned_records", "skipped_ranges"),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return write_rec(tmp_path_factory.mktemp("small"), SMALL * 16)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """So many that a batch is not made together with others."""
    return write_rec(tmp_path_factory.mktemp("many"), SMALL * 512)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    images = [jpeg(photo(600, 800, seed), 98) for seed in range(2)]
    return write_rec(tmp_path_factory.mktemp("large"), images * 16)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass where the test says so."""
    return ticking(monkeypatch)


def again_if_disturbed(test):
    """Let a test that measures real seconds have several tries."""

    @functools.wraps(test)
    def tried(**given):
        undisturbed(lambda: test(**given))

    return tried


@pytest.fixture
def cores(monkeypatch):
    """A machine of so many cores."""

    def of(count):
        for module in (cpu, pipeline_module):
            monkeypatch.setattr(module, "usable_cores", lambda: count)

    return of


def drain(it, epochs=1, each=lambda number: None):
    for _ in range(epochs):
        for number, _ in enumerate(it):
            each(number)
        it.reset()
    return it.stats()


def test_slow_storage(many, monkeypatch, clock):
    real, take = LocalFile.read_packed, batch_stream.BatchStream.next

    def slow(self, *args):
        clock.spend(0.02, ahead=True)
        return real(self, *args)

    def asking(self):
        with clock.asking():
            return take(self)

    monkeypatch.setattr(LocalFile, "read_packed", slow)
    monkeypatch.setattr(batch_stream.BatchStream, "next", asking)
    monkeypatch.setattr(pipeline_module, "_AT_ONCE", 1)  # a read per batch
    with reader(many, preprocess_threads=2, batch_size=128) as it, clock.running():
        stats = drain(it)
    assert stats["limit"]["stage"] == "storage", stats["limit"]
    assert "MB/s from local files" in stats["limit"]["sentence"]
    assert stats["waits"] == pytest.approx(1)
    assert stats["stages"]["read"]["seconds"] > 15.9 * 0.02


@again_if_disturbed
def test_behind_a_url_reading_waits_for_what_several_threads_fetch(many, monkeypatch):
    monkeypatch.setattr(fetching, "_GROUP_BYTES", 64 << 10)
    with served(many) as server:
        paths = [url(server, path) for path in many]
        with reader(paths, preprocess_threads=2, batch_size=64) as it:
            it.next()
            server.latency_s = 0.03
            begun = time.perf_counter()
            stats = drain(it, 2)
            wall = time.perf_counter() - begun
    assert stats["limit"]["stage"] == "storage", stats["limit"]
    stages = {name: one["seconds"] for name, one in stats["stages"].items()}
    assert stages["reading"] < 1.2 * wall
    assert stages["reading"] == pytest.approx(
        sum(stages[name] for name in ("read", "headers", "plan")), rel=0.01
    )
    assert stages["read"] > 0.5 * stages["reading"]


@again_if_disturbed
def test_files_in_memory_are_not_called_slow_storage(small, monkeypatch, cores):
    cores(2)
    monkeypatch.setattr(cpu.CpuBackend, "make", lambda *args: [])
    with reader(small, preprocess_threads=2, batch_size=2) as it:
        stats = drain(it, 4)
    assert stats["reads_from_memory"]
    assert stats["limit"]["stage"] != "storage"


def test_a_slow_consumer(many, clock):
    with reader(many, preprocess_threads=2, batch_size=128) as it:
        stats = drain(it, each=lambda number: clock.spend(0.02))
    assert stats["limit"]["stage"] == "consumer", stats["limit"]
    # {}: the consumer's seconds passed while threads were making batches, so they are not idle
    assert stats["limit"]["options"] in ({}, {"preprocess_threads": 1})
    assert stats["consumes"] == pytest.approx(1)


@again_if_disturbed
def test_decoding_is_the_bound(large, cores):
    cores(2)
    with reader(large, preprocess_threads=2) as it:
        stats = drain(it, 2)
    assert stats["limit"]["stage"] == "decoding", stats["limit"]
    assert "decoding limits: 2 threads busy" in stats["limit"]["sentence"]
    decode, kernels = (stats["stages"][name]["seconds"] for name in ("decode", "kernels"))
    assert decode > 4 * kernels > 0
    assert decode + kernels == pytest.approx(stats["make_s"], rel=0.2)


@again_if_disturbed
def test_one_thread_of_many_cores(large, cores):
    cores(8)
    with reader(large, preprocess_threads=1) as it:
        stats = drain(it, 2)
    assert stats["limit"]["stage"] == "decoding", stats["limit"]
    assert stats["limit"]["options"] == {"preprocess_threads": 8}
    assert "1 thread busy" in stats["limit"]["sentence"]


@again_if_disturbed
def test_kernels_are_the_bound(small, cores):
    cores(2)
    shape = {"data_shape": (3, 300, 300), "resize": 300}
    with reader(small, preprocess_threads=2, **shape, inter_method=2) as it:
        stats = drain(it, 2)
    assert stats["limit"]["stage"] == "kernels", stats["limit"]
    assert stats["stages"]["kernels"]["seconds"] > stats["stages"]["decode"]["seconds"]


@again_if_disturbed
def test_a_look_ahead_that_is_too_short_for_bursts(large, cores, monkeypatch):
    """Images take as long as they sleep: on a busy machine real ones took longer than the pause."""
    cores(2)

    def make(backend, records, *_):
        time.sleep(0.0125 * len(records))
        return []

    monkeypatch.setattr(cpu.CpuBackend, "make", make)
    options = {"preprocess_threads": 2, "prefetch_buffer": 1, "batch_size": 8}
    with reader(large, **options) as it:
        stats = drain(it, 4, lambda number: time.sleep(0.25 if number == 1 else 0))
    assert stats["limit"]["stage"] == "look-ahead", (stats["limit"], stats)
    assert stats["limit"]["options"] == {"prefetch_buffer": 4}
    assert stats["look_ahead"]["made"] < 1


def test_beginning_anew_is_waiting_and_not_handing_over(many, monkeypatch, clock):
    real = batch_stream.BatchStream.close

    def slow(self):
        clock.spend(0.02)
        real(self)

    monkeypatch.setattr(batch_stream.BatchStream, "close", slow)
    with reader(many, preprocess_threads=2, batch_size=64) as it:
        for _ in range(8):
            for _ in range(2):
                it.next()
            it.reset()
        stats = it.stats()
    assert stats["limit"]["stage"] != "hand-over", stats["limit"]
    assert stats["waits"] == pytest.approx(1)
    assert stats["hand_overs"] == pytest.approx(0)


@pytest.mark.parametrize(("policy", "images"), [("skip", 9), ("zero", 12), ("raise", 4)])
def test_images_are_those_that_were_handed_out(tmp_path, policy, images):
    blobs = [b"no image" if k in (5, 6, 11) else SMALL[0] for k in range(12)]
    with reader(write_rec(tmp_path, blobs), on_error=policy) as it:
        for _ in range(3):
            with contextlib.suppress(DecodeError):
                it.next()
        stats = it.stats()
    assert (stats["images"], stats["batches"]) == (images, 1 if policy == "raise" else 3)


def test_a_batch_that_could_not_be_given_takes_no_share_of_the_time(large, monkeypatch, clock):
    real, take = pipeline_module.Pipeline.next, batch_stream.BatchStream.next

    def failing(self, position):
        if not tries.pop():
            clock.spend(0.05)
            raise StorageError("for once")
        return real(self, position)

    def waiting(self):
        clock.spend(0.01)
        return take(self)

    monkeypatch.setattr(batch_stream.BatchStream, "next", waiting)
    monkeypatch.setattr(pipeline_module.Pipeline, "next", failing)
    tries = [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    with reader(large, preprocess_threads=2) as it:
        for _ in tries.copy():
            with contextlib.suppress(StorageError):
                it.next()
        stats = it.stats()
    assert stats["measured_batches"] == 5
    assert stats["between_epochs_s"] == pytest.approx(5 * 0.05)
    assert stats["elapsed_s"] == pytest.approx(5 * 0.01)
    shares = [stats[name] for name in ("waits", "consumes", "hand_overs")]
    assert shares == pytest.approx([1, 0, 0])


def test_a_report_names_some_files_of_many(tmp_path):
    parts = [write_rec(tmp_path, SMALL[:1], name=f"{k}")[0] for k in range(5)]
    with reader([";".join(parts)], index=False) as it:
        it.next()
        assert it.report().splitlines()[0] == "ImageRecordIter over 0.rec, 1.rec, 2.rec and 2 more"


def test_every_key_and_the_decoders_of_a_file(small, monkeypatch):
    with reader(small, preprocess_threads=2) as it:
        stats = drain(it)
        monkeypatch.setattr(type(it), "stats", lambda _: stats)  # what limits differs by the moment
        told = it.report()
    json.dumps(stats)
    assert set(stats) >= KEYS
    assert stats["decoders"]["own"] >= 64
    assert set(stats["decoders"]) == {"own"}
    assert stats["read_bytes"]["local"] >= stats["encoded_bytes"] >= 16 * sum(map(len, SMALL))
    assert told.startswith("ImageRecordIter over data.rec\n64 images in 16 batches")
    assert told.splitlines()[-1] == stats["limit"]["sentence"] != ""


def test_opencv_is_told_where_it_decodes(small, monkeypatch):
    monkeypatch.setattr(cpu.turbojpeg, "compiled", lambda: None)
    monkeypatch.setattr(cpu, "any_plain", lambda _: False)
    with reader(small) as it:
        stats = drain(it)
    assert set(stats["decoders"]) == {"opencv"}
    assert stats["stages"]["decode"]["seconds"] > 0
    assert stats["stages"]["kernels"]["seconds"] > 0


def test_switched_off_there_are_the_old_keys_alone_and_the_same_images(small):
    images = []
    for on in (True, False):
        with reader(small, stats=on, rand_mirror=True) as it:
            images.append(np.stack([batch.data[0].asnumpy() for batch in it]))
            stats = it.stats()
            told = it.report()
    assert images[0].tobytes() == images[1].tobytes()
    assert set(stats) >= KEYS
    assert not {"stages", "limit", "waits"} & set(stats)
    assert stats["batches"] == 16
    assert stats["make_s"] > 0
    assert told.endswith("stages were not measured: stats=False")


def test_mixing_is_a_stage_where_it_is_asked_for(small):
    options = {"num_classes": 64, "mixup_alpha": 0.2}
    with reader(small, **options) as it:
        assert drain(it)["stages"]["mixing"]["seconds"] > 0
    with reader(small) as it:
        assert "mixing" not in drain(it)["stages"]


def test_a_closed_iterator_says_so(small):
    it = reader(small)
    it.close()
    for ask in (it.stats, it.report):
        with pytest.raises(mx.ClosedError):
            ask()


def test_auto_threads_change_no_bit(many, monkeypatch, cores):
    cores(3)
    wanted = iter([1, 3, 2, 1, 2, 3] * 20)
    machine = pipeline_module.ThreadCount
    monkeypatch.setattr(machine, "look", lambda self, *args: next(wanted))
    images, seen = [], set()
    for threads in (1, "auto"):
        options = {"batch_size": 128, "rand_mirror": True, "shuffle": True}
        with reader(many, preprocess_threads=threads, **options) as it:
            for _ in range(2):
                for batch in it:
                    images.append(batch.data[0].asnumpy())
                    seen.add(it.stats()["threads"])
                it.reset()
    half = len(images) // 2
    assert np.stack(images[:half]).tobytes() == np.stack(images[half:]).tobytes()
    assert seen == {1, 2, 3}


def test_auto_threads_grow_where_one_is_busy(large, cores, monkeypatch):
    cores(3)
    monkeypatch.setattr(cpu, "_MOST_THREADS", 1)
    monkeypatch.setattr("gpuio.pipeline.thread_count._LOOK_S", 0.01)
    with reader(large, preprocess_threads="auto", batch_size=8) as it:
        first = it.stats()["threads"]
        seen = set()
        for _ in range(200):
            for _ in it:
                seen.add(it.stats()["threads"])
            if max(seen) > 1:
                break
            it.reset()
    assert first == 1
    assert max(seen) > 1


@pytest.mark.parametrize("wrong", ["many", 0, -1, 2.5])
def test_another_number_of_threads_is_refused(small, wrong):
    with pytest.raises(mx.OptionError, match=r"preprocess_threads: expected .*; or 'auto'"):
        reader(small, preprocess_threads=wrong)
