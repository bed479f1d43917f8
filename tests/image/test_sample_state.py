from __future__ import annotations

import json

import numpy as np
import pytest

from gpuio.errors import StateError
from gpuio.image import ImageIter
from support.image_epochs import OPTIONS, SHAPE, pixels


@pytest.mark.parametrize("mode", ["pad", "discard", "roll_over"])
@pytest.mark.parametrize("source", ["indexed", "sequential", "shuffled"])
@pytest.mark.parametrize("taken", [0, 1, 2, 4, 5])
def test_a_restored_iterator_goes_on_as_the_saved_one_would(make_records, mode, source, taken):
    records = make_records()
    if source == "sequential":
        del records["path_imgidx"]
    keywords = {"last_batch_handle": mode, "shuffle": source == "shuffled", "rng": 3}

    def make():
        return ImageIter(3, SHAPE, **keywords, **records, **OPTIONS)

    def go_on(it, count):
        made = []
        while len(made) < count:
            try:
                batch = it.next()
            except StopIteration:
                it.reset()
                continue
            made.append((batch.label[0].tolist(), batch.pad, batch.data[0].tobytes()))
        return made

    with make() as saved, make() as restored:
        go_on(saved, taken)
        state = json.loads(json.dumps(saved.state_dict()))
        restored.load_state_dict(state)
        assert go_on(restored, 5) == go_on(saved, 5)


def test_a_state_without_a_seed_keeps_the_order(make_records):
    records = make_records()
    with ImageIter(2, SHAPE, shuffle=True, **records) as saved:
        saved.next()
        state = saved.state_dict()
        expected = [batch.label[0].tolist() for batch in saved]
    with ImageIter(2, SHAPE, shuffle=True, **records) as restored:
        restored.load_state_dict(state)
        assert [batch.label[0].tolist() for batch in restored] == expected


def test_a_foreign_state_is_refused_by_name_and_values(make_records):
    with ImageIter(2, SHAPE, **make_records()) as it:
        state = it.state_dict()
    with (
        ImageIter(2, SHAPE, shuffle=True, **make_records()) as it,
        pytest.raises(StateError, match=r"source.shuffle is False in the state and True here"),
    ):
        it.load_state_dict(state)
    with ImageIter(2, SHAPE, **make_records(5, name="other")) as it:
        with pytest.raises(StateError, match=r"source.keys is 7 in the state and 5 here"):
            it.load_state_dict(state)
        with pytest.raises(StateError, match="not a state"):
            it.load_state_dict({"version": 1})
        with pytest.raises(StateError, match="version is 9"):
            it.load_state_dict({**state, "version": 9})


def test_a_carry_over_several_epochs_is_made_again(make_records):
    keywords = {"last_batch_handle": "roll_over", "rng": 3, **make_records(), **OPTIONS}
    for indexed in (True, False):
        if not indexed:
            del keywords["path_imgidx"]
        with ImageIter(3, SHAPE, **keywords) as saved, ImageIter(3, SHAPE, **keywords) as restored:
            list(saved)
            saved.reset()
            list(saved)
            restored.load_state_dict(saved.state_dict())
            with pytest.raises(StopIteration):
                restored.next()
            saved.reset()
            restored.reset()
            assert np.array_equal(pixels(restored, 1), pixels(saved, 1))


def test_a_restored_length_counts_what_was_carried_into_the_epoch(make_records):
    with ImageIter(3, SHAPE, last_batch_handle="roll_over", **make_records()) as saved:
        for _ in range(2):
            list(saved)
            saved.reset()
        saved.next()
        assert len(saved) == 3
        state = saved.state_dict()
    with ImageIter(3, SHAPE, last_batch_handle="roll_over", **make_records()) as restored:
        restored.load_state_dict(state)
        assert len(restored) == 3


def test_a_place_behind_the_end_of_a_file_without_index_is_refused(make_records):
    records = make_records()
    del records["path_imgidx"]
    with ImageIter(2, SHAPE, **records) as it, ImageIter(2, SHAPE, **records) as whole:
        expected = [batch.label[0].tolist() for batch in whole]
        it.next()
        state = it.state_dict()
        for field, wrong in (
            ("samples", 10**9),
            ("carry", [{"key": None, "position": 7, "epoch": 0}]),
        ):
            with pytest.raises(StateError, match=f"state: {field}: "):
                it.load_state_dict({**state, field: wrong, "epoch": 3})
        assert it.epoch == 0
        assert [batch.label[0].tolist() for batch in it] == expected[1:]


@pytest.mark.parametrize("wrong", [{"key": 99}, {"position": -1}, {"epoch": None}, {"more": 1}])
def test_a_damaged_carry_is_named(make_records, wrong):
    keywords = {"last_batch_handle": "roll_over", "rng": 3, **make_records(), **OPTIONS}
    with ImageIter(3, SHAPE, **keywords) as it:
        list(it)
        state = it.state_dict()
        with pytest.raises(StateError, match=r"carry\[0\]"):
            it.load_state_dict({**state, "carry": [{**state["carry"][0], **wrong}]})
