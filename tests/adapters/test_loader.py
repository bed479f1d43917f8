"""Loader: epochs, early ends, padding and state, whatever the framework."""

import numpy as np
import pytest
from feeds import Counting, value

from gpuio.adapters.loader import Loader
from gpuio.io.base import DataIter


def values(loader):
    return [value(data) for data, _ in loader]


def test_every_loop_is_an_epoch_and_the_length_is_exact():
    loader = Loader(Counting(), np.asarray)
    assert len(loader) == 4
    assert values(loader) == [0, 1, 2, 3]
    assert values(loader) == [10, 11, 12, 13]


def test_a_loop_left_early_is_followed_by_a_whole_epoch():
    loader = Loader(Counting(), np.asarray)
    for data, _ in loader:
        if value(data) == 1:
            break
    assert values(loader) == [10, 11, 12, 13]


def test_padding_rows_are_kept_unless_cut():
    kept = [len(data) for data, _ in Loader(Counting(), np.asarray)]
    cut = [(len(data), len(label)) for data, label in Loader(Counting(), np.asarray, cut_pad=True)]
    assert kept == [3, 3, 3, 3]
    assert cut == [(3, 3), (3, 3), (3, 3), (2, 2)]


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_a_loop_after_loading_a_state_continues_where_it_was_saved(stop):
    first = Loader(Counting(), np.asarray)
    seen = []
    state = first.state_dict()
    for data, _ in first:
        if len(seen) == stop:
            break
        seen.append(value(data))
        state = first.state_dict()
    again = Loader(Counting(), np.asarray)
    again.load_state_dict(state)
    assert seen + values(again) == [0, 1, 2, 3]
    assert values(again) == [10, 11, 12, 13]


def test_a_state_saved_at_the_end_of_an_epoch_continues_with_the_next():
    first = Loader(Counting(), np.asarray)
    values(first)
    again = Loader(Counting(), np.asarray)
    again.load_state_dict(first.state_dict())
    assert values(again) == [10, 11, 12, 13]


def test_an_iterator_of_unknown_length_has_no_len():
    with pytest.raises(TypeError):
        len(Loader(DataIter(4), np.asarray))
