"""Ahead keeps order, stays within its depth, delivers errors in place, and leaves no thread."""

import gc
import subprocess
import sys
import threading
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuio.errors import ClosedError
from gpuio.pipeline.ahead import Ahead


def ours():
    return [t for t in threading.enumerate() if t.name.startswith("gpuio")]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 5))
def test_results_come_in_the_order_of_the_items(count, depth, workers):
    with Ahead(lambda x: x * x, range(count), depth=depth, workers=workers) as ahead:
        assert list(ahead) == [x * x for x in range(count)]
        assert list(ahead) == []
    assert ours() == []


def test_at_most_depth_results_wait():
    begun, lock = [], threading.Lock()
    full = threading.Event()

    def note(x):
        with lock:
            begun.append(x)
            if len(begun) == 5:
                full.set()
        return x

    with Ahead(note, range(100), depth=5, workers=3) as ahead:
        assert full.wait(30)
        assert next(ahead) == 0
        assert next(ahead) == 1
        assert len(begun) <= 5 + 2


def test_work_goes_on_in_parallel():
    meet = threading.Barrier(3, timeout=30)
    with Ahead(lambda _: meet.wait() >= 0, range(6), depth=6, workers=3) as ahead:
        assert list(ahead) == [True] * 6


@pytest.mark.parametrize("where", ["fn", "items"])
@pytest.mark.parametrize("workers", [1, 4])
def test_an_error_comes_at_its_place_and_ends_the_sequence(where, workers):
    def items():
        for x in range(10):
            if where == "items" and x == 6:
                raise KeyError("six")
            yield x

    def fn(x):
        if where == "fn" and x == 6:
            raise KeyError("six")
        return x

    ahead = Ahead(fn, items(), depth=4, workers=workers)
    assert [next(ahead) for _ in range(6)] == list(range(6))
    with pytest.raises(KeyError, match="six") as raised:
        next(ahead)
    assert raised.traceback[-1].name in ("fn", "items")
    assert list(ahead) == []
    ahead.close()
    assert ours() == []


def test_chained_stages_keep_the_order_and_both_stop():
    first = Ahead(lambda x: x + 1, range(1000), depth=3, workers=2)
    second = Ahead(lambda x: 10 * x, (x for x in first), depth=3, workers=3)
    assert [next(second) for _ in range(50)] == [10 * (x + 1) for x in range(50)]
    first.close()
    second.close()
    assert ours() == []


def test_dropping_the_last_stage_stops_every_stage():
    source = iter(int, 1)  # endless zeros
    ahead = Ahead(str, Ahead(abs, source, depth=2, workers=1), depth=2, workers=2)
    assert next(ahead) == "0"
    alive = weakref.ref(ahead)
    del ahead
    gc.collect()
    assert alive() is None
    assert ours() == []


def test_close_while_a_consumer_waits_frees_the_consumer():
    hold = threading.Event()
    ahead = Ahead(lambda _: hold.wait(30), range(3), depth=1, workers=1)
    outcome = []

    def consume():
        try:
            next(ahead)
        except ClosedError:
            outcome.append("closed")

    consumer = threading.Thread(target=consume, name="consumer")
    consumer.start()
    while not ahead._core.slots:
        threading.Event().wait(0.001)
    ahead._core.stop()
    consumer.join(30)
    hold.set()
    ahead.close()
    ahead.close()
    assert outcome == ["closed"]
    assert ours() == []


def test_a_closed_one_says_so():
    ahead = Ahead(str, range(3), depth=1, workers=1)
    ahead.close()
    with pytest.raises(ClosedError):
        next(ahead)


@pytest.mark.parametrize(("depth", "workers"), [(0, 1), (1, 0)])
def test_depth_and_workers_must_be_positive(depth, workers):
    with pytest.raises(ValueError, match="expected depth >= 1 and workers >= 1"):
        Ahead(str, [], depth=depth, workers=workers)


def test_a_thread_that_cannot_start_leaves_none_behind(monkeypatch):
    real, started = threading.Thread.start, []

    def start(self):
        started.append(self)
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start"):
        Ahead(str, range(9), depth=2, workers=4)
    monkeypatch.undo()
    assert ours() == []


@pytest.mark.parametrize("end", ["pass", "raise SystemExit(0)", "del ahead", "ahead.close()"])
def test_a_process_ends_with_one_still_open(end):
    code = (
        "from gpuio.pipeline.ahead import Ahead\n"
        "ahead = Ahead(str, Ahead(abs, iter(int, 1), depth=2, workers=1), depth=2, workers=2)\n"
        f"next(ahead)\n{end}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_forked_child_is_told_and_can_exit():
    code = (
        "import os\nfrom gpuio.pipeline.ahead import Ahead\nfrom gpuio.errors import ClosedError\n"
        "ahead = Ahead(str, range(100), depth=2, workers=2)\nnext(ahead)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    try:\n        next(ahead)\n"
        "    except ClosedError as e:\n        ok = 'fork' in str(e)\n"
        "    ahead.close()\n    os._exit(0 if ok else 1)\n"
        "print(os.waitpid(pid, 0)[1], next(ahead))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("0 1\n", "")
