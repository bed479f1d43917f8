"""Lists are read by one rule, and a line that states no label is named."""

import logging

import numpy as np
import pytest

from gpuio.errors import FormatError, StorageError
from gpuio.recordio.lists import ListItem, read_label_list, read_list, write_list
from support.lists import BAD_LINES
from support.making import write_rec


def write(folder, text):
    path = folder / "a.lst"
    path.write_bytes(text.encode())
    return str(path)


def test_fields_are_divided_by_tabs(tmp_path):
    path = write(tmp_path, "5\t1.5\tdir/a b.jpg\n\n 6 \t 2 \t 3 \tc.png \n")
    assert list(read_list(path)) == [
        ListItem(5, "dir/a b.jpg", (1.5,)),
        ListItem(6, "c.png", (2.0, 3.0)),
    ]


def test_blanks_divide_where_a_line_has_no_tab(tmp_path):
    path = write(tmp_path, "0 1.5  2 a.jpg\n7\t-1e1\t.5\ta name.jpg\n")
    assert list(read_list(path)) == [
        ListItem(0, "a.jpg", (1.5, 2.0)),
        ListItem(7, "a name.jpg", (-10.0, 0.5)),
    ]


def test_a_byte_order_mark_and_line_ends_of_windows_are_no_part_of_a_field(tmp_path):
    path = write(tmp_path, "\ufeff0\t1\ta.jpg\r\n\r\n1\t2\tb.jpg\t\r\n")
    assert list(read_list(path)) == [ListItem(0, "a.jpg", (1.0,)), ListItem(1, "b.jpg", (2.0,))]


@pytest.mark.parametrize(
    "name", ["7 8.jpg", "007", "1e3", "süß/猫.jpg", "a\u3000b\u00a0", "x,y.png"]
)
def test_a_path_may_be_any_text(tmp_path, name):
    path = write(tmp_path, f"0\t1\t{name}\n1\t2\tx\n")
    assert next(read_list(path)) == ListItem(0, name, (1.0,))
    assert read_label_list(path, 1)[0].tolist() == [1]


def test_a_path_may_be_any_bytes(tmp_path):
    (tmp_path / "a.lst").write_bytes(b"0\t1\tcaf\xe9.jpg\n")
    (item,) = read_list(tmp_path / "a.lst")
    assert item.path.encode("utf-8", "surrogateescape") == b"caf\xe9.jpg"


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_line_that_states_no_label_is_named(tmp_path, line):
    path = write(tmp_path, f"0\t5\t0.png\n{line}\n3\t7\t3.png\n")
    where = r"line 2 and in line 3" if "\n" in line else "line 2 is"
    with pytest.raises(FormatError, match=rf"Bad ImageList format: .*{where}.*a\.lst"):
        read_label_list(path, 1)


@pytest.mark.parametrize("line", ["1 2 a b.jpg", "1\ta.jpg", "x\t1\ta.jpg", "1\tcat\ta.jpg"])
def test_a_bad_line_is_an_error_or_a_noted_problem(tmp_path, line):
    path = write(tmp_path, f"0\t0\tok.jpg\n{line}\n2\t0\tok.jpg\n")
    with pytest.raises(FormatError, match="line 2"):
        list(read_list(path))
    problems = []
    assert [item.index for item in read_list(path, problems)] == [0, 2]
    assert len(problems) == 1
    assert problems[0].startswith("line 2")


def test_an_id_in_two_lines_is_an_error_with_both(tmp_path):
    path = write(tmp_path, "4\t0\ta\n\n5\t0\tb\n4\t1\tc\n")
    for read in (lambda: list(read_list(path, [])), lambda: read_label_list(path, None)):
        with pytest.raises(FormatError, match="id 4 stands in line 1 and in line 4"):
            read()


@pytest.mark.parametrize(("line", "advice"), [("1,75", "a point"), ("cat", "classes by numbers")])
def test_an_error_says_what_to_write(tmp_path, line, advice):
    with pytest.raises(FormatError, match=advice):
        read_label_list(write(tmp_path, f"0\t{line}\ta.jpg\n"), 1)


