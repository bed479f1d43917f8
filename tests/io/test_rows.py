"""RowIter turns a source of rows into epochs, whatever the rows are."""

import threading

import numpy as np
import pytest

from gpuio.errors import ClosedError, OptionError
from gpuio.io.base import DataDesc
from gpuio.io.rows import RowIter, row_shape
from gpuio.nd import host_array


class Numbers:
    """Rows 0 .. count-1, each its own number."""

    def __init__(self, count):
        self.count, self.closed, self.asked = count, 0, []

    def __len__(self):
        return self.count

    def check_unchanged(self):
        pass

    def make(self, rows, size):
        self.asked.append(threading.current_thread().name)
        data = np.zeros(size, np.int64)
        data[: len(rows)] = rows
        return host_array(data), host_array(data), data

    def digest(self):
        return [self.count]

    def close(self):
        self.closed += 1


def over(source, size=4, last_batch="borrow", depth=2):
    desc = DataDesc("data", (size,))
    return RowIter(
        source,
        batch_size=size,
        last_batch=last_batch,
        prefetch_buffer=depth,
        ctx="cpu",
        data=desc,
        label=desc,
        identity={},
        given={},
    )


def epochs(it, count=3):
    found = []
    for _ in range(count):
        found.append([(b.data[0].tolist(), b.pad) for b in it])
        it.reset()
    return found


@pytest.mark.parametrize("depth", [0, 1, 5])
@pytest.mark.parametrize(
    ("last_batch", "expected"),
    [
        ("discard", [[([0, 1, 2, 3], 0)]] * 3),
        ("pad", [[([0, 1, 2, 3], 0), ([4, 5, 0, 0], 2)]] * 3),
        (
            "borrow",
            [
                [([0, 1, 2, 3], 0), ([4, 5, 0, 1], 2)],
                [([2, 3, 4, 5], 0)],
                [([0, 1, 2, 3], 0), ([4, 5, 0, 1], 2)],
            ],
        ),
    ],
)
def test_the_three_ways_to_end_an_epoch(last_batch, expected, depth):
    with over(Numbers(6), last_batch=last_batch, depth=depth) as it:
        assert epochs(it) == expected


def test_a_reset_before_the_end_is_seen_goes_on_behind_the_borrowed_rows():
    with over(Numbers(6)) as it:
        next(it)
        next(it)
        it.reset()
        assert next(it).data[0].tolist() == [2, 3, 4, 5]


def test_without_prefetching_no_thread_works():
    source = Numbers(6)
    with over(source, depth=0) as it:
        next(it)
    assert source.asked == [threading.current_thread().name]


def test_the_source_is_closed_with_the_iterator_and_when_it_is_dropped():
    source = Numbers(6)
    it = over(source)
    next(it)
    it.close()
    it.close()
    assert source.closed == 1
    with pytest.raises(ClosedError, match="RowIter was closed"):
        next(it)
    source = Numbers(6)
    it = over(source)
    next(it)
    del it
    assert source.closed == 1


def test_too_few_rows_to_fill_a_batch_are_told():
    with over(Numbers(2), size=5) as it, pytest.raises(OptionError, match="2 rows left and all 2"):
        next(it)


@pytest.mark.parametrize(
    ("given", "shape"),
    [((2, 3), (2, 3)), ([4], (4,)), (5, (5,)), ("(6, 7)", (6, 7)), ("(8,)", (8,))],
)
def test_shapes_are_taken_as_sequences_numbers_and_texts(given, shape):
    assert row_shape(given) == shape


@pytest.mark.parametrize("given", ["x", "(1", (0,), (1.5,), None, "import os"])
def test_other_shapes_are_refused(given):
    with pytest.raises(ValueError, match="expected"):
        row_shape(given)


def test_a_state_counts_epochs_and_rows_handed_out():
    with over(Numbers(6)) as it:
        list(it)
        it.reset()
        next(it)
        state = it.state_dict()
        assert (state["epoch"], state["start"], state["samples"]) == (1, 2, 4)
        assert state["source"] == {"rows": 6, "batch_size": 4, "digest": [6]}
