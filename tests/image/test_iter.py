from __future__ import annotations

import pytest

from gpuio import image, recordio
from gpuio.errors import DecodeError, FormatError, GpuioError, OptionError, RecordError
from gpuio.image import ImageIter
from support.image_epochs import OPTIONS, SHAPE, epochs
from support.lists import BAD_LINES


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("pad", [[([0, 1, 2], 0), ([3, 4, 5], 0), ([6, 0, 1], 2)]] * 3),
        ("discard", [[([0, 1, 2], 0), ([3, 4, 5], 0)]] * 3),
        (
            "roll_over",
            [
                [([0, 1, 2], 0), ([3, 4, 5], 0)],
                [([6, 0, 1], 2), ([2, 3, 4], 0)],
                [([5, 6, 0], 1), ([1, 2, 3], 0), ([4, 5, 6], 0)],
            ],
        ),
    ],
)
@pytest.mark.parametrize("indexed", [True, False])
def test_the_last_batch_is_treated_as_asked(make_records, mode, expected, indexed):
    records = make_records()
    if not indexed:
        del records["path_imgidx"]
    with ImageIter(3, SHAPE, last_batch_handle=mode, **records) as it:
        if indexed:
            lengths = []
            for _ in expected:
                lengths.append(len(it))
                list(it)
                it.reset()
            assert lengths == [len(epoch) for epoch in expected]
            it.hard_reset()
            it.reset()
        assert epochs(it) == expected


def test_a_batch_of_more_than_two_epochs_repeats_the_samples(make_records):
    with ImageIter(7, SHAPE, **make_records(2)) as it:
        assert epochs(it, 2) == [[([0, 1, 0, 1, 0, 1, 0], 5)]] * 2


def test_a_roll_over_shorter_than_a_batch_is_kept_until_it_fills_one(make_records):
    with ImageIter(5, SHAPE, last_batch_handle="roll_over", **make_records(2)) as it:
        assert epochs(it, 3) == [[], [], [([0, 1, 0, 1, 0], 1)]]


def test_labels_have_their_dtype_and_width(make_records):
    exact = 2**24 - 1
    labels = [exact - n for n in range(3)]
    for dtype in ("int32", "int64", "float32", "float64"):
        with ImageIter(3, SHAPE, dtype=dtype, **make_records(3, labels=labels)) as it:
            label = it.next().label[0]
            assert label.dtype == dtype
            assert label.tolist() == labels
    with ImageIter(3, SHAPE, label_width=2, **make_records(3)) as it:
        assert it.provide_label == [("softmax_label", (3, 2))]
        assert it.next().label[0].tolist() == [[0, 0], [1, 1], [2, 2]]


def test_a_label_of_another_width_is_a_value_error_that_names_the_record(make_records):
    records = make_records(3, labels=[[1, 2]] * 3)
    with (
        ImageIter(3, SHAPE, label_width=3, **records) as it,
        pytest.raises(RecordError, match="label_width is 3") as caught,
    ):
        it.next()
    assert isinstance(caught.value, ValueError)
    assert (caught.value.path, caught.value.key) == (records["path_imgrec"], 0)


def test_parts_are_equal_and_disjoint(make_records):
    records = make_records(7)
    parts = []
    for part in range(3):
        with ImageIter(1, SHAPE, num_parts=3, part_index=part, **records) as it:
            parts.append([batch.label[0][0] for batch in it])
    assert parts == [[0, 1], [2, 3], [4, 5]]


def test_a_broken_image_is_a_runtime_error_and_the_next_call_goes_on_behind_it(make_records):
    records = make_records(6, broken={1}, first_key=10)
    for options in ({}, OPTIONS):
        with ImageIter(2, SHAPE, **records, **options) as it:
            with pytest.raises(RuntimeError, match="Broken image index: 11") as caught:
                it.next()
            assert isinstance(caught.value, DecodeError)
            assert caught.value.path == records["path_imgrec"]
            assert caught.value.key == 11
            assert caught.value.offset > 0
            assert it.next().label[0].tolist() == [0, 2]  # the good one before it is not lost


def test_a_broken_image_in_a_file_without_index_is_named_by_its_number(make_records):
    with ImageIter(2, SHAPE, path_imgrec=make_records(4, broken={3})["path_imgrec"]) as it:
        it.next()
        with pytest.raises(DecodeError, match="Broken image index: 3"):
            it.next()


