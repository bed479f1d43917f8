"""InsightFace's layout is found, near misses are not, and identities have the right keys."""

import itertools

import numpy as np
import pytest

from gpuio.errors import FormatError, GpuioWarning
from gpuio.recordio import insightface
from gpuio.recordio.framing import MAGIC
from gpuio.recordio.index import build_index, open_table
from gpuio.recordio.insightface import find_faces, identity_ranges
from gpuio.recordio.layouts import recognise
from gpuio.storage.local import LocalFile
from support.faceset import (
    face_payloads,
    keep_lines,
    physical,
    record,
    write_faces,
    write_payloads,
)
from support.making import flat


def find(paths, *, index=True, asked=False):
    table = open_table([paths[0]], [paths[1]] if index else [])
    with LocalFile(paths[0]) as file:
        return find_faces(file, table.offset, table.length, table.key, asked=asked)


def identities(paths):
    with LocalFile(paths[0]) as file:
        return identity_ranges(file, find(paths))


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("how", [{}, {"plain_count": True}, {"array": True}])
def test_the_layout_is_found(tmp_path, how, index):
    rows = find(write_faces(tmp_path, **how), index=index)
    assert (rows.image, rows.images, rows.identities) == (slice(1, 13), 12, 3)


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("how", [{}, {"plain_count": True}, {"array": True}])
@pytest.mark.parametrize("order", ["between", "last", "mixed"])
def test_the_header_lies_where_its_builder_had_it(tmp_path, order, how, asked, index):
    paths = write_faces(tmp_path, order=order, **how)
    rows = find(paths, index=index, asked=asked)
    assert (rows.images, rows.identities) == (12, 3)
    assert rows.key.tolist() == physical((4, 5, 3), order)
    assert rows.key[rows.image].tolist() == list(range(1, 13))
    with LocalFile(paths[0]) as file:
        assert identity_ranges(file, rows) == {0: (1, 5), 1: (5, 10), 2: (10, 13)}


@pytest.mark.parametrize("order", ["first", "between", "last"])
def test_a_damaged_image_beside_the_header_does_not_hide_it(tmp_path, order):
    payloads, keys = face_payloads(), physical((4, 5, 3), order)
    payloads[1], payloads[12] = record(0.0), b"short"
    paths = write_payloads(tmp_path, [payloads[key] for key in keys], keys=keys)
    for index in (True, False):
        rows = find(paths, index=index)
        assert (rows.images, rows.identities) == (12, 3)


@pytest.mark.parametrize("order", ["between", "last"])
def test_a_header_elsewhere_that_the_file_contradicts_is_plain_with_a_warning(tmp_path, order):
    payloads, keys = face_payloads(), physical((4, 5, 3), order)
    payloads[15] = record([1.0, 2.5])
    paths = write_payloads(tmp_path, [payloads[key] for key in keys], keys=keys)
    for index in (True, False):
        with pytest.warns(GpuioWarning, match="the record of key 15 is not an identity record"):
            assert find(paths, index=index) is None


def test_keys_may_stand_in_any_order(tmp_path):
    keys = [14, 0, *range(12, 0, -1), 13, 15]
    payloads = face_payloads()
    rows = find(write_payloads(tmp_path, [payloads[key] for key in keys], keys=keys))
    assert rows.key[rows.image].tolist() == list(range(12, 0, -1))
    assert rows.key[rows.identity].tolist() == [13, 14, 15]


def test_one_image_of_one_person_is_enough(tmp_path):
    rows = find(write_faces(tmp_path, (1,)))
    assert (rows.images, rows.identities) == (1, 1)


def test_a_file_without_its_identity_records_is_found_by_its_count(tmp_path):
    rows = find(write_payloads(tmp_path, face_payloads()[:13]))
    assert (rows.images, rows.identities) == (12, 0)


def test_an_index_of_some_records_keeps_the_split(tmp_path):
    paths = write_faces(tmp_path)
    keep_lines(paths[1], [0, 1, 5, 6, 13, 15])
    with pytest.warns(GpuioWarning, match="lists 6 of 16 records"):
        rows = find(paths)
    assert rows.key.tolist() == [0, 1, 5, 6, 13, 15]
    assert (rows.images, rows.identities) == (3, 2)


