"""Lines finds rows across files, blocks and parts."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpuio as mx
from gpuio.errors import ClosedError, OptionError, StorageError
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


@pytest.mark.parametrize("kind", ["csv", "libsvm"])
@pytest.mark.parametrize("prefetch", [0, 4])
@pytest.mark.parametrize("how", ["written in place", "replaced"])
def test_a_text_file_that_changes_while_it_is_open_is_an_error(tmp_path, kind, prefetch, how):
    path = tmp_path / "data"
    row = {"csv": "{0}\n", "libsvm": "{0} 0:{0}\n"}[kind]
    path.write_text("".join(row.format(n) for n in range(10, 40)))
    options = {"data_shape": (1,), "batch_size": 5, "prefetch_buffer": prefetch}
    make = {"csv": mx.io.CSVIter, "libsvm": mx.io.LibSVMIter}[kind]
    with make(**{f"data_{kind}": str(path)}, **options) as it:
        it.next()
        changed = "".join(row.format(n) for n in range(50, 80))  # of the same size
        if how == "replaced":  # what is open stays as it was: the next epoch is an error
            (tmp_path / "new").write_text(changed)
            os.utime(tmp_path / "new", ns=(1, 1))
            (tmp_path / "new").replace(path)
            assert len(list(it)) == 5
        else:
            with path.open("r+") as file:
                file.write(changed)
            os.utime(path, ns=(1, 1))
            if prefetch:  # made ahead before that
                with pytest.raises(StorageError, match="changed while it was open"):
                    list(it)
        for _ in range(2):
            it.reset()
            with pytest.raises(StorageError, match="changed while it was open"):
                it.next()
