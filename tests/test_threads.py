"""Threads start late, stop early, and never keep a process alive."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading

import pytest

import gpuio as mx
from gpuio.backend.cpu import CpuBackend
from gpuio.pipeline.pipeline import Pipeline
from support.leaks import left
from support.making import flat, jpeg, photo, write_rec


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_rec(tmp_path_factory.mktemp("rec"), [jpeg(photo(64, 64, i)) for i in range(12)])


@pytest.fixture(autouse=True)
def _nobody_else():
    """Other tests' iterators that wait for a collection have threads, too."""
    assert left(prefix="gpuio") == []


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
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
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
    assert left(prefix="gpuio") == []


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
    assert left(prefix="gpuio") == []


def test_an_interrupt_ends_a_loop_without_end(tmp_path):
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
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=120)  # half a second on an idle machine
    assert "KeyboardInterrupt" in errors
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("read", [0, 1, 3])
def test_a_forked_child_goes_on_where_its_parent_stood_and_so_does_the_parent(paths, read):
    """The child has no threads and starts its own; the file is read by position, not by offset."""
    done = script(
        paths,
        f"it = reader()\nfor _ in range({read}): next(it)\n"
        "pid = os.fork()\n"
        "rest = [[int(x) for x in b.label[0]] for b in it]\n"
        "it.reset()\n"
        "again = [int(x) for b in it for x in b.label[0]]\n"
        "it.close()\n"
        "if pid == 0:\n"
        "    print(rest, again == list(range(12)), threading.active_count(), flush=True)\n"
        "    os._exit(0)\n"
        "_, status = os.waitpid(pid, 0)\n"
        "print(rest, again == list(range(12)), status)\n",
    )
    left = [[n, n + 1, n + 2] for n in range(3 * read, 12, 3)]
    assert done.stdout == f"{left} True 1\n{left} True 0\n", done.stderr


@pytest.mark.slow
def test_four_forked_workers_read_their_own_parts_at_once(paths):
    done = script(
        paths,
        "whole = reader()\nnext(whole)\nchildren = []\n"
        "for part in range(4):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        f"        with reader(path_imgidx={paths[1]!r}, num_parts=4, part_index=part) as it:\n"
        "            seen = [int(x) for _ in range(5) for b in (it.reset() or it) "
        "for x in b.label[0]]\n"
        "        own = list(range(3 * part, 3 * part + 3))\n"
        "        rest = [int(x) for b in whole for x in b.label[0]]\n"
        "        os._exit(0 if seen == 5 * own and rest == list(range(3, 12)) else 1)\n"
        "    children.append(pid)\n"
        "print([os.waitpid(pid, 0)[1] for pid in children], len(list(whole)))\n",
    )
    assert done.stdout == "[0, 0, 0, 0] 3\n", done.stderr


def test_another_process_goes_on_from_options_and_a_state(paths):
    """What may be sent to a spawned worker: the options and the state, by pickle and as JSON."""
    options = {"shuffle": True, "path_imgidx": paths[1], "seed": 5}
    with reader(paths, **options) as it:
        next(it)
        sent = pickle.dumps((options, json.dumps(it.state_dict()))).hex()
        rest = [[int(x) for x in batch.label[0]] for batch in it]
    done = script(
        paths,
        "import json, pickle\n"
        f"options, state = pickle.loads(bytes.fromhex({sent!r}))\n"
        "with reader(**options) as it:\n"
        "    it.load_state_dict(json.loads(state))\n"
        "    print([[int(x) for x in b.label[0]] for b in it])\n",
    )
    assert done.stdout == f"{rest}\n", done.stderr


@pytest.mark.parametrize("kind", [MemoryError, KeyError])
def test_what_a_worker_dies_of_reaches_next(paths, monkeypatch, kind):
    def make(*_, **__):
        raise kind("no room")

    monkeypatch.setattr("gpuio.kernels.cpu.job.Job.make", make)
    it = reader(paths)
    with pytest.raises(kind, match="no room"):
        next(it)
    assert ours() == []
    with pytest.raises(kind):
        next(it)
    it.close()


def test_close_in_the_middle_of_work_begins_no_more(tmp_path, monkeypatch):
    """What is being made is waited for, a batch for each thread; six more were asked for."""
    paths = write_rec(tmp_path, [jpeg(photo(90, 120, i)) for i in range(30)])
    begun, closing, calls, make = threading.Semaphore(0), threading.Event(), [], Pipeline.make

    def slow(self, share):
        calls.append(share.loaded.position.number)
        begun.release()
        if share.loaded.position.number > 1:
            assert closing.wait(60)
        return make(self, share)

    monkeypatch.setattr(Pipeline, "make", slow)
    monkeypatch.setattr(CpuBackend, "together", lambda *_: 1)
    monkeypatch.setattr(CpuBackend, "share", lambda _, rows, __: rows)  # a call for a batch
    it = reader(paths, prefetch_buffer=8, preprocess_threads=2)
    next(it)
    for _ in range(4):
        assert begun.acquire(timeout=60)
    machine = it._machine().pipeline._stream._shares._machine
    closer = threading.Thread(target=it.close)
    closer.start()
    while not machine._stopping:
        closer.join(0.001)
    closing.set()
    closer.join(60)
    assert ours() == []
    assert sorted(calls) == [0, 1, 2, 3]
