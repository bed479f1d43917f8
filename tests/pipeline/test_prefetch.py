"""Order, bounds, errors and, above all, that no thread is left behind."""

import collections
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuio.errors import ClosedError, OptionError
from gpuio.pipeline.prefetch import Prefetcher

PATIENCE_S = 60.0  # of a test that would wait for ever


def ours():
    """Return the look-ahead's living threads."""
    return [t for t in threading.enumerate() if t.name.startswith("ahead-test")]


def ahead(fn, items, depth=4, workers=2):
    return Prefetcher(fn, items, depth=depth, workers=workers, name="ahead-test")


def none_within_patience():
    """Wait until the threads that were told to stop have stopped."""
    for thread in ours():
        thread.join(PATIENCE_S)
    return not ours()


def until(condition):
    """Wait until a thread has come so far; return what the condition is then."""
    ends = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < ends:
        time.sleep(0.001)
    return condition()


@pytest.fixture(autouse=True)
def _nothing_is_left():
    yield
    gc.collect()
    assert none_within_patience()


@settings(deadline=None, max_examples=60)
@given(count=st.integers(0, 40), depth=st.integers(1, 9), workers=st.integers(1, 5))
def test_results_come_in_the_order_of_the_items(count, depth, workers):
    assert list(ahead(lambda x: x * x, range(count), depth, workers)) == [
        x * x for x in range(count)
    ]


def test_a_slow_early_item_does_not_change_the_order():
    second_is_done = threading.Event()

    def fn(x):
        if x == 0:
            assert second_is_done.wait(PATIENCE_S)
        if x == 1:
            second_is_done.set()
        return x

    assert list(ahead(fn, range(10))) == list(range(10))


def test_several_workers_work_at_once():
    meeting = threading.Barrier(3)
    got = list(ahead(lambda x: (meeting.wait(PATIENCE_S), x)[1], range(9), depth=3, workers=3))
    assert got == list(range(9))


@pytest.mark.parametrize("depth", [1, 3])
def test_at_most_depth_items_are_pulled_and_not_handed_out(depth):
    pulled = []
    idle = threading.Semaphore(0)

    def items():
        for x in range(20):
            pulled.append(x)
            yield x

    def fn(x):
        idle.release()
        return x

    with ahead(fn, items(), depth, workers=2) as it:
        for taken in range(5):
            for _ in range(depth if taken == 0 else 1):
                assert idle.acquire(timeout=PATIENCE_S)
            assert not idle.acquire(timeout=0.02)
            assert len(pulled) == depth + taken
            assert next(it) == taken


def test_items_are_pulled_one_at_a_time_and_not_on_the_consumer():
    inside = threading.Lock()
    where = set()

    class Items:
        left = 50

        def __iter__(self):
            return self

        def __next__(self):
            assert inside.acquire(blocking=False)
            where.add(threading.current_thread())
            inside.release()
            self.left -= 1
            if self.left < 0:
                raise StopIteration
            return self.left

    assert len(list(ahead(lambda x: x, Items(), workers=4))) == 50
    assert threading.current_thread() not in where


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_of_the_function_comes_at_its_place_and_ends_the_sequence(workers):
    def fn(x):
        if x == 5:
            raise KeyError("five")
        return x

    it = ahead(fn, range(100), depth=4, workers=workers)
    assert [next(it) for _ in range(5)] == list(range(5))
    with pytest.raises(KeyError, match="five") as caught:
        next(it)
    assert caught.traceback[-1].name == "fn"
    assert ours() == []
    with pytest.raises(StopIteration):
        next(it)


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_of_the_items_comes_at_its_place_and_ends_the_sequence(workers):
    def items():
        yield from range(3)
        raise OSError("disk gone")

    it = ahead(lambda x: x, items(), workers=workers)
    assert [next(it) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="disk gone"):
        next(it)
    assert ours() == []
    assert list(it) == []


def test_stop_iteration_raised_by_the_function_is_no_silent_end():
    def fn(x):
        raise StopIteration

    with pytest.raises(RuntimeError, match="raised StopIteration"):
        next(ahead(fn, range(3)))


def test_an_error_is_freed_without_the_garbage_collector():
    class LoudError(Exception):
        pass

    def fn(x):
        raise LoudError

    gc.collect()
    gc.disable()
    try:
        it = ahead(fn, range(3))
        try:
            next(it)
        except LoudError as error:
            gone = weakref.ref(error)
        del it
        assert gone() is None
    finally:
        gc.enable()


