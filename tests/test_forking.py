"""A fork waits for threads between their items, and locks are free in the child."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from gpuio import forking, recordio
from gpuio.forking import lock, waiting, working
from gpuio.pipeline.prefetch import Prefetcher
from support.forks import forked


def test_a_fork_finds_no_worker_in_the_middle_of_its_work(monkeypatch):
    monkeypatch.setattr(forking, "_PATIENCE_S", 60.0)  # a worker may get no core for seconds
    foreign = threading.Lock()  # of a library that workers call: an import, a compiler, a pool

    def fn(item):
        with foreign:
            time.sleep(1e-4)  # lets the fork in: here it would find the lock taken
        return item

    with Prefetcher(fn, range(10_000), depth=4, workers=2) as it:
        for _ in range(40):
            next(it)
            assert forked(lambda: foreign.acquire(blocking=False)) == 0


def test_a_worker_that_waits_for_another_stage_keeps_no_fork_waiting(monkeypatch, caplog):
    monkeypatch.setattr(forking, "_PATIENCE_S", 10.0)
    may = threading.Event()

    def slow():
        yield 0
        with waiting():  # as a chained stage does
            may.wait(60)

    first = Prefetcher(lambda x: x, slow(), depth=2, workers=1)
    with Prefetcher(lambda x: x, first, depth=2, workers=1) as it:
        assert next(it) == 0
        assert forked(lambda: True) == 0
        may.set()
    assert "os.fork() goes on while" not in caplog.text


def test_a_thread_that_does_not_end_its_work_holds_a_fork_up_for_a_while_only(monkeypatch, caplog):
    monkeypatch.setattr(forking, "_PATIENCE_S", 0.05)
    begun, may = threading.Event(), threading.Event()

    def work():
        with working:
            begun.set()
            may.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    with caplog.at_level("WARNING", "gpuio"):
        assert forked(lambda: True) == 0
    assert "os.fork() goes on while 1 threads of gpuio work" in caplog.text
    may.set()
    thread.join(60)
    assert forking._gate.at_work == 0


def test_a_thread_may_fork_in_the_middle_of_its_own_work():
    with working, working:
        assert forked(lambda: forking._gate.at_work == 1 and forking._gate.forks == 0) == 0
        assert (forking._gate.at_work, forking._gate.mine.depth) == (1, 2)
    assert (forking._gate.at_work, forking._gate.mine.depth) == (0, 0)


def test_two_threads_may_fork_at_once(monkeypatch):
    monkeypatch.setattr(forking, "_PATIENCE_S", 0.5)
    begin, outcomes = threading.Barrier(2), []

    def work():
        with working:
            begin.wait(60)
            outcomes.append(forked(lambda: True))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    # a hook of another package that is registered later, such as concurrent.futures', takes a lock
    # of its own first: the second thread is then waited for, as long as patience lasts
    for thread in threads:
        thread.join(60)
    assert outcomes == [0, 0]


@pytest.mark.parametrize("mine", [True, False])
def test_locks_of_other_threads_are_free_in_a_child_and_its_own_are_kept(mine):
    one, held, may = lock(), threading.Event(), threading.Event()

    def hold():
        with one:
            held.set()
            may.wait(60)

    if mine:
        with one:
            assert forked(one._is_owned) == 0
        return
    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    assert forked(lambda: one.acquire(blocking=False)) == 0
    assert not one.acquire(blocking=False)
    may.set()
    thread.join(60)


# a thread is in the middle of importing the module that argv[1] names when another one forks; the
# child then does the same as the thread
IMPORTS = """
import os, signal, sys, threading, warnings
import gpuio as mx
from gpuio import forking

warnings.simplefilter("ignore")
forking._PATIENCE_S = 200.0
begun, may = threading.Event(), threading.Event()

class Watch:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == sys.argv[1] and threading.current_thread() is thread:
            begun.set()
            may.wait(200)

def use():
    eval(sys.argv[2], {"mx": mx, "folder": sys.argv[3]})

sys.meta_path.insert(0, Watch)
thread = threading.Thread(target=use)
thread.start()
assert begun.wait(200)
wait_for = forking._gate.changed.wait_for

def wait(there_is_none, patience):
    if not there_is_none():
        may.set()
    return wait_for(there_is_none, 200)  # importing may take longer than a fork's patience

forking._gate.changed.wait_for = wait
child = os.fork()
if not child:
    signal.alarm(100)
    use()
    os._exit(7)
may.set()  # a fork that did not wait
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
RECORDS = (
    "mx.io.ImageRecordIter(path_imgrec=folder + '/a.rec', data_shape=(3, 8, 8), batch_size=2,"
    " ctx='cpu', verbose=False).close()"
)
ROWS = "mx.io.CSVIter(data_csv=folder + '/a.csv', data_shape=(2,), batch_size=1).close()"


@pytest.mark.parametrize(
    ("module", "use"),
    [
        ("gpuio.io", RECORDS),
        ("gpuio.io.record", RECORDS),
        ("gpuio.kernels.plan.draw", RECORDS),
        ("gpuio.kernels.text", ROWS),
        ("gpuio.nd", "mx.cpu()"),
        ("cv2", "mx.image.imdecode(open(folder + '/a.png', 'rb').read())"),
        ("cv2", "mx.recordio.unpack_img(mx.recordio.MXRecordIO(folder + '/a.rec', 'r').read())"),
    ],
)
def test_a_child_finds_no_module_half_imported(module, use, tmp_path):
    image = np.zeros((8, 8, 3), np.uint8)
    record = recordio.pack_img((0, 1.0, 0, 0), image, img_fmt=".png")
    with recordio.MXRecordIO(str(tmp_path / "a.rec"), "w") as file:
        file.write(record)
    (tmp_path / "a.png").write_bytes(recordio.unpack(record)[1])
    (tmp_path / "a.csv").write_text("1,2\n")
    call = [sys.executable, "-c", IMPORTS, module, use, str(tmp_path)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "7\n", done.stderr
