"""ImageRecordIter over the files that people have: layouts, labels of every width, odd indexes."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import DecodeError, FormatError, OptionError, RecordError, StorageError
from gpuio.recordio.index import build_index
from support.faceset import keep_lines, record, sagemaker, write_faces, write_payloads
from support.lists import BAD_LINES
from support.making import flat, jpeg, photo, reader, write_rec


def epoch(it):
    """Labels, ids and pixel values of the rows of an epoch."""
    rows = []
    for batch in it:
        kept = slice(0, len(batch.index) - batch.pad)
        pixels = batch.data[0].asnumpy()[kept, 0, 0, 0]
        rows += zip(batch.label[0][kept].tolist(), batch.index[kept].tolist(), pixels, strict=True)
    return rows


FACES = [(float(person), key, 10 * person + place) for person, key, place in (
    *((0, 1 + i, i) for i in range(4)),
    *((1, 5 + i, i) for i in range(5)),
    *((2, 10 + i, i) for i in range(3)),
)]  # fmt: skip


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("how", [{}, {"plain_count": True}, {"array": True}])
def test_an_insightface_set_is_read_as_downloaded(tmp_path, how, index):
    with reader(write_faces(tmp_path, **how), index=index, last_batch="pad") as it:
        assert len(it) == 3
        assert epoch(it) == FACES
        assert it.identities == {0: (1, 5), 1: (5, 10), 2: (10, 13)}
        assert it.num_classes == 3


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("order", ["between", "last", "mixed"])
def test_its_header_record_may_lie_anywhere(tmp_path, order, index):
    paths = write_faces(tmp_path, order=order, array=True)
    for layout in ("auto", "insightface"):
        with reader(paths, index=index, last_batch="pad", record_layout=layout) as it:
            assert epoch(it) == FACES
            assert it.identities == {0: (1, 5), 1: (5, 10), 2: (10, 13)}
            assert it.num_classes == 3
    seen = []
    for part in range(4):
        with reader(paths, num_parts=4, part_index=part, batch_size=1) as it:
            seen += epoch(it)
    assert seen == FACES


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("order", ["first", "between", "last"])
def test_more_identities_than_bad_records_may_be(tmp_path, order, index):
    paths = write_faces(tmp_path, (1,) * 1500, order=order)
    with reader(paths, index=index, on_error="skip", batch_size=500) as it:
        assert [row[:2] for row in epoch(it)] == [(float(key - 1), key) for key in range(1, 1501)]
        assert (it.num_classes, len(it.identities), it.stats()["faults"]) == (1500, 1500, 0)


def test_its_classes_are_those_of_the_labels_in_use(tmp_path):
    paths = write_faces(tmp_path, array=True)
    with reader(paths, label_column=1) as it:
        assert it.num_classes == 8
    lst = tmp_path / "a.lst"
    lst.write_text("".join(f"{key}\t{key}\tx.jpg\n" for key in range(1, 13)))
    with reader(paths, path_imglist=str(lst)) as it:
        assert it.num_classes == 13


def test_its_parts_share_the_images_alone(tmp_path):
    paths, seen = write_faces(tmp_path), []
    for part in range(4):
        with reader(paths, num_parts=4, part_index=part, batch_size=1) as it:
            assert len(it) == 3
            seen += epoch(it)
    assert seen == FACES


def test_its_shuffle_is_a_permutation_of_the_images(tmp_path):
    with reader(write_faces(tmp_path), shuffle=True, batch_size=3) as it:
        first = epoch(it)
        assert first != FACES
        assert sorted(first) == FACES


def test_it_is_said_in_one_line_of_the_log(tmp_path, caplog):
    caplog.set_level(logging.INFO, "gpuio")
    reader(write_faces(tmp_path), verbose=True).close()
    (line,) = [r.getMessage() for r in caplog.records if "InsightFace" in r.getMessage()]
    assert "12 images" in line
    caplog.clear()
    reader(write_faces(tmp_path)).close()
    assert [r for r in caplog.records if "InsightFace" in r.getMessage()] == []


def test_read_as_plain_its_header_is_a_bad_record(tmp_path):
    paths = write_faces(tmp_path)
    with reader(paths, record_layout="plain") as it, pytest.raises(RecordError) as raised:
        next(it)
    assert (raised.value.key, raised.value.offset) == (0, 0)
    with reader(paths, record_layout="plain", label_width=2) as it, pytest.raises(DecodeError):
        next(it)
    with reader(paths, record_layout="plain", on_error="skip", last_batch="pad") as it:
        assert epoch(it) == FACES
        assert it.stats()["faults"] == 4
        assert it.identities is None


def test_both_of_its_labels_come_when_asked_for(tmp_path):
    paths = write_faces(tmp_path, array=True)
    for width in (2, "auto"):
        with reader(paths, label_width=width) as it:
            assert it.provide_label[0].shape == (4, 2)
            assert next(it).label[0].tolist() == [[0, 7]] * 4
    with reader(paths, label_column=1) as it:
        assert next(it).label[0].tolist() == [7] * 4


def test_another_files_layout_is_not_insightfaces(tmp_path):
    paths = write_rec(tmp_path, [flat(i) for i in range(4)])
    with pytest.raises(FormatError, match="record_layout='insightface'"):
        reader(paths, record_layout="insightface")
    with reader(paths) as it:
        assert (it.identities, it.num_classes) == (None, None)
    with reader(paths, num_classes=9) as it:
        assert it.num_classes == 9


@pytest.mark.parametrize("index", [True, False])
def test_bare_images_have_ids_and_a_lists_labels(tmp_path, index):
    payloads = [flat(10 * i) for i in range(5)]
    paths = write_payloads(tmp_path, payloads, keys=range(20, 25))
    with reader(paths, index=index, last_batch="pad") as it:
        first = 20 if index else 0
        assert epoch(it) == [(0.0, first + i, 10 * i) for i in range(5)]
    lst = tmp_path / "a.lst"
    lst.write_text("".join(f"{first + i}\t{i + 0.5}\tx\n" for i in range(5)))
    with reader(paths, index=index, path_imglist=lst, last_batch="pad") as it:
        assert [row[0] for row in epoch(it)] == [i + 0.5 for i in range(5)]
    lst.write_text(f"{first}\t1\tx\n")
    with pytest.raises(RecordError, match=rf"id {first + 1} and 3 more: {first + 2}, {first + 3}"):
        reader(paths, index=index, path_imglist=lst)


def test_bare_images_under_odd_keys(tmp_path):
    paths = write_payloads(tmp_path, [flat(1), flat(2)], keys=[-7, 1 << 62])
    lst = tmp_path / "a.lst"
    lst.write_text(f"{1 << 62}\t5\tx\n-7\t4\tx\n{1 << 64}\t6\tx\n")
    with reader(paths, batch_size=2, path_imglist=lst, label_width="auto") as it:
        batch = next(it)
    assert batch.index.tolist() == [(1 << 64) - 7, 1 << 62]
    assert batch.label[0].tolist() == [4, 5]


def test_options_without_a_use_for_bare_images_are_refused(tmp_path):
    paths = write_payloads(tmp_path, [flat(i) for i in range(4)])
    with pytest.raises(OptionError, match=r"label_column: .* bare images, without labels"):
        reader(paths, label_column=0)
    for payload in ("auto", "raw"):
        with pytest.raises(FormatError, match="expected image records, found bare images"):
            reader(paths, record_layout="insightface", payload=payload)


def test_sagemakers_protobuf_is_named_when_opened(tmp_path):
    paths = write_payloads(tmp_path, [sagemaker(np.arange(20), 1)] * 4)
    with pytest.raises(FormatError, match="RecordIO-protobuf"):
        reader(paths)


def widths(folder, *each):
    """A file whose records have as many labels as `each` says, numbered on."""
    payloads = [
        record(float(i) if n == 0 else [float(10 * i + k) for k in range(n)], flat(i), i)
        for i, n in enumerate(each)
    ]
    return write_payloads(folder, payloads)


@pytest.mark.parametrize(
    ("each", "shape", "first"),
    [((0, 0, 1), (4,), [0, 1, 20]), ((2, 2, 2), (4, 2), [[0, 1], [10, 11], [20, 21]])],
)
def test_an_automatic_width_is_what_the_records_have(tmp_path, each, shape, first):
    with reader(widths(tmp_path, *each), label_width="auto", last_batch="pad") as it:
        assert it.provide_label[0].shape == shape
        assert next(it).label[0][:3].tolist() == first


def test_an_automatic_width_that_differs_names_both(tmp_path):
    with pytest.raises(RecordError, match=r"key 2 has 1 label, key 0 has 2.*ragged"):
        reader(widths(tmp_path, 2, 2, 0), label_width="auto")
    each = [2] * 200
    each[100] = 3  # not among those looked at
    with reader(widths(tmp_path, *each), label_width="auto", batch_size=200) as it:
        with pytest.raises(RecordError, match="3 labels, label_width asks for 2, as key 0") as bad:
            next(it)
        assert bad.value.key == 100


def test_ragged_labels_are_filled_up_and_counted(tmp_path):
    paths = widths(tmp_path, 0, 3, 2, 0, 1)
    with reader(paths, label_width="ragged", last_batch="pad") as it:
        assert it.provide_label[0].shape == (4, 3)
        one, two = list(it)
    assert one.label[0].tolist() == [[0, -1, -1], [10, 11, 12], [20, 21, -1], [3, -1, -1]]
    assert one.label_count.tolist() == [1, 3, 2, 1]
    assert two.label[0].tolist() == [[40, -1, -1]] + [[-1] * 3] * 3
    assert two.label_count.tolist() == [1, 0, 0, 0]
    with reader(widths(tmp_path, 0, 0), label_width="ragged", batch_size=2) as it:
        assert next(it).label[0].tolist() == [[0], [1]]


def test_ragged_rows_stay_right_under_every_policy(tmp_path):
    payloads = [record([1.0, 2.0], flat(1)), b"bad", record(3.0, flat(3)), record(4.0, flat(4))]
    paths = write_payloads(tmp_path, payloads)
    with reader(paths, label_width="ragged", on_error="skip") as it:
        batch = next(it)
    assert batch.label[0].tolist() == [[1, 2], [3, -1], [4, -1], [-1, -1]]
    assert (batch.label_count.tolist(), batch.pad) == ([2, 1, 1, 0], 1)
    with reader(paths, label_width="ragged", on_error="replace") as it:
        batch = next(it)
    assert batch.label_count[1] in (1, 2)
    assert (batch.label[0][1] != 0).any()


def test_ragged_and_automatic_labels_of_a_list(tmp_path):
    paths = write_rec(tmp_path, [flat(i) for i in range(2)])
    lst = tmp_path / "a.lst"
    lst.write_text("0\t5\t6\ta b.png\n1\t7\tc.png\n")
    with reader(paths, path_imglist=lst, label_width="ragged", batch_size=2) as it:
        assert next(it).label[0].tolist() == [[5, 6], [7, -1]]
    with pytest.raises(RecordError, match=r"id 1 of path_imglist has 1 label, id 0 .* has 2"):
        reader(paths, path_imglist=lst, label_width="auto")
    lst.write_text("0\t5\t6\ta.png\n1\t7\t8\tc.png\n")
    with reader(paths, path_imglist=lst, label_width="auto", batch_size=2) as it:
        assert next(it).label[0].tolist() == [[5, 6], [7, 8]]


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_line_of_a_list_that_states_no_label_is_named_when_opened(tmp_path, line):
    paths = write_rec(tmp_path, [flat(i) for i in range(4)])
    lst = tmp_path / "labels.lst"
    lst.write_text(f"0\t5\t0.png\n{line}\n3\t7\t3.png\n")
    with pytest.raises(FormatError, match=r"line 2.*labels\.lst"):
        reader(paths, path_imglist=lst)


@pytest.mark.parametrize(
    "options",
    [
        {"label_column": 0, "label_width": 2},
        {"label_column": 0, "label_width": "auto"},
        {"num_classes": 3, "label_width": "ragged"},
        {"num_classes": 3, "label_width": "auto"},
    ],
)
def test_label_options_that_conflict_are_refused(tmp_path, options):
    with pytest.raises(OptionError, match=r"label_column: takes|num_classes: needs"):
        reader(widths(tmp_path, 2, 2), **options)


def test_classes_may_be_asked_for(tmp_path):
    labels = [0.0, 3.0, float("nan"), -1.0, 2.5]
    paths = write_rec(tmp_path, [flat(i) for i in range(5)], labels=labels)
    with reader(paths, last_batch="pad") as it:
        assert np.isnan(next(it).label[0][2])
    with reader(paths, label_type="class") as it, pytest.raises(RecordError, match="nan") as bad:
        next(it)
    assert bad.value.key == 2
    with reader(paths, label_type="class", on_error="skip", last_batch="pad") as it:
        assert [row[0] for row in epoch(it)] == [0, 3]


def test_a_lists_missing_ids_are_all_named_when_opened(tmp_path):
    paths = write_rec(tmp_path, [flat(i) for i in range(6)], ids=[0, 11, 12, 13, 4, 5])
    lst = tmp_path / "a.lst"
    lst.write_text("".join(f"{i}\t1\tx\n" for i in (0, 4, 11)))
    with pytest.raises(RecordError, match="no label for id 12 and 2 more: 13, 5") as raised:
        reader(paths, path_imglist=lst)
    assert raised.value.key == 2
    with reader(paths, path_imglist=lst, on_error="skip", last_batch="pad") as it:
        assert [row[1] for row in epoch(it)] == [0, 11, 4]


@pytest.mark.parametrize("index", [True, False])
def test_an_id_that_is_the_magic_number(tmp_path, index):
    ids = [3470205706, 1, 3470205706 << 32]  # the header is stored in two parts
    paths = write_rec(tmp_path, [flat(i) for i in range(3)], ids=ids)
    assert Path(paths[0]).read_bytes().count(ids[0].to_bytes(4, "little")) == 5
    with reader(paths, index=index, last_batch="pad") as it:
        assert epoch(it) == [(0.0, ids[0], 0), (1.0, 1, 1), (2.0, ids[2], 2)]


def test_ids_may_repeat(tmp_path):
    paths = write_rec(tmp_path, [flat(i) for i in range(4)], ids=[7, 7, 7, 7])
    with reader(paths) as it:
        assert epoch(it) == [(float(i), 7, i) for i in range(4)]


def test_a_missing_index_is_made_when_asked_for(tmp_path):
    paths = write_rec(tmp_path, [flat(i) for i in range(4)])
    Path(paths[1]).unlink()
    with pytest.raises(StorageError, match="rec2idx"):
        reader(paths)
    with pytest.warns(mx.GpuioWarning, match="reindex=True"):
        it = reader(paths, reindex=True, shuffle=True)
    with it:
        again = [row[0] for row in epoch(it)]
    assert not Path(paths[1]).exists()
    with reader(paths, index=False, reindex=True, shuffle=True) as it:
        assert [row[0] for row in epoch(it)] == again
    build_index(*paths)
    with reader(paths, shuffle=True) as it:
        assert [row[0] for row in epoch(it)] == again


@pytest.mark.parametrize("line", ["9\t18446744073709551615", "9\t999999", "x", "3\t5"])
def test_a_foreign_index_is_refused_or_made_anew(tmp_path, line):
    paths = write_rec(tmp_path, [flat(i) for i in range(4)])
    with Path(paths[1]).open("a") as idx:
        idx.write(line + "\n")
    with pytest.raises(FormatError):
        reader(paths)
    with pytest.warns(mx.GpuioWarning, match="is not used"), reader(paths, reindex=True) as it:
        assert [row[0] for row in epoch(it)] == [0, 1, 2, 3]


def test_reindex_does_not_hide_a_damaged_record_file(tmp_path):
    paths = write_rec(tmp_path, [flat(i) for i in range(4)])
    data = bytearray(Path(paths[0]).read_bytes())
    data[:4] = b"\0\0\0\0"
    Path(paths[0]).write_bytes(data)
    with pytest.raises(FormatError, match="magic"):
        reader(paths, reindex=True, index=False)
    Path(paths[0]).unlink()
    with pytest.raises(StorageError, match=re.escape(paths[0])):
        reader(paths, reindex=True)


def test_several_files_need_an_index_each(tmp_path):
    one = write_rec(tmp_path, [flat(i) for i in range(2)], name="one")
    two = write_rec(tmp_path, [flat(i) for i in range(2, 4)], labels=[2.0, 3.0], name="two")
    for reindex in (False, True):
        with pytest.raises(FormatError, match="2 record files and 1 index files"):
            reader((f"{one[0]};{two[0]}", one[1]), reindex=reindex)
    with reader((f"{one[0]};{two[0]}", f"{one[1]};{two[1]}")) as it:
        assert [row[0] for row in epoch(it)] == [0, 1, 2, 3]
    for indexes in (str(tmp_path), f"{tmp_path}/*.idx"):
        with reader((str(tmp_path), indexes)) as it:
            assert [row[0] for row in epoch(it)] == [0, 1, 2, 3]
    Path(one[1]).unlink()
    with pytest.raises(FileNotFoundError, match=r"one\.idx"):
        reader((str(tmp_path), str(tmp_path)))


def test_records_beyond_4_gib_are_read(tmp_path):
    paths = write_rec(tmp_path, [flat(1), flat(2)])
    tail = Path(paths[0]).read_bytes()
    huge, at = (1 << 29) - 8, 0
    with Path(paths[0]).open("wb") as file:  # sparse: ten records of half a GiB of nothing
        for _ in range(10):
            file.seek(at)
            file.write((0xCED7230A).to_bytes(4, "little") + huge.to_bytes(4, "little"))
            at += 8 + huge
        file.seek(at)
        file.write(tail)
    assert at > 5_000_000_000
    lines = [line.split("\t") for line in Path(paths[1]).read_text().splitlines()]
    Path(paths[1]).write_text("".join(f"{key}\t{at + int(offset)}\n" for key, offset in lines))
    with pytest.warns(mx.GpuioWarning, match="2 of 12 records"):
        it = reader(paths, batch_size=2)
    with it:
        assert epoch(it) == [(0.0, 0, 1), (1.0, 1, 2)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"batch_size": 21}, "batch of 21 needs more than the 10 records"),
        ({"batch_size": 17}, "batch of 17 needs more than the 3 records left in pass 1"),
        ({"batch_size": 11, "last_batch": "discard"}, "10 records are fewer than one batch of 11"),
        ({"num_parts": 11, "part_index": 10}, "part 10 of 11 holds no record .10 records in all"),
    ],
)
def test_too_few_records_are_an_error_when_opened(tmp_path, options, says):
    paths = write_rec(tmp_path, [flat(i) for i in range(10)])
    with pytest.raises(OptionError, match=says):
        reader(paths, **options)


@pytest.mark.parametrize("last_batch", ["pad", "partial"])
def test_too_few_records_for_a_batch_may_be_padded(tmp_path, last_batch):
    paths = write_rec(tmp_path, [flat(i) for i in range(3)])
    with reader(paths, batch_size=8, last_batch=last_batch) as it:
        assert len(it) == 1
        assert len(epoch(it)) == 3


def test_an_index_of_half_an_insightface_set(tmp_path):
    paths = write_faces(tmp_path)
    keep_lines(paths[1], range(8))
    with (
        pytest.warns(mx.GpuioWarning, match="8 of 16 records"),
        pytest.warns(mx.GpuioWarning, match="the last key is 7"),
    ):
        it = reader(paths)
    with it, pytest.raises(RecordError):
        next(it)
    with pytest.warns(mx.GpuioWarning, match="8 of 16 records"):
        it = reader(paths, record_layout="insightface", last_batch="pad")
    with it:
        assert epoch(it) == FACES[:7]


def test_formats_are_told_by_content(tmp_path):
    blobs = [jpeg(photo(16, 16, 1)), flat(2), jpeg(photo(16, 16, 3))]
    with reader(write_rec(tmp_path, blobs), batch_size=3, data_shape=(3, 8, 8)) as it:
        assert next(it).data[0][1].tolist() == np.full((3, 8, 8), 2).tolist()