def test_the_end_is_the_end_for_good():
    it = ahead(lambda x: x, range(3))
    assert list(it) == [0, 1, 2]
    assert ours() == []
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(it)
    it.close()
    assert list(it) == []


def test_close_joins_and_next_says_so():
    it = ahead(lambda x: x, iter(int, 1))
    assert next(it) == 0
    it.close()
    assert ours() == []
    it.close()
    with pytest.raises(ClosedError):
        next(it)


def test_with_closes():
    with ahead(lambda x: x, iter(int, 1)) as it:
        assert next(it) == 0
        assert ours() != []
    assert ours() == []


def test_dropping_the_iterator_stops_its_threads():
    it = ahead(lambda x: x, iter(int, 1))
    assert next(it) == 0
    del it
    assert ours() == []


def test_an_early_break_leaves_no_thread():
    def loop():
        for x in ahead(lambda x: x, range(1000)):
            if x == 3:
                return x
        return None

    assert loop() == 3
    assert ours() == []


def test_dropping_in_a_reference_cycle_stops_the_threads():
    class Trainer:
        pass

    gc.disable()  # any thread may begin a collection
    try:
        trainer = Trainer()
        trainer.me, trainer.it = trainer, ahead(lambda x: x, iter(int, 1))
        del trainer
        assert ours() != []
    finally:
        gc.enable()
    gc.collect()
    assert none_within_patience()


@pytest.mark.parametrize("links", [1, 2, 3])
def test_a_collection_on_a_worker_thread_does_not_deadlock(links):
    class Trainer:
        pass

    collected, dropped = threading.Event(), threading.Event()

    def items():
        yield 0
        assert dropped.wait(PATIENCE_S)
        gc.collect()
        collected.set()
        yield 1

    gc.disable()
    try:
        trainer, chain = Trainer(), items()
        for _ in range(links):  # the last link's worker waits for the first one's, which collects
            chain = ahead(lambda x: x, chain, workers=1)
        trainer.me, trainer.it = trainer, chain
        assert next(chain) == 0
        del trainer, chain
        dropped.set()
        assert collected.wait(PATIENCE_S)
        assert none_within_patience()
    finally:
        gc.enable()


def test_results_that_were_not_taken_are_dropped_at_close():
    class Result:
        pass

    made = []

    def fn(x):
        result = Result()
        made.append(weakref.ref(result))
        ready.release()
        return result

    ready = threading.Semaphore(0)
    it = ahead(fn, range(10), depth=3)
    for _ in range(3):
        assert ready.acquire(timeout=PATIENCE_S)
    it.close()
    assert [ref() for ref in made] == [None] * len(made)


def test_an_idle_worker_keeps_no_result_alive():
    class Result:
        pass

    it = ahead(lambda x: Result(), range(100), depth=1, workers=1)
    refs = [weakref.ref(next(it)) for _ in range(5)]
    # the worker is on its way from handing out the last one to waiting
    assert until(lambda: [ref() for ref in refs] == [None] * 5)
    it.close()


def test_close_wakes_a_consumer_in_another_thread():
    release = threading.Event()
    waiting = threading.Event()
    seen = []

    def fn(x):
        waiting.set()
        assert release.wait(PATIENCE_S)
        return x

    it = ahead(fn, range(5), depth=1, workers=1)

    def consume():
        try:
            next(it)
        except ClosedError as error:
            seen.append(error)

    consumer = threading.Thread(target=consume)
    consumer.start()
    assert waiting.wait(PATIENCE_S)
    closer = threading.Thread(target=it.close)
    closer.start()
    while not it._machine._closed:
        closer.join(0.001)
    release.set()
    for thread in (consumer, closer):
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert len(seen) == 1
    with pytest.raises(ClosedError):
        next(it)


def test_close_from_many_threads_at_once():
    for _ in range(20):
        it = ahead(lambda x: x, range(1000), depth=8, workers=3)
        closers = [threading.Thread(target=it.close) for _ in range(4)]
        for thread in closers:
            thread.start()
        for _ in range(5):
            try:
                next(it)
            except ClosedError:
                break
        for thread in closers:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        assert ours() == []


