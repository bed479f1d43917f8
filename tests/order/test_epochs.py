"""Epochs and batches stand in MXNet's order; every record comes once a pass."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gpuio.errors import OptionError
from gpuio.order.epochs import Order
from support.tables import epochs, options, table

GOLDEN = json.loads((Path(__file__).parents[1] / "data/order/golden.json").read_text())


def positions(batches):
    return [batch.position.tolist() for batch in batches]


def order_of(count, batch_size, *, indexed=True, **more):
    return Order(table([100] * count, indexed=indexed), options(batch_size=batch_size, **more))


@pytest.mark.parametrize(
    "case",
    GOLDEN["cases"],
    ids=lambda case: f"{case['files']}-{case['indexed']}-{list(case['options'].values())}",
)
def test_records_come_in_mxnets_order(case):
    order = Order(
        table(*GOLDEN["files"][case["files"]], indexed=case["indexed"]), options(**case["options"])
    )
    if case["labels"] is None:
        with pytest.raises(OptionError, match="must be bigger than the batch size"):
            epochs(order, 3)
        return
    made = epochs(order, 3)
    assert [positions(epoch) for epoch in made] == case["labels"]
    assert [batch.pad for batch in made[0]] == case["pads"]


def test_borrowed_rows_open_the_next_epoch():
    made = epochs(order_of(10, 4), 3)
    assert positions(made[0]) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]]
    assert positions(made[1]) == [[2, 3, 4, 5], [6, 7, 8, 9]]
    assert positions(made[2]) == positions(made[0])
    assert [batch.pad for batch in made[0] + made[1]] == [0, 0, 2, 0, 0]
    assert made[0][2].pass_index.tolist() == [0, 0, 1, 1]
    assert made[1][0].pass_index.tolist() == [1, 1, 1, 1]


def test_starts_of_a_hundred_records_by_seven_are_mxnets():
    order = order_of(100, 7)
    assert [order.start(epoch) for epoch in range(8)] == [0, 5, 3, 1, 6, 4, 2, 0]
    batches = [order.epoch(epoch, order.start(epoch)).batches for epoch in range(7)]
    assert batches == [15, 14, 14, 15, 14, 14, 14]


def test_an_epoch_whose_records_were_all_borrowed_is_empty():
    assert [len(epoch) for epoch in epochs(order_of(10, 20), 3)] == [1, 0, 1]
    assert [len(epoch) for epoch in epochs(order_of(10, 15), 4)] == [1, 1, 0, 1]


def test_a_batch_of_more_than_two_passes_is_refused_with_the_numbers():
    with pytest.raises(OptionError, match=r"batch of 21 .* 10 records left in pass 0 and the 10"):
        order_of(10, 21).epoch(0, 0)
    order = order_of(10, 16)
    assert order.epoch(0, 0).next_start == 6
    with pytest.raises(OptionError, match=r"batch of 16 .* 4 records left in pass 1"):
        order.epoch(1, 6)
    with pytest.raises(OptionError, match="4 records left in pass 1"):
        order.start(2)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 30))
def test_start_of_any_epoch_is_what_counting_epochs_gives(records, batch_size, epoch):
    order = order_of(records, batch_size)
    start = 0
    try:
        for each in range(epoch):
            start = order.epoch(each, start).next_start
    except OptionError:
        with pytest.raises(OptionError):
            order.start(epoch)
    else:
        assert order.start(epoch) == start


@pytest.mark.parametrize(
    ("ending", "last", "pad"),
    [("pad", [8, 9, -1, -1], 2), ("partial", [8, 9], 0), ("discard", [4, 5, 6, 7], 0)],
)
def test_last_batch_is_padded_shortened_or_dropped(ending, last, pad):
    made = epochs(order_of(10, 4, last_batch=ending), 2)
    for epoch in made:
        assert epoch[0].position.tolist() == [0, 1, 2, 3]
        assert epoch[-1].position.tolist() == last
        assert epoch[-1].pad == pad


def test_round_batch_false_pads():
    assert epochs(order_of(10, 4, round_batch=False), 1)[0][2].position.tolist() == [8, 9, -1, -1]


@given(
    st.integers(1, 60),
    st.integers(1, 5),
    st.integers(1, 12),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_over_all_parts_every_record_comes_once_a_pass(
    records, parts, batch_size, indexed, shuffle, seed
):
    seen = []
    for index in range(parts):
        order = order_of(
            records,
            batch_size,
            indexed=indexed,
            shuffle=shuffle,
            seed=seed,
            num_parts=parts,
            part_index=index,
            last_batch="partial",
        )
        for batch in epochs(order, 2)[1]:
            seen += batch.position.tolist()
    assert sorted(seen) == list(range(records))


@given(st.integers(1, 30), st.integers(1, 12), st.booleans(), st.integers(1, 9))
def test_borrowing_uses_every_record_equally(records, batch_size, shuffle, count):
    order = order_of(records, min(batch_size, records), shuffle=shuffle)
    rows = np.concatenate(
        [np.stack([b.pass_index, b.position]) for epoch in epochs(order, count) for b in epoch], 1
    )
    for pass_index in range(count):
        assert sorted(rows[1][rows[0] == pass_index].tolist()) == list(range(records))


def test_a_batch_does_not_depend_on_what_was_asked_before():
    def batch(order, pass_index, k):
        return order.batch(pass_index, 0, k).position.tolist()

    walked = order_of(50, 5, shuffle=True, last_batch="pad")
    all_of_them = [[batch(walked, p, k) for k in range(10)] for p in range(80)]
    jumped = order_of(50, 5, shuffle=True, last_batch="pad")
    for p in (79, 3, 70, 0, 71, 4):
        assert batch(jumped, p, 7) == all_of_them[p][7]


@given(
    records=st.integers(8, 60),
    batch_size=st.integers(1, 8),
    parts=st.integers(1, 2),
    shard=st.sampled_from(["mxnet", "even"]),
    shuffle=st.sampled_from([False, True, "full", "block"]),
    last_batch=st.sampled_from(["borrow", "pad", "partial", "discard"]),
    data=st.data(),
)
def test_batches_looked_up_at_once_are_those_looked_up_alone(
    records, batch_size, parts, shard, shuffle, last_batch, data
):
    even = {"num_parts": parts, "part_index": parts - 1, "shard": shard}
    order = order_of(records, batch_size, shuffle=shuffle, last_batch=last_batch, **even)
    pass_index = data.draw(st.integers(0, 3))
    start = data.draw(st.integers(0, order.last_start))
    count = order.epoch(pass_index, start).batches
    assume(count)
    first = data.draw(st.integers(0, count - 1))
    stop = data.draw(st.integers(first + 1, count))
    alone = [order.batch(pass_index, start, k) for k in range(first, stop)]
    found, whole = order.batches(pass_index, start, first, stop)
    assert len(found) == len(alone)
    for field in ("position", "pass_index", "mx_index"):
        rows = np.concatenate([getattr(one, field) for one in alone])
        assert (getattr(whole, field).dtype, getattr(whole, field).tolist()) == (
            rows.dtype,
            rows.tolist(),
        )
    for one, other in zip(found, alone, strict=True):
        for field in ("position", "pass_index", "mx_index"):
            a, b = getattr(one, field), getattr(other, field)
            assert (a.dtype, a.tolist()) == (b.dtype, b.tolist())
        assert (one.pad, one.key) == (other.pad, other.key)


def test_batches_beyond_the_end_of_an_epoch_are_an_index_error():
    with pytest.raises(IndexError, match="batch 3 of an epoch of 3 batches"):
        order_of(10, 4).batches(0, 0, 0, 4)


def test_a_batch_that_the_epoch_lacks_is_an_index_error():
    with pytest.raises(IndexError, match="batch 3 of an epoch of 3"):
        order_of(10, 4).batch(0, 0, 3)


def test_with_an_index_mxnet_numbers_the_rows_of_the_batch():
    for epoch in epochs(order_of(10, 4, shuffle=True), 3):
        assert all(batch.mx_index.tolist() == [0, 1, 2, 3] for batch in epoch)


@pytest.mark.parametrize("shuffle", [False, True])
def test_what_a_pass_lacks_is_a_reading_of_its_own_in_the_next_one(shuffle):
    made = epochs(order_of(10, 4, round_batch=False, shuffle=shuffle), 4)
    across = [[0, 1, 2, 3], [4, 5, 2, 3], [4, 5]]  # a reading of two, then readings of four
    straight = [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1]]
    found = [[batch.mx_index[batch.position >= 0].tolist() for batch in epoch] for epoch in made]
    assert found == [straight, across, straight, across]


@pytest.mark.parametrize("last_batch", ["borrow", "partial", "discard"])
def test_with_the_other_endings_rows_are_numbered_by_their_place_in_the_batch(last_batch):
    for batch in itertools.chain(*epochs(order_of(10, 4, last_batch=last_batch), 4)):
        assert batch.mx_index.tolist() == list(range(len(batch.position)))


def test_without_an_index_mxnet_numbers_on_from_the_rows_filled_when_the_chunk_came():
    made = epochs(order_of(10, 4, indexed=False), 2)
    assert [batch.mx_index.tolist() for batch in made[0]] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 2, 3],
    ]
    assert [batch.mx_index.tolist() for batch in made[1]] == [[4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_second_chunk_is_numbered_from_its_own_start():
    half = 5 << 20
    order = Order(table([half] * 3, indexed=False), options(batch_size=2))
    first, second = epochs(order, 1)[0]
    assert first.mx_index.tolist() == [0, 1]
    assert second.mx_index.tolist() == [0, 1]
    assert second.position.tolist() == [2, 0]


def test_shuffled_chunks_are_numbered_as_they_are_stored():
    for epoch in epochs(order_of(10, 4, indexed=False, shuffle=True), 3):
        for batch in epoch:
            assert batch.mx_index.tolist() == (4 + batch.position).tolist()


def test_a_part_without_records_has_no_batch():
    order = order_of(10, 4, num_parts=7, part_index=6)
    assert order.n_records == 0
    assert order.epoch(0, 0).batches == 0
    assert order.start(5) == 0