def test_a_bad_image_among_them_does_not_hide_the_layout(tmp_path):
    payloads = face_payloads()
    payloads[1], payloads[7] = record(0.0), b"short"
    rows = find(write_payloads(tmp_path, payloads))
    assert (rows.images, rows.identities) == (12, 3)


IMAGES = [record(float(i), flat(i)) for i in range(6)]
RANGE = record([1.0, 3.0])


@pytest.mark.parametrize(
    "payloads",
    [
        IMAGES,
        [record([7.0, 9.0], flat(1)), *IMAGES],  # two labels and an image
        [record(7.0), *IMAGES],  # one label, no image
        [record([6.5, 9.0]), *IMAGES],
        [record([float("nan"), 9.0]), *IMAGES],
        [record([float("inf"), 9.0]), *IMAGES],
        [record([1e30, 9.0]), *IMAGES],
        [record([-7.0, 9.0]), *IMAGES],
        [record([1.0, 9.0]), *IMAGES],
    ],
)
def test_a_plain_file_is_plain_without_a_word(tmp_path, payloads):
    assert find(write_payloads(tmp_path, payloads)) is None


@pytest.mark.parametrize(
    ("payloads", "why"),
    [
        (
            [record([2.0, 5.0]), *IMAGES],
            "the record of key 2 is not an identity record",
        ),  # a detection label
        ([record([6.0, 9.0]), *IMAGES], "the record of key 6 is not an identity record"),
        ([record([8.0, 9.0]), *IMAGES], "the last key is 6"),
        ([record([900.0, 9.0]), *IMAGES], "the last key is 6"),
        ([record([5.0, 9.0]), *[RANGE] * 4, *IMAGES], "the records after it are not images"),
        (
            [record([5.0, 9.0]), *IMAGES[:4], RANGE, IMAGES[4]],
            "the record of key 6 is not an identity record",
        ),
        (
            [record([5.0, 9.0]), *IMAGES[:4], record([1.0, 2.5])],
            "the record of key 5 is not an identity record",
        ),
        (
            [record([5.0, 9.0]), *IMAGES[:4], record(1.0)],
            "the record of key 5 is not an identity record",
        ),
    ],
)
def test_a_near_miss_is_plain_with_a_warning(tmp_path, payloads, why):
    paths = write_payloads(tmp_path, payloads)
    with pytest.warns(GpuioWarning, match=why):
        assert find(paths) is None


def test_a_key_at_two_records_is_a_near_miss(tmp_path):
    keys = [*range(12), 11, 13, 14, 15]
    paths = write_payloads(tmp_path, face_payloads(), keys=keys)
    with (
        pytest.warns(GpuioWarning, match="1 keys stand at more than one record"),
        pytest.warns(GpuioWarning, match="keys of the index stand at several records"),
    ):
        assert find(paths) is None
    with (
        pytest.warns(GpuioWarning, match="1 keys stand at more than one record"),
        pytest.raises(FormatError, match="and keys of the index stand at several records"),
    ):
        find(paths, asked=True)


def test_asked_for_only_the_header_must_be_there(tmp_path):
    rows = find(write_payloads(tmp_path, [record([900.0, 9.0]), *IMAGES]), asked=True)
    assert (rows.images, rows.identities) == (6, 0)
    with pytest.raises(FormatError, match="found a record of kind 'image' with 1 label") as raised:
        find(write_payloads(tmp_path, IMAGES), asked=True)
    assert (raised.value.key, raised.value.offset) == (0, 0)


def test_identities_have_the_keys_of_their_images(tmp_path):
    assert identities(write_faces(tmp_path)) == {0: (1, 5), 1: (5, 10), 2: (10, 13)}


@pytest.mark.parametrize(
    "labels", [[5.0, 4.0], [0.0, 5.0], [9.0, 99.0], [float("nan"), 9.0], [1e30, 9.0], 5.0]
)
def test_a_damaged_identity_is_named(tmp_path, labels):
    paths = write_faces(tmp_path)
    rows = find(paths)
    payloads = face_payloads()
    payloads[14] = record(labels)
    paths = write_payloads(tmp_path, payloads, "train")
    with LocalFile(paths[0]) as file, pytest.raises(FormatError, match="identities") as raised:
        identity_ranges(file, rows if labels != 5.0 else find_rows(paths))
    assert raised.value.key == 14


