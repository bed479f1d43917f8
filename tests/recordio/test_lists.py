"""List files by im2rec's rule and by path_imglist's."""

import numpy as np
import pytest

from gpuio.errors import FormatError, StorageError
from gpuio.recordio.lists import ListItem, read_label_list, read_list, write_list


def write(folder, text):
    path = folder / "a.lst"
    path.write_text(text)
    return str(path)


def test_fields_are_divided_by_tabs(tmp_path):
    path = write(tmp_path, "5\t1.5\tdir/a b.jpg\n\n 6 \t 2 \t 3 \tc.png \n")
    assert list(read_list(path)) == [
        ListItem(5, "dir/a b.jpg", (1.5,)),
        ListItem(6, "c.png", (2.0, 3.0)),
    ]


@pytest.mark.parametrize("line", ["1 2 a.jpg", "1\ta.jpg", "x\t1\ta.jpg", "1\tcat\ta.jpg"])
def test_a_bad_line_is_an_error_or_a_noted_problem(tmp_path, line):
    path = write(tmp_path, f"0\t0\tok.jpg\n{line}\n2\t0\tok.jpg\n")
    with pytest.raises(FormatError, match="line 2"):
        list(read_list(path))
    problems = []
    assert [item.index for item in read_list(path, problems)] == [0, 2]
    assert len(problems) == 1
    assert problems[0].startswith("line 2")


def test_what_is_written_reads_back(tmp_path):
    items = [ListItem(3, "x/y z.jpg", (1.0, -2.5)), ListItem(4, "b.png", (0.0,))]
    path = tmp_path / "b.lst"
    write_list(path, items)
    assert path.read_text() == "3\t1.000000\t-2.500000\tx/y z.jpg\n4\t0.000000\tb.png\n"
    assert list(read_list(path)) == items


def test_label_lists_take_any_white_space_and_numbers_at_the_front(tmp_path):
    path = write(tmp_path, "0 1.5 2 a.jpg\n7\t-1e1x\tname.jpg\n0\t9\t8\n")
    labels = read_label_list(path, 2)
    assert {key: row.tolist() for key, row in labels.items()} == {0: [9, 8], 7: [-10, 0]}
    assert labels[7].dtype == np.float32


@pytest.mark.parametrize("line", ["1", "x 1 2", "-1 2 3"])
def test_a_bad_label_line_is_named(tmp_path, line):
    with pytest.raises(FormatError, match="Bad ImageList format: line 2"):
        read_label_list(write(tmp_path, f"0 1 2\n{line}\n"), 1)


def test_a_missing_list(tmp_path):
    with pytest.raises(StorageError, match=r"no\.lst"):
        list(read_list(tmp_path / "no.lst"))
