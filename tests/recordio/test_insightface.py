"""InsightFace's layout is found, near misses are not, and identities have the right keys."""

import itertools

import numpy as np
import pytest

from gpuio.errors import FormatError, GpuioWarning
from gpuio.recordio import insightface
from gpuio.recordio.index import open_table
from gpuio.recordio.insightface import find_faces, identity_ranges
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
