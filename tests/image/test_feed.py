from __future__ import annotations

import threading

import numpy as np
import pytest

from gpuio import image
from gpuio.image.chain import Chain
from gpuio.image.draws import GLOBAL
from gpuio.image.feed import Feed, Loader
from gpuio.image.source import SampleSource


@pytest.fixture
def source(make_files):
    folder, rows = make_files(5)
    return SampleSource(imglist=[*rows, [9.0, "none.png"]], path_root=folder)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_samples_come_in_order_and_errors_wait_for_their_turn(source, threads):
    chain = Chain([image.CenterCropAug((18, 16), 1)], GLOBAL, None, 0)
    loader = Loader(source, chain, (3, 16, 18))
    feed = Feed(source.samples(source.keys, 0), loader, threads, 4)
    samples = [next(feed) for _ in range(6)]
    assert [sample.key for sample in samples] == source.keys
    assert [sample.row.shape for sample in samples[:5]] == [(3, 16, 18)] * 5
    assert isinstance(samples[5].error, FileNotFoundError)
    with pytest.raises(StopIteration):
        next(feed)
    feed.close()
    feed.close()


def test_finishing_is_spread_over_threads_and_keeps_its_samples(source):
    seen = set()
    barrier = threading.Barrier(2, timeout=60)

    class Waiting(image.Augmenter):
        def draw(self, shape, draws):
            return draws.random(), shape

        def apply(self, src, plan):
            seen.add(threading.get_ident())
            barrier.wait()  # passes only if two threads are here at once
            return src

    chain = Chain([image.CenterCropAug((18, 16), 1), Waiting()], GLOBAL, None, 0)
    feed = Feed(source.samples(source.keys[:4], 0), Loader(source, chain, (3, 16, 18)), 2, 4)
    samples = [next(feed) for _ in range(4)]
    for sample in samples:
        assert sample.row is None
        chain.draw(sample)
    feed.finish(samples)
    feed.close()
    assert len(seen) == 2
    assert all(np.asarray(sample.row).shape == (3, 16, 18) for sample in samples)
