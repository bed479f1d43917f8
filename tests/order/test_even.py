"""Parts of one sequence: equal steps, even shares, and a place that fits any number of parts."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuio.errors import OptionError
from gpuio.order.epochs import Order
from gpuio.order.even import Division, ever_leaves_a_part_empty, lengths_ever_differ
from support.tables import options, table

ENDINGS = ["borrow", "pad", "partial", "discard"]
BLOCKS = {"shuffle_block_size": 1 / 1024, "shuffle_pool_size": 3 / 1024}
SHUFFLES = {
    "none": {},
    "mxnet": {"shuffle": True},
    "full": {"shuffle": "full"},
    "block": {"shuffle": "block", **BLOCKS},
}


def parts_of(count, parts, batch_size, **more):
    """Return the order of each part."""
    records = table([100] * count)
    asked = options(batch_size=batch_size, num_parts=parts, **{"shard": "even", **more})
    first = Order(records, asked)
    made = []
    for index in range(parts):
        one = Order.__new__(Order)  # the passes are the same for all: drawn once
        one.__dict__.update(first.__dict__)
        one.division = Division(parts, index, batch_size, asked.ending)
        made.append(one)
    return made


def epoch(orders, pass_index, start):
    """Return the shape of an epoch, which is the same for all, and each part's batches."""
    shapes = [order.epoch(pass_index, start) for order in orders]
    assert len({(one.batches, one.next_start, one.dropped) for one in shapes}) == 1
    batches = [[o.batch(pass_index, start, k) for k in range(shapes[0].batches)] for o in orders]
    return shapes[0], batches


def sequence(batches, pass_index):
    """Return the records of a pass in the order of steps and, in a step, of parts."""
    made = [
        batch.position[(batch.pass_index == pass_index) & (batch.position >= 0)]
        for step in zip(*batches, strict=True)
        for batch in step
    ]
    return np.concatenate(made).tolist() if made else []


def test_a_part_is_made_with_its_own_number():
    asked = [options(num_parts=3, part_index=i, shard="even") for i in range(3)]
    orders = [Order(table([100] * 50), each) for each in asked]
    copies = parts_of(50, 3, 4)
    for one, other in zip(orders, copies, strict=True):
        assert one.division == other.division
        assert one.batch(0, 0, 2).position.tolist() == other.batch(0, 0, 2).position.tolist()
    assert [o.batch(0, 0, 1).position.tolist() for o in orders] == [
        [12, 13, 14, 15],
        [16, 17, 18, 19],
        [20, 21, 22, 23],
    ]


