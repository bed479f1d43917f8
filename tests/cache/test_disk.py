"""A cache on a disk: kept from run to run, killed at any moment, out of the way when it is slow."""

import hashlib
import itertools
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.backend.cpu import CpuBackend
from gpuio.cache import disk, opening
from gpuio.cache.store import Store
from gpuio.kernels import slots
from gpuio.pipeline import opening as pipeline_opening
from support import making
from support.clock import undisturbed

KILLS = Path(__file__).parents[1] / "support" / "cache_kills.py"
SHARE = """
import sys, hashlib, gpuio as mx
rec, folder, kind = sys.argv[1:]
it = mx.io.ImageRecordIter(path_imgrec=rec, data_shape=(3, 28, 28), batch_size=4, ctx="cpu",
    random_resized_crop=True, cache=kind, cache_dir=folder, cache_size="8MB", verbose=False)
for turn in range(2):
    found = hashlib.sha256(b"".join(batch.data[0].asnumpy().tobytes() for batch in it)).hexdigest()
    cache, memory = it.stats()["cache"], it._machine().cache._store.memory
    memory._map[: memory.nbytes]  # each page, not only those that crops have been cut from
    print(found, cache["misses"], cache["images"], cache["bytes"], flush=True)
    sys.stdin.readline()  # until the other process has made this epoch, too
    it.reset()
maps = open("/proc/self/smaps").read().split(".gpuio-cache")[1].splitlines()
told = {line.split()[0]: int(line.split()[1]) for line in maps[1:20] if line.endswith(" kB")}
print(told["Rss:"], told["Pss:"], flush=True)
sys.stdin.readline()
it.close()
"""


def files(folder, count=24, seed=0):
    blobs = [making.jpeg(making.photo(60 + k % 20, 80 - k % 20, seed + k)) for k in range(count)]
    return making.write_rec(folder, blobs)[0]


def reader(rec, folder, **options):
    base = {"data_shape": (3, 28, 28), "batch_size": 4, "ctx": "cpu", "verbose": False}
    base |= {"random_resized_crop": True, "cache_size": "8MB", "preprocess_threads": 2}
    if folder is not None:
        base |= {"cache": "disk", "cache_dir": str(folder)}
    else:
        del base["cache_size"]
    return mx.io.ImageRecordIter(path_imgrec=rec, **{**base, **options})


def epochs(rec, folder, count=1, **options):
    with reader(rec, folder, **options) as it:
        found = []
        for _ in range(count):
            found += [batch.data[0].asnumpy().tobytes() for batch in it]
            it.reset()
        return found, it.stats().get("cache")


def test_the_next_run_finds_what_this_one_has_decoded(tmp_path):
    rec, folder = files(tmp_path), tmp_path / "cache"
    expected, _ = epochs(rec, None)
    assert epochs(rec, folder)[0] == expected
    made, cache = epochs(rec, folder)
    assert made == expected
    assert cache["misses"] == 0
    assert not cache["aside"]
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("change", ["other images", "a later date"])
def test_a_cache_of_another_source_is_replaced(tmp_path, change):
    rec, folder = files(tmp_path), tmp_path / "cache"
    epochs(rec, folder)
    if change == "other images":
        files(tmp_path, seed=50)
    else:
        os.utime(rec, (1, 1))
    made, cache = epochs(rec, folder)
    assert made == epochs(rec, None)[0]
    assert cache["misses"] >= 24
    assert len(list(folder.iterdir())) == 1


