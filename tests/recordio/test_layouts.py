"""What a set of files holds is recognised, stated when asked for, and wrong guesses refused."""

import itertools

import numpy as np
import pytest

from gpuio.errors import FormatError, OptionError
from gpuio.recordio.classes import labels_of
from gpuio.recordio.framing import MAGIC
from gpuio.recordio.index import build_index, open_table
from gpuio.recordio.layouts import recognise
from gpuio.storage.local import LocalFile
from support.faceset import (
    face_payloads,
    physical,
    record,
    sagemaker,
    write_faces,
    write_payloads,
)
from support.making import flat, jpeg, photo, write_rec

BARE = [jpeg(photo(20 + i, 30)) for i in range(9)]


def contents(*paths, index=True, **how):
    table = open_table([rec for rec, _ in paths], [idx for _, idx in paths] if index else [])
    return recognise(table, **how)


def test_a_plain_files_table_is_not_touched(tmp_path):
    paths = write_rec(tmp_path, [flat(i) for i in range(5)])
    table = open_table([paths[0]])
    made = recognise(table)
    assert made.table is table
    assert (made.payload, made.faces, made.insightface) == ("image_record", (None,), False)
    assert (made.described(), made.identities(), made.num_classes()) == ([], None, None)


def test_a_plain_file_costs_one_look(tmp_path, monkeypatch):
    table = open_table([write_rec(tmp_path, [flat(i % 256) for i in range(500)])[0]])
    reads = []
    real = LocalFile.read
    monkeypatch.setattr(LocalFile, "read", lambda *args: reads.append(args) or real(*args))
    recognise(table)
    assert len(reads) <= 3  # of the payload, of the image's first bytes, of the first record


def test_insightface_keeps_the_images_alone(tmp_path):
    paths = write_faces(tmp_path)
    made = contents(paths)
    assert made.table.key.tolist() == list(range(1, 13))
    assert made.insightface
    assert made.identities() == {0: (1, 5), 1: (5, 10), 2: (10, 13)}
    assert "12 images" in made.described()[0]
    assert "3 identity records" in made.described()[0]
    assert len(contents(paths, record_layout="plain").table) == 16


def labelled(folder, labels, *, name="train", order="first", array=False):
    """Write a set of these labels, an identity record for each run of equal ones."""
    runs = [len(list(run)) for _, run in itertools.groupby(labels)]
    payloads, keys = face_payloads(runs), physical(runs, order)
    for key, label in enumerate(labels, 1):
        payloads[key] = record([label, 3.0] if array else label, flat(key))
    return write_payloads(folder, [payloads[key] for key in keys], name, keys)


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("array", [True, False])
@pytest.mark.parametrize("order", ["first", "between", "last", "mixed"])
@pytest.mark.parametrize(
    ("labels", "classes", "said"),
    [
        ([0, 0, 1, 1, 2], 3, ""),
        ([0, 0, 5, 5, 9], 10, "3 identity records, and the largest label is 9: num_classes is 10"),
        ([1, 1, 2, 2, 3], 4, "3 identity records, and the largest label is 3: num_classes is 4"),
        ([0, 1, 0, 1, 0], 2, "5 identity records of 2 labels, and the largest label is 1"),
        ([float("nan"), 0, 1.5], 3, "3 identity records of 2 labels, and the largest label is 1"),
        ([float("inf"), -1, 0], 3, "3 identity records of 2 labels, and the largest label is 0"),
    ],
)
def test_classes_are_never_below_the_largest_label(
    tmp_path, caplog, labels, classes, said, order, array, index
):
    made = contents(labelled(tmp_path, labels, order=order, array=array), index=index)
    assert caplog.records == []
    assert [made.num_classes(), made.num_classes()] == [classes] * 2
    lines = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert len(lines) == bool(said)
    assert said in "".join(lines)
    if array:
        assert made.num_classes(column=1) == max(4, made.stated_classes())


def test_labels_of_records_in_parts_and_damaged_ones(tmp_path):
    payloads = [
        record([4.0, 5.0], flat(1), MAGIC),  # the magic number as the id: two parts
        record(2.0, flat(1)),
        b"short",
        record([1.0, 2.0, 3.0]),
    ]
    table = open_table([write_payloads(tmp_path, payloads)[0]])
    assert np.array_equal(labels_of(table), [4, 2, np.nan, 1], equal_nan=True)
    assert np.array_equal(labels_of(table, 1), [5, np.nan, np.nan, 2], equal_nan=True)


def test_a_property_below_the_labels_is_raised(tmp_path, caplog):
    paths = labelled(tmp_path, [0, 4, 7])
    (tmp_path / "property").write_text("5,112,112")
    assert contents(paths).num_classes() == 8
    assert "`property` states 5 classes, and the largest label is 7" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "property",
        "train.idx",
        "train.rec",
    ]


