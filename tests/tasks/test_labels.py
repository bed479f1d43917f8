"""A label row holds what was asked for of the labels there are, or the record is refused."""

import numpy as np
import pytest

from gpuio.errors import RecordError
from gpuio.tasks.labels import RecordLabels

THREE = np.array([4, 5, 6], np.float32)


def row(labels, flag=0, label=7.0, identity=1):
    out = np.full(labels.columns, 99, np.float32)
    labels.take(out, flag, label, identity)
    return out.tolist()


@pytest.mark.parametrize(
    ("how", "given", "made"),
    [
        ({"width": 1}, (0, 7.0), [7]),
        ({"width": 1}, (1, THREE[:1]), [4]),
        ({"width": 3}, (3, THREE), [4, 5, 6]),
        ({"width": 1, "column": 0}, (3, THREE), [4]),
        ({"width": 1, "column": 2}, (3, THREE), [6]),
        ({"width": 1, "column": 0}, (0, 7.0), [7]),
        ({"width": 1}, (0, None), [0]),
        ({"width": 2}, (0, None), [0, 0]),
        ({"width": 1, "listed": {1: THREE[:1]}}, (3, THREE), [4]),
        ({"width": 3, "listed": {1: THREE}}, (0, None), [4, 5, 6]),
        ({"width": 1, "classes": True}, (0, 0.0), [0]),
    ],
)
def test_rows(how, given, made):
    assert row(RecordLabels(**how), *given) == made


@pytest.mark.parametrize(
    ("how", "given", "says"),
    [
        ({"width": 1}, (3, THREE), "record has 3 labels, label_width asks for 1"),
        ({"width": 2}, (0, 7.0), "record has 1 label, label_width asks for 2"),
        ({"width": 2, "guess": "key 5 has"}, (3, THREE), "asks for 2, as key 5 has: .*'ragged'"),
        ({"width": 1, "column": 3}, (3, THREE), "has 3 labels, label_column asks for number 3"),
        ({"width": 1, "column": 1}, (0, 7.0), "has 1 label, label_column asks for number 1"),
        ({"width": 2, "ragged": True}, (3, THREE), "has 3 labels"),
        ({"width": 1, "listed": {2: THREE[:1]}}, (0, 7.0), "no label for id 1: add a line"),
        ({"width": 2, "listed": {1: THREE}}, (0, 7.0), "has 3 labels"),
    ],
)
def test_what_does_not_fit_is_refused(how, given, says):
    with pytest.raises(RecordError, match=says):
        row(RecordLabels(**how), *given)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1, 2.5])
@pytest.mark.parametrize("flag", [0, 3])
def test_classes_are_whole_numbers_from_0(bad, flag):
    label = np.array([1, bad, 2], np.float32) if flag else bad
    width = max(flag, 1)
    row(RecordLabels(width), flag, label)  # passes where nobody asks
    with pytest.raises(RecordError, match=f"label {np.float32(bad):g} is not a class"):
        row(RecordLabels(width, classes=True), flag, label)


def test_ragged_rows_are_counted_and_filled_up():
    labels = RecordLabels(3, ragged=True)
    rows = np.zeros((5, labels.columns), np.float32)
    labels.take(rows[0], 3, THREE, 0)
    labels.take(rows[1], 0, 7.0, 0)
    labels.take(rows[2], 2, THREE[:2], 0)
    labels.take(rows[3], 0, None, 0)
    made, count = labels.split(rows)
    assert made.tolist() == [[4, 5, 6], [7, -1, -1], [4, 5, -1], [0, -1, -1], [-1, -1, -1]]
    assert (count.tolist(), count.dtype) == ([3, 1, 2, 1, 0], np.int32)
    same, none = RecordLabels(4).split(rows)
    assert same is rows
    assert none is None
