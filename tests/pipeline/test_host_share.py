"""host_share="auto": found from samples alone, within 5 % of the best whatever disturbs them."""

import numpy as np
import pytest

from gpuio.backend import Sample
from gpuio.pipeline.host_share import find_share, rate

WORK, IMAGES = 64e6, 64  # of a batch
PIECE = 2e6  # of the host's work
THREADS, ENGINES = 8, 2


class Machine:
    """A machine of known rates; its clock is arithmetic.

    Parameters
    ----------
    engine, host : float    work per second of all engines, and of all threads
    shared : bool           the engines share what decodes: a call alone is as fast as two
    noise : float           standard deviation of a call's seconds, of themselves
    bad : float             probability that a call takes five times as long
    """

    def __init__(self, engine, host, shared=False, noise=0.0, bad=0.0, seed=0):
        self.engine, self.host, self.shared = engine, host, shared
        self.noise, self.bad, self.rng = noise, bad, np.random.default_rng(seed)
        self.asked, self.last = [], None

    def wall(self, share):
        """Seconds of a batch where both sides work at once."""
        return max((1 - share) * WORK / self.engine, share * WORK / self.host)

    def measure(self, share, batches):
        self.asked.append((share, batches))
        first, self.last = share != self.last, share
        alone = ENGINES
        if self.shared:
            alone = 1 + (ENGINES - 1) * ((1 - share) * WORK / self.engine) / self.wall(share)
        made = []
        for _ in range(batches):
            work = (1 - share) * WORK
            made.append(self.sample("engine", work, work * alone / self.engine))
            pieces = round(share * WORK / PIECE)
            made += [self.sample("host", PIECE, PIECE * THREADS / self.host) for _ in range(pieces)]
        if first:  # memory grows, kernels are compiled
            made = [one._replace(seconds=one.seconds + 3) for one in made]
        return made

    def sample(self, side, work, seconds):
        seconds *= np.exp(self.noise * self.rng.standard_normal())
        seconds *= 5 if self.rng.random() < self.bad else 1
        return Sample(side, round(work * IMAGES / WORK), work, seconds)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("times", [0.25, 0.5, 1, 2, 4])
def test_auto_is_within_a_twentieth_of_the_best_share(times, shared):
    host = 2e8
    for seed in range(20):
        machine = Machine(times * host, host, shared, noise=0.05, bad=0.1, seed=seed)
        share, why = find_share(machine.measure, THREADS, ENGINES)
        best = min(machine.wall(each / 1000) for each in range(1001))
        assert machine.wall(share) <= 1.05 * best, (seed, share)
    assert "images/s" in why


def test_both_sides_end_together_where_nothing_disturbs():
    for times in (0.25, 0.7, 1, 3, 4):
        for shared in (False, True):
            machine = Machine(times * 1e8, 1e8, shared)
            share, _ = find_share(machine.measure, THREADS, ENGINES)
            engine, host = (1 - share) * WORK / machine.engine, share * WORK / machine.host
            assert abs(engine - host) <= 0.03 * max(engine, host), (times, shared)


def test_what_is_measured_says_so():
    machine = Machine(3e8, 1e8)
    share, why = find_share(machine.measure, THREADS, ENGINES)
    assert share == 0.25
    assert why == (
        "the engine decodes 300 images/s, the host's cores 100, measured over 24 batches"
    )
    assert len({each for each, _ in machine.asked}) > 1
    assert sum(batches for _, batches in machine.asked) <= 30


def test_a_side_that_hardly_works_keeps_a_little():
    assert find_share(Machine(1e12, 1e6).measure, THREADS, ENGINES)[0] == 0.01
    assert find_share(Machine(1e6, 1e12).measure, THREADS, ENGINES)[0] == 0.99


def test_files_that_no_engine_takes_are_the_hosts():
    share, why = find_share(lambda *_: [Sample("host", 8, 1e6, 0.1)], THREADS, ENGINES)
    assert (share, why) == (1.0, "no image of the first batches is one for the engine")


def test_batches_too_small_to_be_divided_are_the_engines():
    share, why = find_share(lambda *_: [Sample("engine", 1, 1e6, 0.1)], THREADS, ENGINES)
    assert share == 0.01
    assert "too few" in why


def test_a_rate_is_the_mean_of_all_calls_but_those_that_were_interrupted():
    usual = [Sample("host", 2, 20.0, 1.5), Sample("host", 2, 20.0, 2.5)] * 3
    found = rate([*usual, Sample("host", 1, 10.0, 100.0)], "host", 3)
    assert found.work == pytest.approx(3 * 10)
    assert found.images == pytest.approx(3)
    assert rate(usual, "engine", 3) is None
    assert rate([Sample("host", 1, 10.0, 100.0)], "host", 1).work == pytest.approx(0.1)
