from __future__ import annotations

import numpy as np
import pytest

from gpuio.errors import RecordError, Where
from gpuio.image.detlabel import WrongBoxCount, check_valid_label, parse_label

BOX = [1, 0.1, 0.2, 0.5, 0.6]


def test_the_header_goes_and_empty_boxes_go():
    label = parse_label([4, 5, 9, 9, *BOX, 2, 0.5, 0.5, 0.5, 0.9])
    assert label.dtype == np.float32
    assert np.allclose(label, [BOX])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([2, 5, 1], "Label shape is invalid"),
        ([2, 4, *BOX, 1, 2, 3], "inconsistent with annotation width 4"),
        ([1, 5, *BOX, 1], "header of 1"),
        ([2, 5, *BOX, 1], "inconsistent"),
        ([2, 5, 1, 0.5, 0.5, 0.5, 0.9], "no valid label"),
        ([2, 5, 1, 0.5, 0.5, 0.5, 0.9, -1, -1, -1, -1, -1], "no valid label"),
        ([3, 5], "is invalid"),
        ([2], "is invalid"),
        ([np.nan, 5, *BOX], "inconsistent"),
        ([2, np.inf, *BOX], "inconsistent"),
    ],
)
def test_what_is_no_label_is_a_runtime_error(raw, message):
    with pytest.raises(RecordError, match=message) as caught:
        parse_label(raw)
    assert isinstance(caught.value, RuntimeError)


def test_wrong_boxes_are_kept_left_out_or_refused():
    wide, ids = [2, 10, 20, 100, 200], [-3, 0.1, 0.2, 0.5, 0.6]
    raw = [2, 5, *wide, *BOX, 2, 0.5, 0.5, 0.4, 0.9, *ids]
    assert np.allclose(parse_label(raw), [wide, BOX, ids])
    assert np.allclose(parse_label(raw, "drop"), [BOX])
    assert parse_label([2, 5, *wide], "drop").shape == (0, 5)
    with pytest.raises(RecordError, match="3 of 4 boxes are wrong; the first is number 1"):
        parse_label(raw, "raise")
    for policy in ("accept", "drop", "raise"):
        assert np.allclose(parse_label([2, 5, *BOX, *[-1] * 5], policy), [BOX])


def test_wrong_boxes_of_many_labels_are_counted():
    wide = [2, 10, 20, 100, 200]
    count, edge = WrongBoxCount(), [0, -0.005, 0, 1.005, 1]
    for number in range(600):
        label = [2, 5, *BOX, *edge] if number % 2 else [3, 6, 0, *BOX, 9]
        count.add([2, 5, *wide, *BOX, *wide] if number in (255, 599) else label, Where("a", number))
    count.finish()
    assert (count.boxes, count.images) == (4, 2)
    assert count.first.startswith("2 of 3 boxes are wrong; the first is number 1")
    assert count.first.endswith("[path=a, key=255]")
    count.finish()
    assert (count.boxes, WrongBoxCount().first) == (4, "")


@pytest.mark.parametrize("raw", [[2, 5], [4, 6, 9, 9], [2, 5, *[-1] * 10]])
def test_a_header_alone_or_padding_alone_is_background(raw):
    assert parse_label(raw).shape == (0, raw[1])


@pytest.mark.parametrize("label", [[], [[-1, 0.1, 0.1, 0.5, 0.5]], [[1, 0.5, 0.1, 0.5, 0.5]]])
def test_an_augmented_label_needs_a_valid_object(label):
    check_valid_label(np.array([BOX]))
    with pytest.raises(RecordError):
        check_valid_label(np.array(label))
