"""What is wrong with a label is found, counted and worded in one place."""

import numpy as np
import pytest

from gpuio.errors import RecordError
from gpuio.kernels.plan.box_label import surely_right
from gpuio.tasks.box_check import check_form, look_like_boxes, wrong_boxes

GOOD = [3, 0.1, 0.2, 0.5, 0.6]
WRONG = [
    ([np.nan, 0.1, 0.2, 0.5, 0.6], "NaN or infinite"),
    ([3, np.nan, 0.2, 0.5, 0.6], "NaN or infinite"),
    ([3, 0.1, -np.inf, 0.5, 0.6], "NaN or infinite"),
    ([3, 0.1, 0.2, np.inf, 0.6], "NaN or infinite"),
    ([3, 0.1, 0.2, 0.5, np.nan], "NaN or infinite"),
    ([3, 0.5, 0.2, 0.1, 0.6], "right is not above left"),
    ([3, 0.1, 0.6, 0.5, 0.2], "bottom not above top"),
    ([3, 0.1, 0.2, 0.1, 0.6], "right is not above left"),
    ([3, 10, 20, 100, 200], "in pixels"),
    ([3, 0, 0, 1, 200], "in pixels"),
    ([3, -0.02, 0.2, 0.5, 0.6], "outside of the image"),
    ([3, 0.1, -0.02, 0.5, 0.6], "outside of the image"),
    ([3, 0.1, 0.2, 1.02, 0.6], "outside of the image"),
    ([3, 0.1, 0.2, 0.5, 1.02], "outside of the image"),
    ([-1, 0.1, 0.2, 0.5, 0.6], "id is negative or not a whole number"),
    ([2.5, 0.1, 0.2, 0.5, 0.6], "id is negative or not a whole number"),
]


def label(*objects):
    return np.float32([2, 5, *np.ravel(objects)])


@pytest.mark.parametrize(("box", "says"), WRONG, ids=str)
def test_a_wrong_box_is_named_with_its_numbers(box, says):
    found = wrong_boxes(label(GOOD, box, GOOD))
    assert (found.count, len(found.objects), len(found.right)) == (1, 3, 2)
    assert str(found).startswith("1 of 3 boxes are wrong; the first is number 2 (id, left, top, ")
    assert says in str(found)
    assert [says in kind for kind in found.kinds] == [True]


def test_right_boxes_and_padding_are_not_wrong():
    edges = [0, -0.009, 0, 1.009, 1]
    assert wrong_boxes(label(GOOD, edges, [2**24, 0, 0, 1, 1], [-1] * 5)) is None
    assert wrong_boxes(np.float32([2, 5])) is None
    assert wrong_boxes(np.float32([3, 6, 9, *GOOD, np.nan])) is None  # an object's own number


def test_all_kinds_are_counted():
    found = wrong_boxes(label(*(box for box, _ in WRONG), GOOD))
    assert (found.count, len(found.objects)) == (16, 17)
    assert sorted(found.kinds.values()) == [2, 2, 3, 4, 5]


@pytest.mark.parametrize("header", [[2.5, 5], [2, 5.5], [1, 5], [2, 4], [9, 5], [np.nan, 5]])
def test_a_header_must_be_two_whole_numbers(header):
    with pytest.raises(RecordError, match="both whole numbers"):
        check_form(np.float32([*header, *GOOD]))


def test_sets_are_recognised_by_most_of_their_labels():
    background, malformed = np.float32([2, 5]), np.float32([2, 5, *GOOD, 1])
    assert look_like_boxes([label(GOOD), background, background])
    assert look_like_boxes([label(GOOD), label(GOOD), malformed])
    assert not look_like_boxes([malformed, label(GOOD)])
    assert not look_like_boxes([background])
    assert not look_like_boxes([np.float32([7])] * 3)
    assert not look_like_boxes([])


@pytest.mark.parametrize("box", [box for box, _ in WRONG], ids=str)
def test_what_is_surely_right_is_not_wrong(box):
    assert surely_right(np.float32([GOOD, [0, 0, 0, 1, 1]]))
    assert not surely_right(np.float32([GOOD, box]))