def test_the_number_of_labels_is_the_one_asked_for(tmp_path):
    path = write(tmp_path, "0\t1\t2\ta.jpg\n1\t3\t4\tb.jpg\n")
    for width in (2, None):
        labels = read_label_list(path, width)
        assert {key: row.tolist() for key, row in labels.items()} == {0: [1, 2], 1: [3, 4]}
        assert labels[0].dtype == np.float32
    for width in (1, 3):
        with pytest.raises(FormatError, match=rf"2 label\(s\).*asks for {width}"):
            read_label_list(path, width)
    assert [item.labels for item in read_list(path, widths=(1, 2))] == [(1, 2), (3, 4)]


@pytest.mark.parametrize("identity", ["-1", str(1 << 64)])
def test_an_id_that_no_record_can_have(tmp_path, identity):
    path = write(tmp_path, f"0\t1\t2\n{identity}\t2\t3\n")
    with pytest.raises(FormatError, match=r"format: line 2 .*whole number from 0"):
        read_label_list(path, 1)
    assert list(read_label_list(path, None)) == [0, int(identity)]  # an index may have such keys


@pytest.mark.parametrize(("names", "said"), [("12", True), ("1x", False)])
def test_paths_that_may_be_labels_are_said(tmp_path, caplog, names, said):
    path = write(tmp_path, "".join(f"{i}\t5\t{name}\n" for i, name in enumerate(names)))
    with caplog.at_level(logging.WARNING, "gpuio"):
        assert len(read_label_list(path, 1)) == 2
    assert ("taken for the path" in caplog.text) == said


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("0\t1\ta.jpg\n".encode("utf-16"), "UTF-16"),
        (b"0\t0\n1\t2048\n", r"an index \(.idx\)"),
        (b"<html>404</html>", "a web page"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, data, kind):
    (tmp_path / "a.lst").write_bytes(data)
    with pytest.raises(FormatError, match=kind):
        read_label_list(tmp_path / "a.lst", 1)
    rec, _ = write_rec(tmp_path, [b"blob"])
    with pytest.raises(FormatError, match="this is a record file, not an image list"):
        read_label_list(rec, 1)


def test_what_is_written_reads_back(tmp_path):
    items = [ListItem(3, "x/y z.jpg", (1.0, -2.5)), ListItem(4, "b.png", (0.0,))]
    path = tmp_path / "b.lst"
    write_list(path, items)
    assert path.read_text() == "3\t1.000000\t-2.500000\tx/y z.jpg\n4\t0.000000\tb.png\n"
    assert list(read_list(path)) == items


@pytest.mark.parametrize("label", [1e-7, 1 / 3, 0.1234567, 3e38, -2.5, 16777215.0, np.inf, np.nan])
def test_a_label_that_is_written_reads_back_as_the_same_float32(tmp_path, label):
    write_list(tmp_path / "b.lst", [ListItem(0, "a.jpg", (float(np.float32(label)),))])
    labels = read_label_list(tmp_path / "b.lst", 1)[0]
    assert np.array_equal(labels, [np.float32(label)], equal_nan=True)


def test_a_missing_list(tmp_path):
    with pytest.raises(StorageError, match=r"no\.lst"):
        list(read_list(tmp_path / "no.lst"))


@pytest.mark.parametrize("number", ["\u00b2", "\u0663", "1\u00b2", "-1"])
def test_an_id_in_other_digits_is_a_typed_error(tmp_path, number):
    path = tmp_path / "a.lst"
    path.write_text(f"{number}\t1\tx.jpg\n", encoding="utf-8")
    with pytest.raises(FormatError, match="line 1"):
        read_label_list(path, 1)


@pytest.mark.parametrize("line", ["5\t{}\tp.jpg", "{}\t1\tp.jpg", "5\tx{}\tp.jpg"])
def test_a_message_shows_the_beginning_of_a_long_field(tmp_path, line):
    path = tmp_path / "a.lst"
    path.write_text("0\t1\ta.jpg\n" + line.format("9" * 100_000))
    with pytest.raises(FormatError, match="line 2") as caught:
        list(read_list(path))
    assert len(str(caught.value)) < 500
