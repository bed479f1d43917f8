"""Parts and chunks are cut where MXNet cuts them."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gpuio.order.part import byte_positions, chunk_starts, part
from support.tables import table

MIB = 1 << 20
LENGTHS = st.lists(st.integers(9, 60).map(lambda words: 4 * words), min_size=1, max_size=40)


def test_with_an_index_parts_hold_equal_counts_and_the_last_ones_may_be_empty():
    ten = table([100] * 10)
    found = [part(ten, 7, index) for index in range(7)]
    assert [each.stop - each.start for each in found] == [2, 2, 2, 2, 2, 0, 0]


@given(st.lists(LENGTHS, min_size=1, max_size=3), st.integers(1, 9))
def test_without_an_index_a_record_belongs_where_its_first_byte_lies(files, parts):
    records = table(*files, indexed=False)
    total = int(records.sizes.sum())
    step = -(-(-(-total // parts)) // 4) * 4  # noqa: B002 -- two negations, as in MXNet
    places = byte_positions(records)
    for index in range(parts):
        inside = np.flatnonzero((places >= step * index) & (places < step * (index + 1)))
        found = part(records, parts, index)
        assert list(range(found.start, found.stop)) == inside.tolist()


@given(LENGTHS, st.integers(1, 9), st.booleans())
def test_parts_follow_one_another_and_hold_every_record(lengths, parts, indexed):
    records = table(lengths)
    found = [part(records, parts, index, indexed) for index in range(parts)]
    assert found[0].start == 0
    assert found[-1].stop == len(lengths)
    for left, right in itertools.pairwise(found):
        assert left.stop == right.start


def test_places_count_through_the_files():
    assert byte_positions(table([40, 44], [48, 40, 40])).tolist() == [0, 40, 84, 132, 172]


def cut(*lengths):
    places = np.cumsum([0, *lengths])[:-1]
    return chunk_starts(places, 0, len(lengths), sum(lengths))


def test_a_part_below_8_mib_is_one_chunk():
    assert cut(MIB, MIB, 6 * MIB - 4) == [0, 3]
    assert chunk_starts(np.array([0, 40]), 1, 1, 40) == [1]


def test_a_chunk_ends_at_the_last_head_that_lies_in_the_buffer_whole():
    assert cut(MIB, 7 * MIB - 8, 100) == [0, 2, 3]
    assert cut(MIB, 7 * MIB - 4, 100) == [0, 1, 3]


def test_a_record_of_exactly_the_buffer_needs_a_larger_one():
    assert cut(8 * MIB - 8, 100) == [0, 1, 2]
    assert cut(8 * MIB - 4, 8 * MIB, 100) == [0, 2, 3]
    assert cut(8 * MIB - 4, 8 * MIB + 4, 100) == [0, 1, 3]
    assert cut(9 * MIB, 100) == [0, 2]
    assert cut(9 * MIB, 17 * MIB, 100, 100) == [0, 1, 4]
