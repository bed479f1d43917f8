"""Blocks are mixed pool by pool; a place says which, and nothing else does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuio.errors import OptionError
from gpuio.order.block import BlockPasses, block_records
from gpuio.order.epochs import Order
from support.tables import options, table

KIB = 1 / 1024


def every(passes, pass_index):
    return passes.rows(pass_index, 0, passes.n_records, 0, 4)[0]


@given(st.integers(1, 200), st.integers(1, 25), st.integers(1, 7), st.integers(0, 3), st.data())
def test_every_record_comes_once_and_lies_in_its_pool(count, per_block, per_pool, pass_index, data):
    passes = BlockPasses(5, count, per_block, per_pool, 3)
    found = every(passes, pass_index)
    assert np.array_equal(np.sort(found), np.arange(5, 5 + count))
    begun = 0
    for number in range(passes.pools):
        pool = passes.pool(pass_index, number)
        assert (pool.first, 1 <= len(pool.blocks) <= per_pool) == (begun, True)
        rows = [row for low, high in pool.blocks for row in range(low, high)]
        assert sorted(rows) == sorted(found[pool.first : pool.stop].tolist())
        assert all(high - low == per_block or high == 5 + count for low, high in pool.blocks)
        for place in (pool.first, pool.stop - 1):
            assert passes.pool_at(pass_index, place) == number
        begun = pool.stop
    assert begun == count
    first = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(first, count))
    some = BlockPasses(5, count, per_block, per_pool, 3).rows(pass_index, first, stop, 0, 4)
    assert some[0].tolist() == found[first:stop].tolist()
    assert some[1].tolist() == list(range(pass_index * count + first, pass_index * count + stop))


def test_pools_of_one_pass_differ_by_one_block_at_most():
    sizes = [len(BlockPasses(0, 650, 10, 64, 0).pool(0, at).blocks) for at in range(2)]
    assert sorted(sizes) == [32, 33]  # not 64 and 1: one block alone would not be mixed


def test_the_first_records_are_those_of_every_version():
    assert every(BlockPasses(0, 50, 8, 3, 0), 0)[:20].tolist() == [
        *(0, 45, 4, 2, 41, 7, 44, 46, 40, 1, 3, 43, 5, 47, 6, 42, 48, 39, 37, 36)
    ]  # fmt: skip
    assert (
        every(BlockPasses(0, 50, 8, 3, 1), 1)[:10].tolist()
        != every(BlockPasses(0, 50, 8, 3, 1), 0)[:10].tolist()
    )


def test_a_block_holds_one_number_of_records_of_about_its_size():
    assert block_records(1000, 7_000_000, 4) == 599
    assert block_records(10, 10 << 30, 4) == 1  # records larger than a block
    assert block_records(0, 0, 4) == 4 << 20
    assert block_records(1000, 7_000_001, 4) == 599


def test_sorted_labels_are_mixed_as_well_as_the_pool_is_large():
    """200,000 records, 50 a class, 7 KB each: batches of 256 of a full shuffle hold 248 classes."""
    label = np.arange(200_000) // 50

    def distinct(block_mib, pool_mib):
        per_block = block_records(200_000, 200_000 * 7168, block_mib)
        passes = BlockPasses(0, 200_000, per_block, int(pool_mib / block_mib), 0)
        order = label[every(passes, 0)][: 256 * 781].reshape(-1, 256)
        return np.mean([len(np.unique(batch)) for batch in order])

    small, usual, large = distinct(1, 16), distinct(4, 256), distinct(16, 1024)
    assert 55 < small < 70
    assert usual > 210
    assert large > 238
    assert abs(distinct(16, 256) - usual) < 8  # the block's size hardly matters


@pytest.mark.parametrize("kind", ["full", "block"])
@pytest.mark.parametrize("indexed", [True, False])
def test_every_record_comes_once_a_pass_over_all_parts_with_and_without_an_index(kind, indexed):
    sizes = {"shuffle_block_size": 0.5 * KIB, "shuffle_pool_size": 2 * KIB}
    more = sizes if kind == "block" else {}
    records = table([100] * 60, [300] * 41, indexed=indexed)
    seen = []
    for index in range(3):
        asked = options(shuffle=kind, num_parts=3, part_index=index, last_batch="partial", **more)
        order = Order(records, asked)
        shape = order.epoch(4, 0)
        batches = [order.batch(4, 0, k).position for k in range(shape.batches)]
        seen += np.concatenate(batches).tolist()
        assert np.concatenate(batches).tolist() != sorted(np.concatenate(batches).tolist())
        assert sorted(order.rows().tolist()) == sorted(np.concatenate(batches).tolist())
        assert order.batch(4, 0, 1).mx_index.tolist() == [
            4 * order.n_records + place for place in range(4, 8)
        ]
    assert sorted(seen) == list(range(101))


@pytest.mark.parametrize("kind", ["full", "block"])
def test_a_far_pass_is_found_without_those_before_it(kind):
    order = Order(table([100] * 50), options(shuffle=kind))
    order.reach(2**60)
    assert len(np.unique(order.batch(2**40, 0, 3).position)) == 4


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"shuffle": "full", "shuffle_chunk_size": 3}, "shuffle_chunk_size: belongs to MXNet's"),
        ({"shuffle_block_size": 3}, "shuffle_block_size: belongs to shuffle='block', not False"),
        ({"shuffle": "full", "shuffle_pool_size": 3}, "shuffle_pool_size: .* not 'full'"),
        ({"shuffle": "block", "shuffle_pool_size": 3}, "a pool of 3 MiB holds no block of"),
        ({"shuffle": "block", "shuffle_block_size": 0}, "shuffle_block_size: .* above 0, got 0"),
        ({"shuffle": "fully"}, "shuffle: expected True or False, got 'fully'; or 'full' or 'bl"),
    ],
)
def test_options_that_belong_to_another_shuffle_are_refused(given, says):
    with pytest.raises(OptionError, match=says):
        options(**given)