def test_the_function_may_close_its_own_look_ahead():
    box = []
    there = threading.Event()

    def fn(x):
        assert there.wait(PATIENCE_S)
        box.pop().close() if box else None
        return x

    it = ahead(fn, iter(int, 1), workers=3)
    box.append(it)
    there.set()
    with pytest.raises(ClosedError):
        list(it)
    assert none_within_patience()


def test_a_chain_is_in_order_and_closes_from_its_end():
    first = ahead(lambda x: x + 1, range(50), depth=2, workers=1)
    second = ahead(lambda x: x * 2, first, depth=3, workers=2)
    assert [next(second) for _ in range(3)] == [2, 4, 6]
    second.close()
    assert ours() == []
    with pytest.raises(ClosedError):
        next(first)


def test_a_chain_stops_when_its_end_is_dropped():
    second = ahead(lambda x: x, ahead(lambda x: x, iter(int, 1)))
    assert next(second) == 0
    del second
    assert none_within_patience()


def test_closing_the_first_link_by_itself_wakes_the_second():
    release = threading.Event()
    first = ahead(lambda x: release.wait(PATIENCE_S), range(5), depth=1, workers=1)

    def wrapped():
        yield from first

    second = ahead(lambda x: x, wrapped(), depth=1, workers=1)
    closer = threading.Thread(target=first.close)
    closer.start()
    assert until(lambda: first._machine._closed)
    release.set()
    closer.join(PATIENCE_S)
    with pytest.raises(ClosedError):
        list(second)
    assert ours() == []


def test_a_generator_is_closed_with_its_reader():
    closed = threading.Event()

    def items():
        try:
            yield from range(100)
        finally:
            closed.set()

    it = ahead(lambda x: x, items())
    next(it)
    it.close()
    assert closed.is_set()


@pytest.mark.parametrize("bad", [{"depth": 0, "workers": 1}, {"depth": 1, "workers": 0}])
def test_depth_and_workers_are_at_least_one(bad):
    with pytest.raises(OptionError, match="expected at least 1"):
        Prefetcher(abs, [], **bad)


def test_threads_are_named_and_no_daemons():
    with ahead(lambda x: x, iter(int, 1), depth=2, workers=2):
        assert sorted(t.name for t in ours()) == ["ahead-test-0", "ahead-test-1"]
        assert not any(t.daemon for t in ours())


def test_an_interrupt_while_waiting_loses_nothing():
    release = threading.Event()
    it = ahead(lambda x: (release.wait(PATIENCE_S), x)[1], range(3), depth=1, workers=1)

    def interrupt():
        if until(it._machine._turn.locked):  # the consumer waits, until the release
            os.kill(os.getpid(), signal.SIGINT)

    def wait():
        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            next(it)
        finally:
            thread.join()

    with pytest.raises(KeyboardInterrupt):
        wait()
    release.set()
    assert list(it) == [0, 1, 2]


def alive(count):
    """Wait until so many threads live."""
    until(lambda: len(ours()) == count)
    return len(ours())