def random_cases(count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        n, parts = int(rng.integers(1, 120)), int(rng.integers(1, 13))
        yield n, parts, int(rng.integers(1, 17)), ENDINGS[rng.integers(4)]


def test_a_thousand_random_divisions_are_even():
    refused = 0
    for records, parts, size, ending in random_cases(1000):
        orders = parts_of(records, parts, size, last_batch=ending)
        errors = set()
        for order in orders:
            try:
                order.check()
            except OptionError as error:
                errors.add(str(error))
        if errors:  # the same words on all parts, or on none
            assert len(errors) == 1
            assert orders[0].division.step > records
            refused += 1
            continue
        shape, batches = epoch(orders, 0, 0)
        assert sequence(batches, 0) == list(range(records - shape.dropped))
        assert shape.dropped == (records % (parts * size) if ending == "discard" else 0)
        real = [sum(int((b.position[b.pass_index == 0] >= 0).sum()) for b in own)
                for own in batches]  # fmt: skip
        assert max(real) - min(real) <= 1
        plan = orders[0].plan(0, 0)
        assert all(order.plan(0, 0) == plan for order in orders)
        assert [share.records for share in plan.parts] == real
        assert [share.pad for share in plan.parts] == [sum(b.pad for b in own) for own in batches]
        for own in batches:
            assert all(len(batch.position) == size for batch in own[:-1])
            last = own[-1]
            assert len(last.position) == size or (ending == "partial" and last.pad == 0)
            assert len(last.position) > 0
            if (last.position < 0).all():
                assert last.pad == size
                assert plan.all_padding
    assert 100 < refused < 300


def test_passes_that_borrow_are_divided_as_evenly_as_epochs():
    for records, parts, size, _ in random_cases(150):
        orders = parts_of(records, parts, size, last_batch="borrow")
        try:
            orders[0].check()
        except OptionError:
            continue
        start, rows = 0, np.zeros((parts, 4), int)
        whole = [[] for _ in range(4)]
        for pass_index in range(3):
            shape, batches = epoch(orders, pass_index, start)
            for part, own in enumerate(batches):
                for batch in own:
                    assert len(batch.position) == size
                    assert (batch.pass_index[size - batch.pad :] == pass_index + 1).all()
                    np.add.at(rows[part], batch.pass_index, 1)
            for each in (pass_index, pass_index + 1):
                whole[each] += sequence(batches, each)
            start = shape.next_start
            assert start == orders[0].start(pass_index + 1)
        assert whole[:3] == [list(range(records))] * 3
        assert (np.ptp(rows[:, :3], axis=0) <= 1).all()


@pytest.mark.parametrize("kind", SHUFFLES)
def test_a_place_fits_any_number_of_parts_and_any_size_of_batches(kind):
    """World sizes 1 to 8, before and after, at every step of 100 records, equal and other sizes."""
    whole = parts_of(100, 1, 1, **SHUFFLES[kind])[0]._passes.rows(2, 0, 100, 0, 1)[0].tolist()
    made = {
        (parts, size): parts_of(100, parts, size, last_batch="pad", **SHUFFLES[kind])
        for parts in range(1, 9)
        for size in (4, 3)
    }
    heads = {
        parts: list(zip(*epoch(made[parts, 4], 2, 0)[1], strict=True)) for parts in range(1, 9)
    }
    tails, cases = {}, 0
    for before, after, size in itertools.product(range(1, 9), range(1, 9), (4, 3)):
        for step in range(len(heads[before]) + 1):
            place = min(step * before * 4, 100)
            key = after, size, place
            if key not in tails:
                _, batches = epoch(made[after, size], 2, place)
                tails[key] = sequence(batches, 2)
            head = [row for one in heads[before][:step] for batch in one
                    for row in batch.position[batch.position >= 0].tolist()]  # fmt: skip
            assert head + tails[key] == whole
            cases += 1
    assert cases == 1280
    assert (whole == list(range(100))) == (kind == "none")


def test_a_pass_is_left_in_the_middle_of_a_step_of_the_new_size():
    orders = parts_of(100, 4, 4, last_batch="borrow")
    shape, batches = epoch(orders, 0, 36)  # 4 steps and none left
    assert (shape.batches, shape.next_start) == (4, 0)
    shape, batches = epoch(parts_of(100, 3, 4, last_batch="borrow"), 0, 36)
    assert (shape.batches, shape.next_start) == (6, 8)
    assert sequence(batches, 0) == list(range(36, 100))
    assert sequence(batches, 1) == list(range(8))
    shape, _ = epoch(orders, 0, 108)  # 8 rows of the next pass were handed out before the change
    assert (shape.batches, shape.pad, shape.next_start) == (0, 0, 8)


def test_what_discard_drops_depends_on_the_number_of_parts():
    assert parts_of(100, 4, 4, last_batch="discard")[0].epoch(0, 0).dropped == 4
    shape = parts_of(100, 8, 4, last_batch="discard")[0].epoch(0, 48)
    assert (shape.batches, shape.dropped) == (1, 20)


def test_the_samples_of_all_passes_are_numbered_for_seed_aug():
    for index, order in enumerate(parts_of(10, 2, 3, last_batch="borrow")):
        batch = order.batch(1, 2, 1)  # places 8 and 9 of pass 1, and 4 of pass 2
        numbers = batch.pass_index * 10 + batch.position
        assert batch.mx_index.tolist() == numbers.tolist()
        assert batch.key == 8 + index


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 9), st.sampled_from(ENDINGS))
def test_a_part_is_said_to_be_left_empty_where_it_is(count, parts, size, ending):
    division = Division(parts, 0, size, ending)
    order = parts_of(count, parts, size, last_batch=ending)[0]
    try:
        order.check()
    except OptionError:
        return
    left, start = [], 0
    for pass_index in range(parts * size + 1):
        left.append((count - start) % division.step)
        start = order.epoch(pass_index, start).next_start
    found = any(0 < one < parts for one in left) and ending != "discard" and parts > 1
    assert ever_leaves_a_part_empty(count, division) == found


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(1, 8),
       st.sampled_from(ENDINGS))  # fmt: skip
def test_lengths_are_said_to_differ_where_they_do(counts, size, ending):
    def lengths(count):
        if ending == "borrow":
            return [-(-(e + 1) * count // size) + (-e * count // size) for e in range(41 * size)]
        return [count // size if ending == "discard" else -(-count // size)]

    assert lengths_ever_differ(counts, size, ending) == (len({*map(str, map(lengths, counts))}) > 1)


def test_the_plan_of_mxnets_parts_tells_what_each_has():
    made = Order(table([100] * 100), options(num_parts=3, last_batch="pad")).plan(0, 0)
    assert [share.records for share in made.parts] == [34, 34, 32]
    assert [share.batches for share in made.parts] == [9, 9, 8]
    assert [share.pad for share in made.parts] == [2, 2, 0]
    assert (made.equal, made.all_padding, made.records, made.dropped) == (False, False, 100, 0)
    records = table([100] * 90, [300] * 10, indexed=False)
    made = Order(records, options(num_parts=2, last_batch="discard")).plan(0, 0)
    assert [share.records for share in made.parts] == [60, 40]
    assert [share.batches for share in made.parts] == [15, 10]
    assert made.as_dict()["parts"][1] == {"part_index": 1, "batches": 10, "records": 40, "pad": 0}


def test_steps_that_cannot_be_filled_are_refused_with_the_numbers():
    with pytest.raises(OptionError, match=r"4 for each of 8 parts, 32 rows, needs more than the 9"):
        parts_of(9, 8, 4, last_batch="borrow")[5].check()
    with pytest.raises(OptionError, match="9 records are fewer than the 32 rows of one batch per"):
        parts_of(9, 8, 4, last_batch="discard")[5].check()
