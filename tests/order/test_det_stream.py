"""One stream through all records: every place is found again, whatever was asked for before."""

import numpy as np
import pytest

from gpuio.kernels.plan.layout import PLAN
from gpuio.kernels.plan.random_bits import mersenne_state
from gpuio.order import det_stream, replay
from gpuio.order.det_stream import DetStream

CHUNKS = ([(6, 3), (0, 4), (4, 2)], [(0, 4), (6, 3), (4, 2)])  # first row, records: even, odd pass


class FakeOrder:
    def chunks(self, pass_index):
        starts, lengths = np.array(CHUNKS[pass_index % 2]).T
        return starts, lengths


class Draws:
    """A generator that counts: a row's numbers are how many records were drawn before it."""

    def __init__(self):
        self.looked = 0

    def look(self, positions):
        self.looked += len(positions)
        ones = np.ones(len(positions), np.int32)
        return ones, ones, positions[:, None].astype(np.float32)

    def fill(self, state, heights, widths, passes, positions, labels):
        plan = np.zeros(len(heights), PLAN)
        plan["crop_x"] = state[1] + np.arange(len(heights))
        plan["crop_y"] = passes
        labels += 100
        state[1] += len(heights)
        return plan


def expected(pass_index):
    """Return how many records are drawn before each of a pass's nine records."""
    made, count = np.zeros(9, int), 9 * pass_index
    for first, length in CHUNKS[pass_index % 2]:
        made[first : first + length] = count + np.arange(length)
        count += length
    return made


@pytest.fixture
def draws():
    return Draws()


@pytest.fixture
def stream(draws):
    return DetStream(FakeOrder(), draws.look, draws.fill)


def ask(stream, passes, records):
    labels = np.zeros((len(records), 1), np.float32)
    plan = stream.draw(np.array(passes), np.array(records), labels)
    return plan["crop_x"].tolist(), labels[:, 0].tolist()


def test_the_first_state_is_mxnets(stream):
    assert np.array_equal(stream._chunks._first[1], mersenne_state(233))


def test_rows_of_any_order_and_two_passes_get_their_own_numbers(stream):
    passes, records = [0, 0, 1, 0, 1], [8, 1, 4, 5, 0]
    drawn, labels = ask(stream, passes, records)
    base = int(stream._chunks._first[1][1])
    assert [d - base for d in drawn] == [
        int(expected(p)[r]) for p, r in zip(passes, records, strict=True)
    ]
    assert labels == [100 + r for r in records]


def test_rows_without_a_record_stay_empty(stream):
    drawn, labels = ask(stream, [0, 1], [3, -1])
    assert drawn[1] == 0
    assert labels == [103, 0]


@pytest.mark.parametrize("kept", [1, 2, 64])
def test_jumps_give_what_a_walk_gives(draws, monkeypatch, kept):
    monkeypatch.setattr(replay, "_STATES_KEPT", kept)
    monkeypatch.setattr(det_stream, "_CHUNKS_KEPT", 1)
    stream = DetStream(FakeOrder(), draws.look, draws.fill)
    base = int(stream._chunks._first[1][1])
    for pass_index in (7, 0, 3, 3, 2, 9, 1):
        drawn, _ = ask(stream, [pass_index] * 9, range(9))
        assert [d - base for d in drawn] == expected(pass_index).tolist()


def test_a_walk_looks_at_each_record_once(stream, draws):
    for pass_index in range(5):
        for first, length in CHUNKS[pass_index % 2]:
            for row in range(first, first + length):
                ask(stream, [pass_index], [row])
    assert draws.looked == 45