def find_rows(paths):
    """The rows of a file as if its layout had been found."""
    table = open_table([paths[0]], [paths[1]])
    return insightface.FaceRows(
        table.offset, table.length, table.key, slice(1, 13), np.arange(13, 16)
    )


@pytest.fixture
def coarse(monkeypatch):
    """Numbers beyond 8 are rounded to multiples of four, as float32 does beyond 2**25."""
    monkeypatch.setattr(insightface, "EXACT", 8)
    monkeypatch.setattr(insightface, "rounding", lambda number: 4 if number >= 8 else 0)
    return lambda key: key if key <= 8 else 4 * round(key / 4)


@pytest.mark.parametrize("counts", [(4, 5, 3, 2, 1, 6), (9, 1, 1, 1, 1), (3, 3, 3, 3), (30,)])
def test_rounded_numbers_are_put_right_by_the_records(tmp_path, coarse, counts):
    paths = write_faces(tmp_path, counts, shift=coarse)
    rows = find(paths)
    assert (rows.images, rows.identities) == (sum(counts), len(counts))
    ends = np.cumsum([1, *counts]).tolist()
    assert identities(paths) == dict(enumerate(itertools.pairwise(ends)))


def test_rounded_numbers_and_labels_that_say_nothing_are_refused(tmp_path, coarse):
    payloads = face_payloads((4, 5, 3, 2), shift=coarse)
    payloads[10:13] = [record(77.0, flat(1))] * 3
    paths = write_payloads(tmp_path, payloads)
    with pytest.raises(FormatError, match="label 77 where the images of identity 2"):
        identities(paths)


def test_float32_is_exact_up_to_two_to_the_24th():
    assert insightface.rounding((1 << 24) - 1) == 0
    for number in (16_777_217, 17_091_657, 42_474_557, (1 << 27) + 5):
        rounded = int(np.float32(number))
        assert abs(rounded - number) <= insightface.rounding(rounded)


RANGES = {0: (1, 5), 1: (5, 10), 2: (10, 13)}
MIXED = [7, 14, 1, 3, 15, 6, 11, 0, 12, 9, 8, 13, 10, 4, 5, 2]


def contents(rec, *idx, resync=False, **how):
    return recognise(open_table([rec], idx, past_damage=resync), **how)


def written(folder, keys, lost=(), **how):
    """Write records in an order of their keys, damage some; return the path and their offsets."""
    payloads = face_payloads(**how)
    rec, idx = write_payloads(folder, [payloads[key] for key in keys], keys=keys)
    offset = open_table([rec], [idx]).offset
    with open(rec, "r+b") as file:
        for key in lost:
            file.seek(offset[keys.index(key)])
            file.write(b"lost")
    return rec, idx


@pytest.mark.parametrize("layout", ["auto", "insightface"])
@pytest.mark.parametrize("first", MIXED)
def test_a_shuffled_file_has_its_records_ids_for_keys(tmp_path, first, layout):
    at = MIXED.index(first)
    keys = MIXED[at:] + MIXED[:at]
    rec, _ = written(tmp_path, keys, ids=True)
    made = contents(rec, record_layout=layout)
    assert made.table.key.tolist() == [key for key in keys if 1 <= key <= 12]
    assert made.identities() == RANGES


def test_a_shuffled_file_whose_identities_have_no_ids_is_told_by_counts(tmp_path):
    rec, _ = written(tmp_path, MIXED)
    assert contents(rec).table.key.tolist() == [key for key in MIXED if 1 <= key <= 12]
    assert contents(rec).identities() == RANGES


def test_a_shuffled_file_whose_images_have_no_ids_is_read_without_identities(tmp_path):
    payloads = face_payloads(ids=True)
    payloads[1:13] = [record(0.0, flat(key), 77) for key in range(1, 13)]
    rec, _ = write_payloads(tmp_path, [payloads[key] for key in MIXED])
    made = contents(rec)
    assert len(made.table) == 12
    with pytest.raises(FormatError, match=r"the keys of the images are not known.*path_imgidx"):
        made.identities()
    assert "the keys of the images are not known" in made.described()[0]


