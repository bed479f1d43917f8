"""Lines finds rows across files, blocks and parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuio.errors import ClosedError, OptionError
from gpuio.io import lines as module
from gpuio.io.lines import Lines, runs


def texts(found, first=0, stop=None):
    """Return rows as text, cut at their line's end."""
    got = []
    for _, text, starts in found.read(first, len(found) if stop is None else stop):
        for start in starts:
            line = text[start:].tobytes().replace(b"\r", b"\n").split(b"\n")[0]
            got.append(line.decode())
    return got


@settings(deadline=None, max_examples=60)
@given(
    files=st.lists(
        st.lists(st.sampled_from(["a", "bb", "cccc", ""]), min_size=1, max_size=6),
        min_size=1,
        max_size=3,
    ),
    end=st.sampled_from(["", "\n"]),
    parts=st.integers(1, 4),
    block=st.integers(1, 9),
)
def test_parts_hold_every_row_once_and_any_stretch_is_found(
    tmp_path_factory, files, end, parts, block
):
    folder = tmp_path_factory.mktemp("lines")
    for number, rows in enumerate(files):
        (folder / f"{number}.txt").write_text("x\n" + "\n".join(rows) + end)
    uri = ";".join(str(folder / f"{number}.txt") for number in range(len(files)))
    expected = [one for rows in files for one in ["x", *rows] if one]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        each = [Lines(uri, num_parts=parts, part_index=part) for part in range(parts)]
        whole = Lines(uri)
    assert texts(whole) == expected == [row for part in each for row in texts(part)]
    assert [part.first_row for part in each] == [
        sum(len(one) for one in each[:k]) for k in range(parts)
    ]
    for first in range(len(expected)):
        assert texts(whole, first, first + 1) == [expected[first]]
        assert texts(whole, first) == expected[first:]
    for one in (whole, *each):
        one.close()


def test_a_row_has_a_place(tmp_path):
    (tmp_path / "a").write_text("1\n22\n")
    (tmp_path / "b").write_text("\n3\n")
    found = Lines(f"{tmp_path / 'a'};{tmp_path / 'b'}")
    assert found.place(1) == {"path": str(tmp_path / "a"), "key": 1, "offset": 2}
    assert found.place(2) == {"path": str(tmp_path / "b"), "key": 2, "offset": 1}
    found.close()
    found.close()
    with pytest.raises(ClosedError):
        found.read(0, 1)


def test_a_part_that_is_not_there_is_refused(tmp_path):
    (tmp_path / "a").write_text("1\n")
    for part in (-1, 2):
        with pytest.raises(OptionError, match="0 <= part_index < num_parts"):
            Lines(str(tmp_path / "a"), num_parts=2, part_index=part)


@given(st.lists(st.integers(0, 5), max_size=9))
def test_runs_are_stretches_of_consecutive_numbers(rows):
    found = runs(np.array(rows, np.int64))
    assert [row for first, stop in found for row in range(first, stop)] == rows
    assert all(stop > first for first, stop in found)
