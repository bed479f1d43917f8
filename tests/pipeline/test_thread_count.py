"""The number of threads follows what was measured, a step at a time, and stays where it is good."""

import pytest

from gpuio.pipeline.thread_count import ThreadCount


class Machine:
    """A consumer and threads that make a batch in `cost` seconds each, on `cores` cores."""

    def __init__(self, cost, step, cores, start, most):
        self.cost, self.step, self.cores = cost, step, cores
        self.count = ThreadCount(start, most)
        self.now = self.wait_s = self.make_s = 0.0
        self.batches = 0

    def run(self, seconds):
        """Let the consumer take batches for so long; return the threads at each."""
        seen = []
        ends = self.now + seconds
        while self.now < ends:
            threads = self.count.threads
            at_once = min(threads, self.cores)
            takes = max(self.step, self.cost / at_once)
            self.now += takes
            self.wait_s += takes - self.step
            self.make_s += min(self.cost * max(1, threads / self.cores), takes * threads)
            self.batches += 1
            seen.append(self.count.look(self.now, self.wait_s, self.make_s, self.batches))
        return seen


def test_threads_that_are_busy_get_more_until_the_consumer_waits_no_more():
    machine = Machine(cost=0.05, step=0.0105, cores=16, start=1, most=16)
    seen = machine.run(30)
    assert seen[0] == 1
    assert set(seen[len(seen) // 2 :]) == {5}


def test_more_threads_than_cores_are_tried_once_and_taken_back():
    machine = Machine(cost=0.05, step=0.0, cores=4, start=2, most=16)
    seen = machine.run(20)
    assert max(seen) <= 6
    assert seen[-1] == 4
    assert seen.count(4) > 0.7 * len(seen)


def test_never_more_than_may_be():
    assert max(Machine(0.05, 0.0, cores=64, start=1, most=3).run(20)) == 3


def test_threads_that_idle_become_fewer_and_the_consumer_still_does_not_wait():
    machine = Machine(cost=0.01, step=0.02, cores=8, start=8, most=8)
    seen = machine.run(60)
    assert seen[-1] <= 2
    assert machine.wait_s == 0


def test_waiting_for_something_else_changes_nothing():
    count = ThreadCount(4, 8)
    for number in range(1, 100):  # the consumer waits, and the threads do next to nothing
        assert count.look(number * 0.1, number * 0.08, number * 0.01, number) == 4


@pytest.mark.parametrize("pauses", [True, False])
def test_time_in_which_nobody_asked_says_nothing(pauses):
    count, now = ThreadCount(4, 8), 0.0
    for number in range(1, 60):
        if number % 10 == 0:
            now += 60  # of validation
            if pauses:
                count.pause()
        now += 0.1
        count.look(now, 0.06 * number, 0.3 * number, number)
    # threads that were not idle, but for the pause
    assert (count.threads == 4) == pauses
