"""Results are those of the whole chain of draws, whatever was asked for before and is kept."""

import numpy as np
import pytest

from gpuio.order import replay
from gpuio.order.replay import Replay


class Chain:
    """A chain of draws: the state before key k is k squares' sum; counts what is called."""

    def __init__(self, kept=3):
        self.drawn, self.made = [], []
        self.replay = Replay(0, 0, self.draw, self.make, kept=kept)

    def draw(self, key, state):
        self.drawn.append(key)
        return (key, state), state + key * key, key + 1

    def make(self, drawn):
        self.made.append(drawn[0])
        return drawn


def expected(key):
    return key, sum(k * k for k in range(key))


@pytest.mark.parametrize("states", [1, 2, 64])
@pytest.mark.parametrize("kept", [1, 3])
def test_results_do_not_depend_on_what_was_asked_before(monkeypatch, states, kept):
    monkeypatch.setattr(replay, "_STATES_KEPT", states)
    chain = Chain(kept)
    for key in np.random.default_rng(states).integers(0, 30, 200).tolist():
        assert chain.replay.result(key) == expected(key)


def test_only_what_is_asked_for_is_made_and_it_is_kept():
    chain = Chain(kept=2)
    for key in (5, 5, 6, 5):
        chain.replay.result(key)
    assert (chain.made, chain.drawn) == ([5, 6], [0, 1, 2, 3, 4, 5, 6])
    chain.replay.result(7)  # the third: 5, the oldest, goes
    chain.replay.result(5)
    assert chain.made == [5, 6, 7, 5]
    assert chain.drawn[7:] == [7, 5]  # from the state that is kept


def test_a_state_that_was_dropped_is_found_again_from_the_start(monkeypatch):
    monkeypatch.setattr(replay, "_STATES_KEPT", 2)
    chain = Chain(kept=1)
    chain.replay.result(9)
    chain.drawn.clear()
    assert chain.replay.result(3) == expected(3)
    assert chain.drawn == [0, 1, 2, 3]


def test_a_replay_that_takes_long_says_so_once(monkeypatch, caplog):
    made = Replay(0, 0, lambda key, state: (key, state, key + 1), str, kept=1)
    made.result(50)
    assert not caplog.records
    monkeypatch.setattr(replay, "_LONG_S", -1.0)
    made.result(90)
    assert [record.name for record in caplog.records] == ["gpuio"]
    assert "drawing every pass before it; at pass 52 of 90" in caplog.text