@pytest.mark.parametrize("order", ["between", "last", "mixed"])
def test_an_index_that_numbers_places_names_identities_by_its_own_keys(tmp_path, order):
    rec, idx = write_faces(tmp_path, order=order)
    build_index(rec, idx)
    made = contents((rec, idx))
    place = physical((4, 5, 3), order)
    assert made.table.key.tolist() == [place.index(key) for key in range(1, 13)]
    assert made.identities() == {
        number: (place.index(first), place.index(stop - 1) + 1)
        for number, (first, stop) in enumerate([(1, 5), (5, 10), (10, 13)])
    }


def test_without_an_index_a_sets_images_have_the_layouts_keys(tmp_path):
    plain = write_rec(tmp_path, [flat(i) for i in range(4)])
    made = contents(plain, write_faces(tmp_path, order="between"), index=False)
    assert made.table.key.tolist() == [*range(4), *range(1, 13)]
    assert made.identities() == {0: (1, 5), 1: (5, 10), 2: (10, 13)}


def test_classes_are_those_of_property_then_of_the_identities(tmp_path):
    paths = write_faces(tmp_path)
    assert contents(paths).num_classes() == 3
    for text, expected in (("93431,112,112\n", 93431), ("many\n", 3), ("1,2", 3), ("\xff", 3)):
        (tmp_path / "property").write_text(text, encoding="latin-1")
        assert contents(paths).num_classes() == expected
    (tmp_path / "property").unlink()
    tailless = write_payloads(tmp_path, face_payloads()[:13])
    assert contents(tailless).num_classes() is None


def test_files_are_asked_one_by_one(tmp_path):
    faces, plain = write_faces(tmp_path), write_rec(tmp_path, [flat(i) for i in range(4)])
    made = contents(plain, faces)
    assert made.table.key.tolist() == [*range(4), *range(1, 13)]
    assert made.table.file.tolist() == [0] * 4 + [1] * 12
    assert not made.insightface
    assert made.identities() == {0: (1, 5), 1: (5, 10), 2: (10, 13)}
    both = contents(faces, write_faces(tmp_path, (2, 2), name="more"))
    assert len(both.table) == 16
    for ask in (both.identities, both.num_classes):
        with pytest.raises(OptionError, match="2 of the files are InsightFace"):
            ask()


@pytest.mark.parametrize("index", [True, False])
def test_bare_images_are_recognised(tmp_path, index):
    made = contents(write_payloads(tmp_path, BARE, keys=range(100, 109)), index=index)
    assert made.payload == "raw"
    assert made.ids().tolist() == list(range(100, 109) if index else range(9))
    assert "bare images" in made.described()[0]


def test_a_file_without_records_is_of_no_kind(tmp_path):
    empty = write_payloads(tmp_path, [], "empty")
    assert contents(empty, write_payloads(tmp_path, BARE, "bare"), index=False).payload == "raw"


def test_places_go_on_from_file_to_file(tmp_path):
    paths = [write_payloads(tmp_path, BARE[:2], name) for name in "ab"]
    assert contents(*paths, index=False).ids().tolist() == [0, 1, 2, 3]


def test_a_stated_payload_is_not_questioned(tmp_path):
    paths = write_payloads(tmp_path, BARE)
    assert contents(paths, payload="image_record").payload == "image_record"
    odd = write_payloads(tmp_path, [sagemaker([1, 2], 0)] * 3)
    assert contents(odd, payload="raw").payload == "raw"
    assert contents(odd, payload="image_record", record_layout="plain").faces == (None,)


@pytest.mark.parametrize(
    ("payloads", "says"),
    [
        ([sagemaker(np.arange(30), 1)] * 5, "SageMaker's RecordIO-protobuf"),
        ([BARE[0], b'{"label": 1}'] * 5, "augmented manifest"),
        ([b'{"label": 1}'] * 3, "augmented manifest"),
    ],
)
def test_other_formats_in_the_same_framing_are_named(tmp_path, payloads, says):
    with pytest.raises(FormatError, match=says) as raised:
        contents(write_payloads(tmp_path, payloads))
    assert raised.value.offset is not None
    assert "expected" in str(raised.value).lower()


@pytest.mark.parametrize(
    "payloads",
    [
        [record(1.0, flat(1)), *BARE],  # one image record is enough
        [record(1.0, b"nobody's format")] * 4,
        [b"{}", record(1.0, flat(1))],
        [b"garbage", b"rubbish"],
        [BARE[0], *[b"garbage"] * 5],
        [sagemaker([1, 2], 0), b"garbage"],
    ],
)
def test_in_doubt_records_are_image_records(tmp_path, payloads):
    assert contents(write_payloads(tmp_path, payloads)).payload == "image_record"


def test_bare_images_and_image_records_do_not_mix(tmp_path):
    bare = write_payloads(tmp_path, BARE, "bare")
    with pytest.raises(FormatError, match="bare images and others"):
        contents(write_rec(tmp_path, [flat(1)]), bare)
    with pytest.raises(FormatError, match="record_layout='insightface'"):
        contents(write_rec(tmp_path, [flat(1)]), record_layout="insightface")
