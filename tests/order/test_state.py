"""Saved states: what is refused, and in which words."""

import numpy as np
import pytest

from gpuio.errors import StateError
from gpuio.order.state import check_state, flag, fraction, items, whole


def test_a_state_of_another_source_is_told_by_field_and_both_values():
    check_state({"version": 1, "source": {"rows": 3, "more": 0}}, 1, {"rows": 3})
    with pytest.raises(StateError, match="rows: saved 4, here 3; size: saved None, here 2"):
        check_state({"version": 1, "source": {"rows": 4}}, 1, {"rows": 3, "size": 2})


@pytest.mark.parametrize(
    ("state", "found"), [({"version": 2}, "got 2"), ({}, "got None"), ([], "got list")]
)
def test_a_state_of_another_version_is_told(state, found):
    with pytest.raises(StateError, match=f"expected version 1, {found}"):
        check_state(state, 1, {})


@pytest.mark.parametrize("wrong", [-1, 13, 11, 10**30, 4.0, float("nan"), None, "4", True, [4]])
def test_a_field_that_is_not_the_number_expected_is_named_with_what_was_found(wrong):
    assert whole({"samples": 8}, "samples", 12, step=4) == 8
    with pytest.raises(StateError, match="state: samples: expected a whole number from 0 to 12"):
        whole({"samples": wrong}, "samples", 12, step=4)


def test_a_missing_field_is_named():
    with pytest.raises(StateError, match=r"epoch: .* found nothing"):
        whole({}, "epoch")
    with pytest.raises(StateError, match="over: expected true or false, found nothing"):
        flag({}, "over")
    with pytest.raises(StateError, match="inner: expected a list of at most 2, found nothing"):
        items({}, "inner", 2)


def test_other_whole_numbers_are_taken():
    assert whole({"cursor": np.int64(-7)}, "cursor", 20, least=-7, step=3) == -7
    assert whole({"seed": 10**40}, "seed", None) == 10**40


@pytest.mark.parametrize("source", [None, "x", 3, []])
def test_a_source_that_is_not_a_dict_is_named(source):
    with pytest.raises(StateError, match="state: source: expected a dict"):
        check_state({"version": 1, "source": source}, 1, {})


def test_an_older_version_is_compared_by_the_fields_that_it_has():
    since = {"digest": 2}
    here = {"rows": 3, "digest": "a"}
    assert check_state({"version": 1, "source": {"rows": 3}}, 2, here, since=since, oldest=1) == 1
    with pytest.raises(StateError, match="digest: saved None, here 'a'"):
        check_state({"version": 2, "source": {"rows": 3}}, 2, here, since=since, oldest=1)
    with pytest.raises(StateError, match="expected version 1 to 2, got 3"):
        check_state({"version": 3, "source": here}, 2, here, since=since, oldest=1)


def test_a_field_that_is_no_part_of_one_is_named():
    assert [fraction({"share": each}, "share") for each in (0, 0.25, 1)] == [0.0, 0.25, 1.0]
    for wrong in (-0.1, 1.1, True, "0.5", None, float("nan"), [0.5]):
        with pytest.raises(StateError, match="share: expected a number from 0 to 1"):
            fraction({"share": wrong}, "share")
    with pytest.raises(StateError, match="found nothing"):
        fraction({}, "share")