def test_other_decode_options_have_a_file_of_their_own(tmp_path):
    rec, folder = files(tmp_path), tmp_path / "cache"
    for options in ({}, {"data_shape": (1, 28, 28)}, {"cache_resize": 30}):
        epochs(rec, folder, **options)
    assert len(list(folder.iterdir())) == 3
    assert epochs(rec, folder, cache_resize=30)[1]["misses"] == 0


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_gives_the_right_pixels(tmp_path, kills):
    rec, folder = files(tmp_path, 60), tmp_path / "cache"
    done = subprocess.run(
        [sys.executable, str(KILLS), rec, str(folder), str(kills), "3"],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["wrong"] == 0
    assert counts["killed"] == kills


def go_on(processes):
    """Send each a line."""
    for one in processes:
        one.stdin.write("\n")
        one.stdin.flush()


@pytest.mark.parametrize("kind", ["host", "disk"])
def test_processes_share_one_file_in_memory(tmp_path, kind):
    rec, folder = files(tmp_path), tmp_path / "cache"
    folder.mkdir()
    with reader(rec, None) as it:
        expected = [b"".join(batch.data[0].asnumpy().tobytes() for batch in it)]
        it.reset()
        expected.append(b"".join(batch.data[0].asnumpy().tobytes() for batch in it))
    expected = [hashlib.sha256(one).hexdigest() for one in expected]
    command = [sys.executable, "-c", SHARE, rec, str(folder), kind]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    try:
        for turn in range(2):
            said = [one.stdout.readline().split() for one in both]
            assert [one[0] for one in said] == [expected[turn]] * 2
            assert len(list(folder.iterdir())) == 1
            if turn:  # each image once, some 15 kB, and the index
                assert [one[2] for one in said] == ["24", "24"]
                assert said[0][3] == said[1][3]
                assert int(said[0][3]) < 24 * 17_000 + 3 * 4096
            go_on(both)
        memory = [[int(kib) for kib in one.stdout.readline().split()] for one in both]
        resident, own = map(sum, zip(*memory, strict=True))
        assert own < 0.75 * resident  # pages that both have mapped are there once
        go_on(both)
        assert [one.wait(60) for one in both] == [0, 0]
    finally:
        for one in both:
            one.kill()
            one.communicate()
    assert len(list(folder.iterdir())) == (kind == "disk")


@pytest.fixture(autouse=True)
def in_memory(monkeypatch):
    """What was just written is in memory; of other pages this says nothing."""
    monkeypatch.setattr(disk, "_major_faults", lambda: 0)


@pytest.fixture
def asleep(monkeypatch):
    """Return [seconds] that threads have waited in all: those of the machine do not count."""
    seconds = [0.0]
    monkeypatch.setattr(disk, "_asleep_s", lambda: seconds[0])
    return seconds


AHEAD = 12  # epochs of 72 images: some of them are made before the last one is read, however ahead


def slow(monkeypatch, seconds, times=1e-3):
    """Let each image cost so much to read, and making it so many times what it costs."""
    fetch, alone = Store.fetch, disk.DiskCache.made_alone

    def made_alone(self, images, took):
        alone(self, images, times * took)

    monkeypatch.setattr(disk.DiskCache, "made_alone", made_alone)

    def fetch_slowly(self, positions, *, ahead):
        time.sleep(seconds * len(positions))
        return fetch(self, positions, ahead=ahead)

    monkeypatch.setattr(Store, "fetch", fetch_slowly)
    monkeypatch.setattr(disk, "_major_faults", itertools.count().__next__)


def test_it_steps_aside_where_decoding_is_faster(tmp_path, monkeypatch, caplog):
    rec, folder = files(tmp_path, 72), tmp_path / "cache"
    expected = epochs(rec, folder, AHEAD)[0]
    slow(monkeypatch, 2e-3)
    with caplog.at_level(logging.WARNING, "gpuio"):
        made, cache = epochs(rec, folder, AHEAD)
    assert made == expected
    assert cache["aside"]
    assert cache["hits"] <= 72
    assert caplog.text.count("steps aside") == 1


def test_a_disk_that_is_far_too_slow_is_left_in_the_middle_of_a_batch(tmp_path, monkeypatch):
    rec, folder = files(tmp_path, 72), tmp_path / "cache"
    expected = epochs(rec, folder, AHEAD, batch_size=36)[0]
    slow(monkeypatch, 2e-3)
    looked_at, check = [], slots.check_slots

    def noted(addresses, *rest):
        looked_at.append(len(addresses))
        return check(addresses, *rest)

    monkeypatch.setattr(slots, "check_slots", noted)
    made, cache = epochs(rec, folder, AHEAD, batch_size=36)
    assert made == expected
    assert cache["aside"]
    assert cache["hits"] == disk._FEW
    assert sum(looked_at) == disk._FEW  # no more was read for its checksum, either


def test_more_are_read_at_once_while_they_are_in_memory(tmp_path, monkeypatch):
    rec, folder = files(tmp_path, 72), tmp_path / "cache"
    expected = epochs(rec, folder, AHEAD, batch_size=36)[0]
    faults, groups, fetch = [0], [], Store.fetch

    def noted(self, positions, *, ahead):
        groups.append(len(positions))
        faults[0] += len(groups) == 5  # one of these comes from a disk
        return fetch(self, positions, ahead=ahead)

    monkeypatch.setattr(Store, "fetch", noted)
    monkeypatch.setattr(disk, "_major_faults", lambda: faults[0])
    monkeypatch.setattr(disk.DiskCache, "_weigh", lambda *_: None)
    assert epochs(rec, folder, AHEAD, batch_size=36)[0] == expected
    assert groups[:9] == [8, 16, 32, 16, 72, 8, 16, 32, 16]  # two batches are asked for at once
    groups.clear()
    monkeypatch.setattr(disk, "_AT_ONCE", 10 * 3 * 70 * 70)
    assert epochs(rec, folder, AHEAD, batch_size=36)[0] == expected
    assert 8 < max(groups) <= 11


def test_an_epoch_that_is_all_there_asks_for_nothing_to_be_kept(tmp_path, monkeypatch):
    """Nor what the thread waited for: either costs more than a small image."""
    rec, folder = files(tmp_path), tmp_path / "cache"
    expected = epochs(rec, None, 2)[0]
    epochs(rec, folder)
    asked = []
    monkeypatch.setattr(disk.DiskCache, "claim", lambda *_: asked.append("claim"))
    monkeypatch.setattr(disk, "_asleep_s", lambda: asked.append("asleep") or 0.0)
    assert epochs(rec, folder, 2)[0] == expected
    assert asked == []


def test_rows_that_are_not_to_be_kept_are_not_timed(tmp_path, monkeypatch):
    """There is no room for half of them; in later epochs, nobody asks how long a thread slept."""
    rec, folder = files(tmp_path, 72), tmp_path / "cache"
    asked, asleep = [], disk._asleep_s
    monkeypatch.setattr(disk, "_asleep_s", lambda: asked.append(1) or asleep())
    with reader(rec, folder, cache_size=500_000) as it:
        counts = []
        for _ in range(AHEAD):
            for _ in it:
                pass
            it.reset()
            counts.append(len(asked))
        assert 0 < it.stats()["cache"]["images"] < 72
    assert counts[-1] == counts[-2] == counts[-3]


@pytest.mark.parametrize(("times", "aside"), [(1e-3, True), (1e5, False)])
def test_what_decoding_costs_is_measured_where_images_are_made(tmp_path, monkeypatch, times, aside):
    rec, folder = files(tmp_path, 72), tmp_path / "cache"
    expected = epochs(rec, folder, AHEAD)[0]
    # at the opening nothing was known of regions, of the decoder's route, or of a busy machine
    monkeypatch.setattr(pipeline_opening, "_decode_seconds", lambda *given: 1.0)
    slow(monkeypatch, 2e-3, times)
    made, cache = epochs(rec, folder, AHEAD)
    assert made == expected
    assert cache["aside"] == aside
    assert (cache["hits"] == disk._FEW) == aside


def test_loading_a_decoder_is_not_taken_for_decoding(tmp_path, monkeypatch):
    rec, decode = files(tmp_path), pipeline_opening.decode
    clock, calls = itertools.count(), []

    def loading(*given):
        calls.append(given)
        if len(calls) == 1:
            for _ in range(1000):
                next(clock)
        return decode(*given)

    monkeypatch.setattr(pipeline_opening, "decode", loading)
    monkeypatch.setattr(pipeline_opening.time, "thread_time", lambda: float(next(clock)))
    with reader(rec, tmp_path / "cache") as it:
        assert it._machine().cache._decode_s == 1.0


def waited(work):
    """Return the seconds that work waited as for a disk, and those of a processor."""
    before, begun = disk._asleep_s(), time.thread_time()
    work()
    return disk._asleep_s() - before, time.thread_time() - begun


def test_seconds_without_a_core_are_those_of_a_disk_and_others_are_not():
    slept, _ = waited(lambda: time.sleep(0.05))
    assert slept > 0.045

    def check():
        slept, worked = waited(lambda: hashlib.sha256(bytes(8 << 20)))
        assert slept < 0.3 * worked

    undisturbed(check)


@pytest.mark.skipif(not disk._SCHEDULED.exists(), reason="this system does not tell")
def test_seconds_in_which_others_had_the_core_are_not_those_of_a_disk():
    def check():
        slept, worked = waited(lambda: hashlib.sha256(bytes(64 << 20)))
        assert slept < 0.3 * worked

    cores, command = os.sched_getaffinity(0), "print(flush=True)\nwhile True: pass"
    other = subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        for process in (other.pid, 0):
            os.sched_setaffinity(process, {min(cores)})
        undisturbed(check)
    finally:
        os.sched_setaffinity(0, cores)
        other.kill()
        other.communicate()


def test_it_keeps_no_more_where_it_waits_too_long(tmp_path, monkeypatch, caplog, asleep):
    rec, folder = files(tmp_path, 120), tmp_path / "cache"
    settle = Store.settle

    def settle_slowly(self, *given):
        asleep[0] += 0.1
        settle(self, *given)

    monkeypatch.setattr(Store, "settle", settle_slowly)
    monkeypatch.setattr(disk, "_STALLED_S", 0.5)
    monkeypatch.setattr(pipeline_opening, "_decode_seconds", lambda *given: 2e-4)
    options = {"data_shape": (3, 224, 224), "preprocess_threads": 1}  # each batch alone
    with caplog.at_level(logging.WARNING, "gpuio"):
        made, cache = epochs(rec, folder, **options)
    assert made == epochs(rec, None, **options)[0]
    assert cache["images"] == disk._MEASURED
    assert caplog.text.count("keeps no more") == 1


def test_images_that_wait_without_a_cache_as_well_are_kept(tmp_path, monkeypatch, caplog, asleep):
    """Threads wait for each other: that says nothing of a disk."""
    rec, folder = files(tmp_path, 400), tmp_path / "cache"
    make = CpuBackend.make

    def make_slowly(self, *given):
        asleep[0] += 0.02
        return make(self, *given)

    monkeypatch.setattr(CpuBackend, "make", make_slowly)
    monkeypatch.setattr(disk, "_STALLED_S", 0.1)
    monkeypatch.setattr(pipeline_opening, "_decode_seconds", lambda *given: 2e-4)
    options = {"data_shape": (3, 224, 224), "preprocess_threads": 1}  # each batch alone
    with caplog.at_level(logging.WARNING, "gpuio"):
        _, cache = epochs(rec, folder, **options)
    assert cache["images"] == 400 - disk._MEASURED  # but for those of the comparison
    assert "keeps no more" not in caplog.text


def test_a_doubt_that_nothing_can_settle_ends(tmp_path, monkeypatch, asleep):
    """Where each share has images of the cache, none is made without it."""
    rec, folder = files(tmp_path, 400), tmp_path / "cache"
    settle, doubted = Store.settle, []

    def settle_slowly(self, *given):
        asleep[0] += 0.03 if not doubted else 0
        settle(self, *given)

    monkeypatch.setattr(Store, "settle", settle_slowly)
    monkeypatch.setattr(disk.DiskCache, "made_alone", lambda *_: doubted.append(1))
    monkeypatch.setattr(disk, "_STALLED_S", 0.1)
    monkeypatch.setattr(disk, "_PATIENCE", 1)
    monkeypatch.setattr(pipeline_opening, "_decode_seconds", lambda *given: 2e-4)
    options = {"data_shape": (3, 224, 224), "preprocess_threads": 1}
    _, cache = epochs(rec, folder, **options)
    assert doubted
    assert cache["images"] > 250


def test_a_slow_disk_is_not_begun_with_if_memory_is_too_small(tmp_path, monkeypatch, caplog):
    rec, folder = files(tmp_path), tmp_path / "cache"
    monkeypatch.setattr(opening, "read_rate", lambda folder: 1.0)
    with caplog.at_level(logging.WARNING, "gpuio"):
        assert epochs(rec, folder)[1] is not None  # it fits into memory
        monkeypatch.setattr(opening, "free_memory", lambda: 1000)
        assert epochs(rec, folder)[1] is None
        assert "gives 0 MB/s" in caplog.text
        monkeypatch.setattr(opening, "read_rate", lambda folder: 1e15)
        assert epochs(rec, folder)[1] is not None


def test_the_rate_of_a_folder_is_measured(tmp_path):
    assert disk.read_rate(str(tmp_path), 2 << 20) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_costs_a_warning(tmp_path, caplog):
    rec = files(tmp_path)
    (tmp_path / "file").write_text("not a folder")
    with caplog.at_level(logging.WARNING, "gpuio"):
        made, cache = epochs(rec, tmp_path / "file" / "below")
    assert made == epochs(rec, None)[0]
    assert cache is None
    assert "nothing is kept" in caplog.text


def test_a_folder_with_less_room_than_asked_for_is_named(tmp_path, monkeypatch, caplog):
    rec, folder = files(tmp_path), tmp_path / "cache"
    monkeypatch.setattr(opening, "free_on_disk", lambda folder: 100_000)
    with caplog.at_level(logging.WARNING, "gpuio"):
        made, cache = epochs(rec, folder, 3)
    assert made == epochs(rec, None, 3)[0]
    assert 0 < cache["images"] < 24
    assert "less than cache_size" in caplog.text
    assert np.all([path.stat().st_size <= 110_000 for path in folder.iterdir()])
