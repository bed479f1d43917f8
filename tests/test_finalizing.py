"""Inside of a garbage collection nobody waits for a thread for ever."""

import gc
import subprocess
import sys
import threading
import time

import pytest

from gpuio import finalizing
from gpuio.pipeline.prefetch import Prefetcher
from support.forks import forked
from support.leaks import threads
from support.making import jpeg, photo, write_rec

COLLECTED = """
import gc, sys, threading, time
import gpuio as mx
from gpuio.backend.cpu import CpuBackend
from gpuio.pipeline.prefetch import Prefetcher

mine, begun, make, hold = threading.Lock(), threading.Event(), CpuBackend.make, []

def wait(*given):
    if hold:
        begun.set()
        with mine:  # of a log, a queue, or Python's own of threads
            pass
    return make(*given) if len(given) > 1 else given

CpuBackend.make = wait
before = threading.active_count()
if sys.argv[1] == "look-ahead":
    hold.append(1)
    mine.acquire()
    made = [Prefetcher(wait, iter(range(9)), depth=3, workers=2)]
else:
    made = [mx.io.ImageRecordIter(path_imgrec=sys.argv[1], data_shape=(3, 99, 99), batch_size=20,
        resize=99, ctx="cpu", verbose=False)]
    made[0].next()
    while made[0]._machine().pipeline._stream.ready[1] < 1:
        time.sleep(0.01)
    hold.append(1)
    mine.acquire()
    made[0].next()
assert begun.wait(100)
made.append(made)
del made
if sys.argv[2] == "cleared":
    gc.callbacks.clear()
gc.collect()  # a collection begins anywhere: here, too, where the lock is held
print("collected", flush=True)
mine.release()
ends = time.monotonic() + 100
while threading.active_count() > before and time.monotonic() < ends:
    time.sleep(0.01)
print([one.name for one in threading.enumerate()][before:])
"""


@pytest.mark.parametrize(
    ("kind", "callbacks"),
    [
        ("look-ahead", "as they are"),
        ("iterator", "as they are"),
        ("look-ahead", "cleared"),
    ],
)
def test_a_collection_does_not_wait_for_ever(tmp_path, kind, callbacks):
    blobs = [jpeg(photo(20, 20, number)) for number in range(40)]
    given = kind if kind == "look-ahead" else write_rec(tmp_path, blobs)[0]
    call = [sys.executable, "-c", COLLECTED, given, callbacks]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.splitlines() == ["collected", "[]"], done.stderr


def test_what_is_dropped_outside_of_a_collection_is_closed_at_once():
    before = threads()
    made = Prefetcher(lambda item: item, iter(range(9)), depth=3, workers=2)
    assert next(made) == 0
    gc.disable()
    try:
        del made
    finally:
        gc.enable()
    assert not threads() - before


def test_a_call_closes_at_once_though_nobody_tells_of_collections(monkeypatch):
    class Owner:
        pass

    def fail():
        raise OSError(threading.get_ident())

    owner = Owner()
    close = finalizing.finalize(owner, fail)
    monkeypatch.setattr(gc, "callbacks", [])
    with pytest.raises(OSError, match=f"^{threading.get_ident()}$"):
        close()


def test_a_worker_that_collects_does_not_wait_for_itself(monkeypatch):
    monkeypatch.setattr(finalizing, "_PATIENCE_S", 60.0)
    go, done, seconds = threading.Event(), threading.Event(), []

    def collect(item):
        assert go.wait(60)
        begun = time.monotonic()
        gc.collect()
        seconds.append(time.monotonic() - begun)
        done.set()
        return item

    gc.disable()
    try:
        made = [Prefetcher(collect, iter(range(3)), depth=1, workers=1)]
        made.append(made)
        del made
        go.set()
        assert done.wait(100)
    finally:
        gc.enable()
    finalizing.finish()
    assert seconds[0] < 30


def test_a_worker_that_collects_may_call_close_of_what_waits_for_it():
    class Holder:  # as users write them
        def __init__(self, made):
            self.made, self.itself = made, self

        def __del__(self):
            self.made.close()
            closed.set()

    go, closed = threading.Event(), threading.Event()

    def collect(item):
        assert go.wait(60)
        gc.collect()
        return item

    gc.disable()
    try:
        inner = Prefetcher(collect, iter(range(3)), depth=1, workers=1)
        holder = Holder(Prefetcher(lambda item: item, (one for one in inner), depth=1, workers=1))
        del inner, holder
        go.set()
        assert closed.wait(60)
    finally:
        gc.enable()
    finalizing.finish()


def test_what_was_put_off_is_waited_for_at_the_end(monkeypatch):
    go, seen = threading.Event(), []

    class Owner:
        pass

    owner = Owner()
    monkeypatch.setattr(finalizing, "_PATIENCE_S", 0.01)
    finalizing.finalize(owner, lambda: (go.wait(60), seen.append(1)))
    owner.itself = owner
    del owner
    gc.collect()
    assert not seen
    go.set()
    finalizing.finish()
    assert seen == [1]


def test_a_collection_that_drops_much_waits_as_long_as_one_that_drops_little(monkeypatch):
    go, waited, seconds = threading.Event(), [], 0.5

    class Owner:
        pass

    monkeypatch.setattr(finalizing, "_PATIENCE_S", seconds)
    gc.collect()
    gc.disable()
    try:
        for _ in range(40):
            owner = Owner()
            finalizing.finalize(owner, lambda: (go.wait(60), waited.append(1)))
            owner.itself = owner
        del owner
        begun = time.monotonic()
        gc.collect()
        taken = time.monotonic() - begun
    finally:
        gc.enable()
        go.set()
    finalizing.finish()
    assert len(waited) == 40
    assert taken < 20 * seconds


def test_a_forked_child_does_not_wait_for_what_its_parent_has_put_off():
    code = """
import gc, os, threading, time, warnings
from gpuio import finalizing

class Owner: pass

warnings.simplefilter("ignore")
finalizing._PATIENCE_S, go, owner = 0.01, threading.Event(), Owner()
finalizing.finalize(owner, lambda: go.wait(200))
owner.itself = owner
del owner
gc.collect()
child = os.fork()
if not child:
    finalizing.finish()
    os._exit(7)
ends = time.monotonic() + 100
done, status = 0, 0
while not done and time.monotonic() < ends:
    done, status = os.waitpid(child, os.WNOHANG)
    time.sleep(0.01)
go.set()
if not done:
    os.kill(child, 9)
print(done == child, os.waitstatus_to_exitcode(status))
"""
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "True 7\n", done.stderr


@pytest.mark.parametrize("mine", [True, False])
def test_a_forked_child_knows_whether_its_thread_collects(mine):
    told = []

    class Owner:
        def __del__(self):
            begun.set()
            if mine:
                told.append(forked(finalizing.collects))
            else:
                may.wait(60)

    def collect():
        owner = Owner()
        owner.itself = owner
        del owner
        gc.collect()

    begun, may = threading.Event(), threading.Event()
    gc.disable()  # no other thread is to find the owner
    thread = threading.Thread(target=collect)
    try:
        finalizing.finalize(threading.Event(), lambda: None)  # from now on collections are noted
        thread.start()
        assert begun.wait(60)
        if not mine:
            assert finalizing._collector == thread.ident
            told.append(forked(lambda: finalizing._collector == 0))
    finally:
        may.set()
        thread.join(60)
        gc.enable()
    assert told == [0]
