"""A fork waits for threads between their items, and locks are free in the child."""

import contextlib
import os
import threading
import time
import warnings

import pytest

from gpuio import forking
from gpuio.forking import lock, waiting, working
from gpuio.pipeline.prefetch import Prefetcher


def forked(child):
    """Return what a function says in a forked child: 0 for true."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
        pid = os.fork()
    if pid == 0:
        outcome = 9
        with contextlib.suppress(BaseException):
            outcome = 0 if child() else 1
        os._exit(outcome)
    return os.waitpid(pid, 0)[1]


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
