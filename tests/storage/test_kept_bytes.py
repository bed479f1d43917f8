"""Small remote files stay in memory: each byte comes once, within the cap, of one version."""

import gc
import threading

import numpy as np
import pytest

from gpuio.storage import kept_bytes
from gpuio.storage.kept_bytes import KeptBytes, keep
from gpuio.storage.stores import Version

DATA = np.random.default_rng(0).integers(0, 256, 300_001, np.uint8)


class Source:
    """What bytes are fetched from; it notes what was asked for."""

    def __init__(self):
        self.asked, self.fails = [], 0

    def fetch(self, pieces):
        for low, high, memory in pieces:
            self.asked.append((low, high))
            if self.fails:
                self.fails -= 1
                raise OSError("no")
            memory[:] = DATA[low:high]

    def count(self):
        """Return how often each byte was asked for."""
        made = np.zeros(len(DATA), int)
        for low, high in self.asked:
            made[low:high] += 1
        return made


def taken(kept, source, lows, highs, gap=0, cap=1 << 20):
    held = kept.take(lows, highs, gap, cap, source.fetch)
    for low, high in zip(lows, highs, strict=True):
        np.testing.assert_array_equal(held[low:high], DATA[low:high])


def test_ranges_in_any_order_are_fetched_once():
    kept, source, rng = KeptBytes(len(DATA)), Source(), np.random.default_rng(1)
    for _ in range(60):
        lows = np.sort(rng.integers(0, len(DATA), 20))
        taken(kept, source, lows, np.minimum(lows + rng.integers(0, 9000, 20), len(DATA)))
    assert source.count().max() == 1
    taken(kept, source, [0], [len(DATA)])
    assert (source.count() == 1).all()
    asked = len(source.asked)
    taken(kept, source, [5, len(DATA) - 1], [6, len(DATA)])
    assert len(source.asked) == asked


def test_near_ranges_are_one_request_unless_what_lies_between_is_there():
    kept, source = KeptBytes(len(DATA)), Source()
    taken(kept, source, [40_960], [40_961])
    taken(kept, source, [0, 16_384, 81_920], [1, 16_385, 81_921], gap=50_000)
    assert source.asked == [(40_960, 45_056), (0, 20_480), (81_920, 86_016)]
    source.asked.clear()
    taken(kept, source, [100_000], [300_001], cap=65_536)
    assert [high - low for low, high in source.asked] == [65_536, 65_536, 65_536, 5089]


def test_what_failed_is_fetched_again():
    kept, source = KeptBytes(len(DATA)), Source()
    source.fails = 1
    with pytest.raises(OSError, match="no"):
        taken(kept, source, [10], [20])
    taken(kept, source, [10], [20])
    assert source.asked == [(0, 4096)] * 2


def test_a_thread_waits_for_what_another_fetches():
    kept, source = KeptBytes(len(DATA)), Source()
    began, goes_on = threading.Event(), threading.Event()

    def slowly(pieces):
        began.set()
        assert goes_on.wait(60)
        source.fetch(pieces)

    first = threading.Thread(target=kept.take, args=([0], [5000], 0, 1 << 20, slowly))
    first.start()
    assert began.wait(60)
    second = threading.Thread(target=taken, args=(kept, source, [4000, 9000], [4100, 9001]))
    second.start()
    while (8192, 12_288) not in source.asked:
        second.join(0.001)
    goes_on.set()
    first.join(60)
    second.join(60)
    assert sorted(source.asked) == [(0, 8192), (8192, 12_288)]


class Owner:
    """Who has a file open."""


def test_all_files_together_keep_no_more_than_the_cap():
    assert kept_bytes._kept == {}
    one, other = Owner(), Owner()

    def kept(owner, name, size=60, etag="x"):
        return keep(owner, f"s3://b/{name}", Version(size, etag), 100)

    memory, let_go = kept(one, "one")
    same, leave = kept(other, "one")
    assert same is memory
    assert kept(one, "one", etag="y") is None  # another version is another file
    assert kept(one, "two") is None
    assert kept(one, "none", 0) is None
    assert kept(one, "unnamed", 10, etag="") is None  # of which a change would not be seen
    let_go()
    let_go()
    assert kept(one, "two") is None
    leave()
    assert kept_bytes._kept == {}  # though somebody holds the memory
    two = kept(one, "two")
    assert two is not None
    del one
    gc.collect()
    assert kept_bytes._kept == {}
