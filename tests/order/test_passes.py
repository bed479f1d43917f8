"""Passes replay MXNet's shuffles, chunk by chunk and pass by pass."""

import numpy as np
import pytest

from gpuio.order import passes as passes_module
from gpuio.order.passes import open_passes
from support.tables import options, table

MIB = 1 << 20


def rows(passes, pass_index):
    return passes.rows(pass_index, 0, passes.n_records, 0, 4)[0].tolist()


@pytest.mark.parametrize(
    ("seed", "first", "second"),
    [
        (0, [3, 4, 9, 2, 1, 6, 7, 0, 5, 8], [4, 0, 8, 5, 7, 2, 1, 9, 6, 3]),
        (5, [9, 3, 0, 8, 4, 5, 2, 1, 6, 7], [7, 0, 3, 8, 1, 4, 2, 9, 6, 5]),
    ],
)
@pytest.mark.parametrize("indexed", [True, False])
def test_the_first_two_permutations_of_ten_records_are_mxnets(seed, first, second, indexed):
    passes = open_passes(table([100] * 10, indexed=indexed), options(shuffle=True, seed=seed))
    assert [rows(passes, 0), rows(passes, 1)] == [first, second]


def test_eleven_groups_of_chunks_are_visited_in_mxnets_order():
    records = table([104_856] * 1100, indexed=False)  # just below 110 MiB, in groups of 11: P = 11
    passes = open_passes(records, options(shuffle_chunk_size=11))
    visited = [row // 100 for row in rows(passes, 0)[::100]]
    assert visited == [0, 6, 4, 9, 7, 3, 1, 5, 10, 8, 2]


def test_every_pass_is_a_permutation_of_the_part():
    for pass_index in (0, 1, 5):
        passes = open_passes(
            table([3 * MIB] * 40, indexed=False),
            options(shuffle=True, shuffle_chunk_size=4, num_parts=2, part_index=1),
        )
        found = sorted(rows(passes, pass_index))
        assert found == list(range(found[0], 40))
        assert len(found) == passes.n_records


def test_a_pass_far_ahead_is_the_one_reached_step_by_step():
    records = table([3 * MIB] * 30, indexed=False)
    asked = options(shuffle=True, shuffle_chunk_size=7)
    walking = open_passes(records, asked)
    walked = [rows(walking, pass_index) for pass_index in range(90)]
    jumping = open_passes(records, asked)
    assert [rows(jumping, p) for p in (89, 2, 88)] == [walked[89], walked[2], walked[88]]
    assert len({tuple(each) for each in walked}) > 80


@pytest.mark.parametrize("indexed", [True, False])
def test_a_shuffle_of_many_records_is_the_same_compiled_and_not(monkeypatch, indexed):
    records = table(np.full(300, 200_000), indexed=indexed)
    plain = rows(open_passes(records, options(shuffle=True)), 1)
    monkeypatch.setattr(passes_module, "COMPILED_FROM", 2)
    assert rows(open_passes(records, options(shuffle=True)), 1) == plain


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("at_once", [1, 100, 10**6])
def test_draws_that_are_passed_over_leave_the_pass_that_walking_finds(
    monkeypatch, indexed, at_once
):
    records = table([3 * MIB] * 30, indexed=indexed)
    walking = open_passes(records, options(shuffle=True))
    walked = [rows(walking, pass_index) for pass_index in range(41)]
    monkeypatch.setattr(passes_module, "_WORTH_A_LEAP", (0, 0))
    monkeypatch.setattr(passes_module, "_DRAWS_AT_ONCE", at_once)
    jumping = open_passes(records, options(shuffle=True))
    assert [rows(jumping, p) for p in (40, 2, 39, 3)] == [walked[p] for p in (40, 2, 39, 3)]


def test_a_pass_that_was_reached_is_drawn_from_there(monkeypatch):
    passes = open_passes(table([100] * 10, indexed=True), options(shuffle=True))
    passes.reach(300)
    monkeypatch.setattr(passes._replay, "_leap", None)
    drawn = []
    draw = passes._replay._draw
    monkeypatch.setattr(passes._replay, "_draw", lambda *key: drawn.append(key[0]) or draw(*key))
    assert sorted(rows(passes, 300)) == list(range(10))
    assert drawn == [300]