def test_listed_files_are_read_and_missing_ones_named(make_files):
    folder, rows = make_files()
    with ImageIter(2, SHAPE, imglist=rows, path_root=str(folder)) as it:
        assert [label for label, _ in epochs(it, 1)[0]] == [[0, 1], [2, 3], [4, 0]]
    absolute = [[label, str(folder / name)] for label, name in rows]
    with ImageIter(2, SHAPE, imglist=absolute) as it:
        assert it.next().label[0].tolist() == [0, 1]
    (folder / "1.png").write_bytes(b"junk")
    (folder / "2.png").unlink()
    with ImageIter(1, SHAPE, imglist=rows, path_root=str(folder)) as it:
        it.next()
        with pytest.raises(RuntimeError, match=r"Broken image filename: .*1\.png"):
            it.next()
        with pytest.raises(FileNotFoundError, match="path_root") as caught:
            it.next()
        assert isinstance(caught.value, GpuioError)
        assert it.next().label[0].tolist() == [3]


def test_an_image_of_another_size_is_a_value_error(make_records):
    with (
        ImageIter(2, SHAPE, aug_list=[image.CastAug()], **make_records()) as it,
        pytest.raises(ValueError, match=r"data_shape is \(3, 16, 18\)") as caught,
    ):
        it.next()
    assert caught.value.key == 0


@pytest.mark.parametrize(
    ("keywords", "error"),
    [
        ({"data_shape": (3, 8)}, ValueError),
        ({"data_shape": (1, 8, 8)}, ValueError),
        ({"dtype": "uint8"}, AssertionError),
        ({"batch_size": 0}, ValueError),
        ({"last_batch_handle": "keep"}, ValueError),
        ({"prefetch_buffer": 0}, ValueError),
        ({"part_index": 2, "num_parts": 2}, AssertionError),
        ({"no_such_option": 1}, TypeError),
        ({"path_imgidx": None, "shuffle": True}, AssertionError),
        ({"path_imgidx": None, "num_parts": 2}, AssertionError),
        ({"path_imgrec": None, "path_imgidx": None}, AssertionError),
    ],
)
def test_options_that_cannot_be_fail_at_construction(make_records, keywords, error):
    arguments = {"batch_size": 2, "data_shape": SHAPE, **make_records(), **keywords}
    with pytest.raises(error):
        ImageIter(**arguments)


def test_a_list_without_a_line_for_a_record_fails_at_construction(make_records, tmp_path):
    labels = tmp_path / "labels.lst"
    labels.write_text("0\t5\tx\n\n1\t6\tx\n")
    with ImageIter(2, SHAPE, path_imglist=labels, **make_records(2)) as it:
        assert it.next().label[0].tolist() == [5, 6]
    with pytest.raises(KeyError) as caught:
        ImageIter(2, SHAPE, path_imglist=labels, **make_records(4))
    assert "2 records have no line" in str(caught.value)
    labels.write_text("zero\t5\tx\n")
    with pytest.raises(FormatError, match="line 1"):
        ImageIter(2, SHAPE, path_imglist=labels, **make_records(2))


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_line_of_a_list_that_states_no_label_fails_at_construction(make_files, tmp_path, line):
    folder, _ = make_files(3)
    labels = tmp_path / "labels.lst"
    labels.write_text(f"0\t5\t0.png\n{line}\n3\t7\t2.png\n")
    with pytest.raises(FormatError, match=r"line 2.*labels\.lst"):
        ImageIter(1, SHAPE, path_imglist=labels, path_root=folder)


def test_a_list_of_every_habit_is_read(make_files, tmp_path):
    folder, _ = make_files(3)
    (folder / "0.png").rename(folder / "süß 猫 7.png")
    labels = tmp_path / "labels.lst"
    text = "\ufeff10\t5\tsüß 猫 7.png\r\n\r\n11 6 1.png\r\n12\t7.5e0\t2.png\t\r\n"
    labels.write_bytes(text.encode())
    with ImageIter(3, SHAPE, path_imglist=labels, path_root=folder) as it:
        assert it.next().label[0].tolist() == [5, 6, 7.5]


@pytest.mark.parametrize("row", [["cat", "0.png"], ["0.png", 1], [[1, "2,5"], "0.png"], [{}, "x"]])
def test_a_row_of_an_imglist_that_states_no_label_is_named(make_files, row):
    folder, rows = make_files(2)
    with pytest.raises(OptionError, match="imglist: row 2 is"):
        ImageIter(1, SHAPE, imglist=[*rows, row], path_root=folder)


def test_a_record_that_is_no_image_record_is_an_error_in_its_turn(tmp_path, make_records):
    records = make_records(2)
    with recordio.MXRecordIO(str(tmp_path / "more.rec"), "w") as writer:
        reader = recordio.MXRecordIO(records["path_imgrec"], "r")
        writer.write(reader.read())
        writer.write(b"short")
        writer.write(reader.read())
        reader.close()
    with ImageIter(1, SHAPE, path_imgrec=tmp_path / "more.rec") as it:
        it.next()
        with pytest.raises(RecordError, match="not an image record") as caught:
            it.next()
        assert caught.value.key == 1
        assert it.next().label[0].tolist() == [1]
