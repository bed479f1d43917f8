"""Blocks are read whole, once, in the order of the files, and memory holds a pool of records."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest

from gpuio import io
from gpuio.errors import ClosedError, OptionError, StorageError
from gpuio.order.epochs import Order
from gpuio.pipeline import pipeline as pipeline_module
from gpuio.pipeline.block_feed import BlockFeed
from gpuio.pipeline.finished_batch import BatchPosition
from gpuio.pipeline.parse import FramedRecords
from support import making
from support.tables import options, table

KIB = 1 / 1024
LENGTH = 100  # bytes of a record; its number stands in the first eight


class Reader:
    """Records of one length in memory, and what was asked for."""

    def __init__(self, count):
        self.memory = np.zeros((count, LENGTH), np.uint8)
        self.memory[:, :8] = np.arange(count).reshape(-1, 1).view(np.uint8)
        self.asked, self.broken, self.before = [], False, lambda: None
        self.known = np.zeros(count, bool)  # a cache has them

    def spared(self, positions):
        return self.known[positions]

    def lengths(self, positions):
        return np.where(positions < 0, -1, LENGTH)

    def framed(self, positions):
        self.before()
        if self.broken:
            raise StorageError("input/output error", path="data.rec")
        self.asked.append(positions.tolist())
        made = np.ascontiguousarray(self.memory[positions]).reshape(-1)
        start = np.arange(len(positions)) * LENGTH
        return FramedRecords([made], start * 0, start, start * 0 + LENGTH)


def opened(count=100, batch_size=4, **more):
    sizes = {"shuffle_block_size": 0.5 * KIB, "shuffle_pool_size": 2.5 * KIB}
    asked = options(
        batch_size=batch_size, shuffle="block", **{"last_batch": "pad", **sizes, **more}
    )
    order, reader = Order(table([LENGTH] * count), asked), Reader(count)

    def positions(position):
        pass_index, start, first = position.pass_index, position.start, position.number
        while True:
            shape = order.epoch(pass_index, start)
            for number in range(first, shape.batches):
                yield BatchPosition(pass_index, start, number)
            pass_index, start, first = pass_index + 1, shape.next_start, 0

    feed = BlockFeed(order.blocks, order, reader, positions)
    return feed, order, reader, positions


def numbers(framed):
    return [
        -1 if framed.length[row] < 0 else int(np.frombuffer(framed.record(row)[:8], np.int64)[0])
        for row in range(len(framed.length))
    ]


@pytest.mark.parametrize("last_batch", ["pad", "partial", "borrow", "discard"])
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("begin", [BatchPosition(0, 0, 0), BatchPosition(3, 0, 5)])
def test_a_batch_holds_the_records_of_its_positions(last_batch, parts, begin):
    feed, order, _, positions = opened(
        count=103, last_batch=last_batch, num_parts=parts, part_index=parts - 1
    )
    for position in itertools.islice(positions(begin), 90):
        made, framed = feed.take(position)
        wanted = order.batch(position.pass_index, position.start, position.number)
        assert made.position.tolist() == wanted.position.tolist() == numbers(framed)


def test_blocks_are_read_whole_and_once_a_pass():
    feed, order, reader, positions = opened(count=103)
    for position in itertools.islice(positions(BatchPosition(0, 0, 0)), 26):
        feed.take(position)
    rows = [row for asked in reader.asked for row in asked]
    first_pass, behind = rows[:103], rows[103:]
    assert sorted(first_pass) == list(range(103))
    assert len(set(behind)) == len(behind)  # of the next pass's first pools
    pools = [order.blocks.pool(0, at) for at in range(order.blocks.pools)]
    blocks = [block for pool in pools for block in pool.blocks]
    asked, at = [], 0
    while at < 103:  # each block from its first record to its last, one after the other
        (block,) = [one for one in blocks if one[0] == first_pass[at]]
        assert first_pass[at : at + block[1] - block[0]] == list(range(*block))
        at += block[1] - block[0]
        asked.append(block)
    assert sorted(asked) == sorted(blocks)
    pool = asked[: len(pools[0].blocks)]
    assert pool == sorted(pool)  # in the order of the file


def test_records_that_a_cache_has_are_not_read():
    feed, _, reader, positions = opened(count=103)
    reader.known[np.random.default_rng(0).permutation(103)[:60]] = True
    reader.known[:20] = False  # some blocks are read whole
    for position in itertools.islice(positions(BatchPosition(0, 0, 0)), 60):
        made, framed = feed.take(position)
        known = reader.known[made.position] & (made.position >= 0)
        assert numbers(framed) == np.where(known, -1, made.position).tolist()
    assert not reader.known[np.concatenate(reader.asked)].any()


def test_where_a_cache_has_all_of_them_nothing_is_read_and_no_more_is_planned_ahead():
    most = []
    for known in (False, True):
        feed, _, reader, positions = opened(count=103)
        reader.known[:] = known
        ahead = []
        for position in itertools.islice(positions(BatchPosition(0, 0, 0)), 60):
            feed.take(position)
            ahead.append(len(feed._ahead))
        most.append(max(ahead))
        assert bool(reader.asked) != known
    assert most[0] == most[1]


def test_memory_holds_one_pool_and_the_blocks_asked_for_together():
    feed, _, reader, positions = opened(
        count=5000, batch_size=8, shuffle_block_size=1 * KIB, shuffle_pool_size=64 * KIB
    )
    held, pool = [], 64 * 1024
    for position in itertools.islice(positions(BatchPosition(0, 0, 0)), 700):
        feed.take(position)
        held.append(sum(len(b.memory) - b.missing * LENGTH for b in feed._ahead))
    assert max(held) <= pool + 4 * 1024
    assert min(held[:500]) > pool * 0.8  # read ahead, block by block, not pool by pool
    assert max(len(asked) for asked in reader.asked) <= 4 * 10


def test_a_part_that_has_no_record_hands_out_padding():
    feed, order, reader, positions = opened(count=3)
    empty = SimpleNamespace(
        position=np.full(4, -1), pass_index=np.zeros(4, int), mx_index=np.full(4, -1), pad=4
    )
    order.__dict__["batch"] = None
    feed._order = SimpleNamespace(batch=lambda *_: empty)
    for position in itertools.islice(positions(BatchPosition(0, 0, 0)), 5):
        _, framed = feed.take(position)
        assert numbers(framed) == [-1] * 4
    assert reader.asked == []


def test_a_read_that_fails_is_raised_and_tried_again():
    feed, _, reader, positions = opened()
    first, second = itertools.islice(positions(BatchPosition(0, 0, 0)), 2)
    reader.broken = True
    for _ in range(2):
        with pytest.raises(StorageError):
            feed.take(first)
    reader.broken = False
    made, framed = feed.take(first)
    assert numbers(framed) == made.position.tolist()
    made, framed = feed.take(second)
    assert numbers(framed) == made.position.tolist()


def test_a_pool_that_is_being_read_can_be_left():
    feed, _, reader, _ = opened(count=5000, shuffle_pool_size=64 * KIB)
    halts = feed.halted()
    reader.before = lambda: len(reader.asked) == 2 and halts.__enter__()
    with pytest.raises(ClosedError):
        feed.take(BatchPosition(0, 0, 0))
    assert len(reader.asked) == 3
    halts.__exit__(None, None, None)
    reader.before = lambda: None
    made, framed = feed.take(BatchPosition(0, 0, 0))
    assert numbers(framed) == made.position.tolist()


def test_an_epoch_that_cannot_be_made_is_told_when_it_is_asked_for():
    feed, order, _, positions = opened(count=10, batch_size=16, last_batch="borrow")
    made, framed = feed.take(BatchPosition(0, 0, 0))
    assert numbers(framed) == made.position.tolist()
    with pytest.raises(OptionError, match="must be bigger"):
        list(itertools.islice(positions(BatchPosition(0, 0, 0)), 9))
    assert order.n_records == 10


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    rng = np.random.default_rng(0)
    blobs = [making.flat(int(rng.integers(0, 255)), int(side)) for side in rng.integers(8, 40, 60)]
    return making.write_rec(tmp_path_factory.mktemp("blocks"), blobs)


def batches(it, epochs=2):
    with it:
        made = []
        for _ in range(epochs):
            made += [(b.label[0].tolist(), b.data[0].tolist(), b.pad) for b in it]
            it.reset()
        return made


@pytest.mark.parametrize("index", [True, False])
def test_an_iterator_makes_the_same_of_blocks_as_of_single_records(paths, index, monkeypatch):
    asked = {"shuffle": "block", "shuffle_block_size": 1 * KIB, "shuffle_pool_size": 3 * KIB}
    found = batches(making.reader(paths, index=index, **asked))
    init = pipeline_module.Pipeline.__init__

    def without_blocks(self, *args, blocks, **more):
        init(self, *args, **more, blocks=None)

    monkeypatch.setattr(pipeline_module.Pipeline, "__init__", without_blocks)
    assert found == batches(making.reader(paths, index=index, **asked))
    labels = [label for batch in found[:15] for label in batch[0]]
    assert sorted(labels) == list(range(60)) != labels


def test_a_state_in_the_middle_of_a_pool_goes_on(paths):
    asked = {"shuffle": "block", "shuffle_block_size": 1 * KIB, "shuffle_pool_size": 3 * KIB}
    whole = batches(making.reader(paths, **asked), 1)
    with making.reader(paths, **asked) as it:
        for _ in range(7):
            it.next()
        state = json.loads(json.dumps(it.state_dict()))
    with making.reader(paths, **asked) as it:
        it.load_state_dict(state)
        assert [b.label[0].tolist() for b in it] == [one[0] for one in whole[7:]]
    assert state["source"]["shuffle_block_size"] == 1 * KIB


@pytest.mark.parametrize("on_error", ["skip", "replace"])
def test_bad_records_of_a_block_cost_their_own_rows(tmp_path, on_error):
    blobs = [making.flat(4 * i) if i % 7 else b"no image" for i in range(40)]
    paths = making.write_rec(tmp_path, blobs)
    asked = {"shuffle": "block", "shuffle_block_size": 0.5 * KIB, "shuffle_pool_size": 1 * KIB}
    with making.reader(paths, on_error=on_error, **asked) as it:
        found = [label for b in it for label in b.label[0][: 4 - b.pad].tolist()]
        assert it.stats()["faults"] == 6
    good = {float(i) for i in range(40) if i % 7}
    assert set(found) == good
    assert len(found) == (34 if on_error == "skip" else 40)


def test_detection_reads_blocks_as_well(tmp_path):
    label = [[2, 5, i, 0.1, 0.1, 0.9, 0.9] for i in range(30)]
    rec, idx = making.write_rec(tmp_path, [making.flat(8 * i) for i in range(30)], label)
    asked = {"shuffle": "block", "shuffle_block_size": 0.5 * KIB, "shuffle_pool_size": 1 * KIB}
    files = {"path_imgrec": rec, "path_imgidx": idx, "data_shape": (3, 8, 8), "batch_size": 4}
    with io.ImageDetRecordIter(**files, **asked, ctx="cpu", verbose=False, round_batch=False) as it:
        assert it._machine().pipeline._feed is not None
        found = [int(row[6]) for b in it for row in b.label[0].asnumpy()[: 4 - b.pad]]
    assert sorted(found) == list(range(30)) != found
