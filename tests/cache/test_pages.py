"""Memory is brought in before it is written, the way that costs less."""

import mmap
import resource

import numpy as np
import pytest

from gpuio.cache import pages
from gpuio.cache.host import HostMemory
from gpuio.cache.pages import HUGE, Pages

MIB = 1 << 20


@pytest.fixture
def piece():
    """Memory that nobody has touched: its first byte's address, a multiple of huge pages."""
    memory = mmap.mmap(-1, 40 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    whole = np.frombuffer(memory, np.uint8)
    return whole, -(-whole.ctypes.data // HUGE) * HUGE


@pytest.fixture
def advised(monkeypatch):
    """What the system is told, instead of telling it; and what each way takes per step."""
    told, cost, clock = [], {True: 1.0, False: 1.0}, [0.0]

    def advise(start, nbytes, advice):
        told.append((start, nbytes, advice))
        if advice != pages.mmap.MADV_HUGEPAGE:
            huge = told[-2:-1] == [(start, nbytes, pages.mmap.MADV_HUGEPAGE)]
            clock[0] += nbytes * cost[huge]
        return True

    monkeypatch.setattr(pages, "_advise", advise)
    monkeypatch.setattr(pages.time, "thread_time", lambda: clock[0])
    return told, cost


def test_what_was_reached_is_written_without_faults(piece):
    whole, begin = piece
    Pages(huge=True).reach(begin, begin + 20 * MIB, begin + 32 * MIB)
    first = begin - whole.ctypes.data
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    whole[first : first + 20 * MIB] = 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 50


@pytest.mark.parametrize(("huge", "small", "most"), [(1, 3, True), (5, 4, True), (4, 1, False)])
def test_the_cheaper_way_is_taken_and_the_other_tried_again(advised, huge, small, most):
    told, cost = advised
    cost[True], cost[False] = huge, small
    begin = 64 * HUGE
    Pages(huge=True).reach(begin, begin + 600 * MIB, begin + 600 * MIB)
    populated = [(start, nbytes) for start, nbytes, way in told if way == pages._POPULATE_WRITE]
    at = begin
    for start, nbytes in populated:  # one behind the other, no byte twice
        assert start == at
        at += nbytes
    assert at == begin + 600 * MIB
    taken = len([1 for _, _, way in told if way == mmap.MADV_HUGEPAGE])
    other = len(populated) - taken if most else taken
    assert 2 < other < len(populated) / 8


def test_of_a_little_that_is_used_little_is_brought_in(advised):
    told, _ = advised
    begin = 64 * HUGE
    asked = Pages(huge=True)
    for stop in range(1000, 400_000, 1000):
        asked.reach(begin, begin + stop, begin + 64 * MIB)
    assert sum(nbytes for _, nbytes, _ in told) < 1_000_000


def test_a_system_that_cannot_is_asked_once(monkeypatch):
    told = []
    monkeypatch.setattr(pages, "_advise", lambda *args: told.append(args))
    memory = HostMemory(10, 1 << 30)
    for _ in range(3):
        places = memory.take(*np.array([[64], [5 * MIB], [0]]))
    assert len(told) == 1
    assert places[0] > 0
    memory.close()