def test_a_shuffled_file_whose_index_numbers_places_has_no_ranges_of_keys(tmp_path):
    rec, idx = written(tmp_path, MIXED, ids=True)
    build_index(rec, idx)
    made = contents(rec, idx)
    assert made.table.key.tolist() == [at for at, key in enumerate(MIXED) if 1 <= key <= 12]
    with pytest.raises(FormatError, match="the index numbers the records by their places"):
        made.identities()


@pytest.mark.filterwarnings("ignore:.*hold no record that can be read")
@pytest.mark.parametrize(
    "lost", [[0], [1], [6], [12], [13], [14], [15], [0, 1, 14], [2, 3, 12, 13]]
)
@pytest.mark.parametrize("order", ["first", "between", "last", "shuffled"])
def test_what_damage_leaves_of_a_set_keeps_its_keys(tmp_path, order, lost):
    keys = MIXED if order == "shuffled" else physical((4, 5, 3), order)
    rec, _ = written(tmp_path, keys, lost, ids=True)
    made = contents(rec, resync=True)
    assert made.table.key.tolist() == [k for k in keys if 1 <= k <= 12 and k not in lost]
    people = {number: pair for number, pair in RANGES.items() if 13 + number not in lost}
    assert made.identities() == people


@pytest.mark.filterwarnings("ignore:.*hold no record that can be read")
def test_an_index_made_behind_damage_numbers_places(tmp_path):
    rec, idx = written(tmp_path, list(range(16)), [1], ids=True)
    build_index(rec, idx, past_damage=True)
    made = contents(rec, idx, resync=True)
    assert made.table.key.tolist() == list(range(1, 12))
    assert made.identities() == {0: (1, 4), 1: (4, 9), 2: (9, 12)}


@pytest.mark.filterwarnings("ignore:.*hold no record that can be read")
@pytest.mark.parametrize("order", ["first", "between", "last"])
def test_what_nothing_tells_is_plain_with_a_warning(tmp_path, order):
    """An image is missing, and the records have no ids: any range may be the header's."""
    rec, _ = written(tmp_path, physical((4, 5, 3), order), [6])
    with pytest.warns(GpuioWarning, match=r"4 records have no image.*give its own index"):
        assert contents(rec, resync=True).faces == (None,)
    with pytest.raises(FormatError, match="nothing that can be read tells its header"):
        contents(rec, resync=True, record_layout="insightface")


@pytest.mark.filterwarnings("ignore:.*hold no record that can be read")
def test_identities_without_ids_of_which_one_is_missing_have_no_numbers(tmp_path):
    rec, _ = written(tmp_path, list(range(16)), [14])
    made = contents(rec, resync=True)
    assert made.table.key.tolist() == list(range(1, 13))
    with pytest.raises(FormatError, match="identity records are missing"):
        made.identities()


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("lost", [0, 13, 15])
@pytest.mark.parametrize("order", ["first", "between", "last"])
def test_with_its_index_a_damaged_record_without_an_image_hides_nothing(tmp_path, order, lost, ids):
    rec, idx = written(tmp_path, physical((4, 5, 3), order), [lost], ids=ids)
    made = contents(rec, idx)
    assert made.table.key.tolist() == list(range(1, 13))
    if lost == 0:
        assert made.identities() == RANGES
        return
    with pytest.raises(FormatError, match="identities: bad magic") as raised:
        made.identities()
    assert raised.value.key == lost


def test_ids_that_count_from_nought_are_in_order(tmp_path):
    payloads = face_payloads(ids=True)
    payloads[1:13] = [record(0.0, flat(key), key - 1) for key in range(1, 13)]
    rec, _ = write_payloads(tmp_path, payloads)
    assert contents(rec).identities() == RANGES


def test_a_damaged_image_of_a_shuffled_file_has_a_key_that_is_free(tmp_path):
    payloads = face_payloads(ids=True)
    payloads[5] = b"short"
    rec, _ = write_payloads(tmp_path, [payloads[key] for key in MIXED])
    assert contents(rec).table.key.tolist() == [key for key in MIXED if 1 <= key <= 12]


def test_records_in_parts_tell_their_ids(tmp_path):
    payloads = face_payloads(ids=True)
    payloads[0] = record([13.0, 16.0], identity=MAGIC)  # the id is the magic number: two parts
    rec, _ = write_payloads(tmp_path, [payloads[key] for key in MIXED])
    assert contents(rec).identities() == RANGES
