"""Saved states: what is refused, and in which words."""

import pytest

from gpuio.errors import StateError
from gpuio.order.state import check_state


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