@pytest.mark.parametrize("steps", [[1, 4, 2, 3, 1], [3, 3, 1, 1, 4], [4, 1, 4, 1, 4]])
def test_another_number_of_threads_changes_no_result(steps):
    with ahead(lambda x: x * x, range(300), depth=5, workers=2) as it:
        got = []
        for number in range(300):
            if number % 60 == 0:
                assert it.resize(steps[number // 60]) == it.workers == steps[number // 60]
            got.append(next(it))
        assert got == [x * x for x in range(300)]


def test_threads_are_added_and_leave():
    with ahead(lambda x: x, iter(int, 1), depth=4, workers=2) as it:
        it.resize(4)
        assert alive(4) == 4
        it.resize(1)
        for _ in range(20):  # they leave when they come by
            next(it)
        assert alive(1) == 1
        it.resize(9)  # more than depth would idle
        assert it.workers == 4
        assert alive(4) == 4
    assert ours() == []


def test_added_threads_work_at_once():
    meeting = threading.Barrier(3)
    it = ahead(lambda x: (meeting.wait(PATIENCE_S), x)[1], range(9), depth=3, workers=1)
    it.resize(3)
    assert list(it) == list(range(9))


def test_a_number_below_one_is_refused_and_a_closed_one_gets_no_threads():
    it = ahead(lambda x: x, iter(int, 1), workers=2)
    with pytest.raises(OptionError, match="workers=0: expected at least 1"):
        it.resize(0)
    it.close()
    it.resize(4)
    assert ours() == []


def test_where_the_system_starts_no_more_those_there_are_go_on(monkeypatch):
    it = ahead(lambda x: x, iter(int, 1), depth=4, workers=2)

    def refused(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert it.resize(4) == it.workers == 2
    monkeypatch.undo()
    assert [next(it) for _ in range(10)] == [0] * 10
    assert it.resize(3) == 3
    it.close()


def test_resizing_while_another_thread_closes_leaves_nothing():
    for _ in range(20):
        it = ahead(lambda x: x, range(1000), depth=8, workers=2)
        closer = threading.Thread(target=it.close)
        closer.start()
        for workers in (4, 1, 8, 2):
            it.resize(workers)
        closer.join(PATIENCE_S)
        assert not closer.is_alive()
        assert none_within_patience()


def test_what_is_ready_is_counted_from_the_first_place_on():
    release = threading.Event()
    done = threading.Semaphore(0)

    def fn(x):
        if x == 1:
            assert release.wait(PATIENCE_S)
        done.release()
        return x

    with ahead(fn, range(10), depth=4, workers=3) as it:
        for _ in range(3):
            assert done.acquire(timeout=PATIENCE_S)
        assert until(lambda: [cell.done for cell in it._machine._pending].count(True) == 3)
        assert it.ready == 1  # 2 and 3 wait behind 1
        release.set()
        assert until(lambda: it.ready == 4)
        assert next(it) == 0


def run_script(body):
    """Run a script in a fresh interpreter; return what it printed."""
    script = "from gpuio.pipeline.prefetch import Prefetcher\n" + textwrap.dedent(body)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_interpreter_exits_though_nobody_closed():
    assert run_script("""
        first = Prefetcher(abs, iter(int, 1), depth=2, workers=1)
        it = Prefetcher(abs, first, depth=2, workers=2)
        print(next(it))
    """) == (0, "0\n", "")


def test_the_interpreter_exits_after_an_uncaught_error_with_the_iterator_in_the_traceback():
    code, out, err = run_script("""
        def main():
            it = Prefetcher(abs, iter(int, 1), depth=2, workers=2)
            next(it)
            raise SystemError("user's own")
        main()
    """)
    assert code == 1
    assert out == ""
    assert err.endswith("SystemError: user's own\n")


def test_the_interpreter_exits_on_an_interrupt_while_waiting():
    code, _, err = run_script("""
        import os, signal, threading
        block = threading.Event()
        def fn(x):
            os.kill(os.getpid(), signal.SIGINT)
            block.wait(0.5)
            return x
        it = Prefetcher(fn, iter(int, 1), depth=1, workers=1)
        next(it)
    """)
    assert code in (1, -signal.SIGINT)
    assert "KeyboardInterrupt" in err


def test_a_forked_child_is_told_and_exits():
    code, out, err = run_script("""
        import os, sys, warnings
        warnings.simplefilter("ignore")
        it = Prefetcher(abs, iter(int, 1), depth=2, workers=2)
        next(it)
        child = os.fork()
        if child == 0:
            try:
                next(it)
            except Exception as error:
                print(type(error).__name__, flush=True)
            it.close()
            sys.exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print(next(it))
    """)
    assert (code, out, err) == (0, "ClosedError\n7\n0\n", "")


def test_an_item_costs_little():
    """Processor time, for waiting costs what others leave; 1.0 times as much as Python's pool."""
    costs = [(_used(_ours), _used(_pools)) for _ in range(5)]
    assert min(one for one, _ in costs) < 3 * min(other for _, other in costs), costs


def _used(work, count=10_000):
    begun = time.process_time()
    assert work(count) == count
    return time.process_time() - begun


def _ours(count):
    return sum(1 for _ in ahead(abs, range(count), depth=8, workers=2))


def _pools(count):
    with ThreadPoolExecutor(2) as pool:
        taken, futures = 0, collections.deque(pool.submit(abs, x) for x in range(8))
        while futures:
            futures.popleft().result()
            taken += 1
            if taken + 8 <= count:
                futures.append(pool.submit(abs, taken))
    return taken
