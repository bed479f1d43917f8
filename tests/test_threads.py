"""Threads start late, stop early, and never keep a process alive."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from making import flat, jpeg, photo, write_rec

import gpuio as mx


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_rec(tmp_path_factory.mktemp("rec"), [jpeg(photo(64, 64, i)) for i in range(12)])


def reader(paths, **options):
    return mx.io.ImageRecordIter(
        **{
            "path_imgrec": paths[0],
            "data_shape": (3, 32, 32),
            "batch_size": 3,
            "verbose": False,
            "ctx": "cpu",
            **options,
        }
    )


def ours():
    return [t.name for t in threading.enumerate() if t.name.startswith("gpuio")]


def script(paths, body):
    """Run a program over the file in a process of its own, with a time limit."""
    code = (
        "import gpuio as mx, sys, os, threading, gc\n"
        f"def reader(**o):\n    return mx.io.ImageRecordIter(path_imgrec={paths[0]!r}, "
        "data_shape=(3, 32, 32), batch_size=3, verbose=False, ctx='cpu', **o)\n" + body
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_no_thread_before_the_first_batch(paths):
    with reader(paths):
        assert ours() == []


def test_threads_are_bounded_by_the_options(paths):
    with reader(paths, preprocess_threads=3) as it:
        next(it)
        # the decoders, one reader, and a feeder for each of the two stages
        assert 0 < len(ours()) <= 3 + 1 + 2


def test_fifty_iterators_one_after_the_other_leave_no_thread(paths):
    for number in range(50):
        it = reader(paths)
        next(it)
        if number % 2:
            it.close()
        del it
    gc.collect()
    assert ours() == []


def test_a_process_ends_while_an_iterator_lives(paths):
    done = script(paths, "it = reader()\nnext(it)\nprint('end')\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_a_process_ends_by_an_exception_while_an_iterator_lives(paths):
    done = script(paths, "it = reader()\nnext(it)\nraise SystemExit(3)\n")
    assert (done.returncode, done.stderr) == (3, "")


def test_an_iterator_in_a_reference_cycle_is_collected(paths):
    it = reader(paths)
    next(it)
    it.self = it
    del it
    gc.collect()
    assert ours() == []


def test_an_interrupt_ends_within_a_second(tmp_path):
    paths = write_rec(tmp_path, [jpeg(photo(900, 1200, i)) for i in range(40)])
    code = (
        "import gpuio as mx, sys, time\n"
        f"it = mx.io.ImageRecordIter(path_imgrec={paths[0]!r}, data_shape=(3, 800, 800), "
        "batch_size=20, verbose=False, ctx='cpu')\n"
        "next(it)\nprint('go', flush=True)\n"
        "while True:\n"
        "    for batch in it: pass\n"
        "    it.reset()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "go\n"
    begun = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert time.monotonic() - begun < 5  # one second on an idle machine; CI shares its cores
    assert child.returncode != 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("before", ["before the first batch", "after the first batch"])
def test_a_forked_child_makes_its_own_iterator(paths, before):
    body = (
        ("it = reader()\n" if before.startswith("before") else "it = reader(); next(it)\n")
        + "pid = os.fork()\n"
        "if pid == 0:\n"
        "    with reader() as mine:\n"
        "        labels = [int(x) for b in mine for x in b.label[0]]\n"
        "    os._exit(0 if labels == list(range(12)) else 1)\n"
        "_, status = os.waitpid(pid, 0)\n"
        "rest = [int(x) for b in it for x in b.label[0]]\n"
        "print(status, rest[-1])\n"
    )
    done = script(paths, body)
    assert done.stdout == "0 11\n", done.stderr


def test_eight_threads_each_with_its_own_iterator(paths):
    seen = []

    def read():
        with reader(paths, preprocess_threads=1) as it:
            seen.append([int(x) for batch in it for x in batch.label[0]])

    workers = [threading.Thread(target=read, name="user") for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert seen == [list(range(12))] * 8


def test_eight_threads_share_one_iterator_and_lose_no_record(tmp_path):
    paths = write_rec(tmp_path, [flat(i) for i in range(96)])
    it = reader(paths, data_shape=(3, 8, 8))
    labels, lock = [], threading.Lock()

    def read():
        while True:
            try:
                batch = next(it)
            except StopIteration:
                return
            with lock:
                labels.extend(int(x) for x in batch.label[0])

    workers = [threading.Thread(target=read, name="user") for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    it.close()
    assert sorted(labels) == list(range(96))
