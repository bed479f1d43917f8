"""Labels, sizes, qualities and images that are stored twice are counted in one pass."""

import numpy as np

from gpuio.tools import blocks
from gpuio.tools import census as module
from gpuio.tools.census import census, census_text
from gpuio.tools.entries import open_file
from support import boxes
from support.faceset import write_faces
from support.making import flat, jpeg, photo, write_rec


def test_everything_is_counted(tmp_path):
    blobs = [jpeg(photo(20, 30, 1)), flat(2), flat(2), b"no image", jpeg(photo(40, 50, 1)), flat(2)]
    rec, _ = write_rec(tmp_path, blobs, [0.0, 1.0, 1.0, 5.0, 0.5, 1.0])
    seen = []
    records = open_file(rec, None, "auto")
    found = census(records, digests=True, advance=lambda done, total: seen.append((done, total)))
    assert (found.records, found.images, found.others, found.unusable_count) == (6, 5, 0, 1)
    assert found.labels == {1.0: 3, 0.0: 1, 0.5: 1}
    assert list(found.height) == [20, 8, 8, 40, 8]
    assert list(found.width) == [30, 8, 8, 50, 8]
    assert list(found.bytes) == [len(blob) for blob in blobs if blob != b"no image"]
    assert found.counts["format"] == {"jpeg": 2, "png": 3}
    assert found.counts["quality"] == {"95": 2}
    assert (found.copies, found.equal) == (2, [["key 1", "key 2", "key 5"]])
    assert found.unusable[0][0] == "key 3"
    assert seen[-1] == (6, 6)
    told = found.as_dict()
    assert told["height"] == {
        "smallest": 8, "quarter": 8, "median": 8, "three_quarters": 20, "largest": 40,
    }  # fmt: skip
    assert told["labels"] == {"1": 3, "0": 1, "0.5": 1}
    text = census_text(found, {0: "cat"})
    assert "labels: 3 different, 5 in all" in text
    assert "  0 cat                        1 #######" in text
    assert "images that an earlier record holds, byte for byte: 2\n  key 1 = key 2 = key 5" in text
    assert "unusable: key 3 at byte" in text
    assert census(records, np.array([0, 1, 2])).copies == 0  # digests were not asked for


def test_of_detection_sets_the_classes_of_boxes_are_counted(tmp_path, monkeypatch):
    one = (1, 0.1, 0.1, 0.5, 0.5)
    labels = [boxes.label([one, one]), boxes.label([]), boxes.label([(2, *one[1:])])]
    rec, _ = write_rec(tmp_path, [flat(i) for i in range(3)], labels)
    found = census(open_file(rec, None, "auto"))
    assert (found.boxes, found.without_box) == (True, 1)
    assert found.labels == {1.0: 2, 2.0: 1}
    assert "images without a box: 1" in census_text(found, {})


def test_what_is_as_common_stands_in_the_order_of_the_file(tmp_path, monkeypatch):
    """And every NaN is the same label."""
    labels = [5.0, 2.0, np.nan, 10.0, 2.0, np.nan, 1.0]
    blobs = [jpeg(photo(20, 20, k), quality=90 - k % 2) for k in range(6)] + [flat(1)]
    rec, _ = write_rec(tmp_path, blobs, labels)
    records = open_file(rec, None, "auto")
    for most in (8192, 2):
        monkeypatch.setattr(blocks, "_MOST", most)
        for is_loaded in (True, False):
            monkeypatch.setattr(blocks, "_is_loaded", lambda is_loaded=is_loaded: is_loaded)
            found = census(records)
            told = found.as_dict()
            assert list(told["labels"].items()) == [
                *(("2", 2), ("nan", 2), ("5", 1), ("10", 1), ("1", 1))
            ]
            assert list(told["counts"]["quality"].items()) == [("90", 3), ("89", 3)]
            assert "labels: 5 different, 7 in all" in census_text(found, {})


def test_a_label_without_room_for_a_box_counts_as_none_of_a_detection_set(tmp_path, monkeypatch):
    one = (1, 0.1, 0.1, 0.5, 0.5)
    labels = [[2.0, 5.0], boxes.label([one]), [2.0, 5.0], boxes.label([one, one]), [2.0, 5.0]]
    rec, _ = write_rec(tmp_path, [jpeg(photo(20, 20, k)) for k in range(5)], labels)
    for first in (2, 100):
        monkeypatch.setattr(module, "_DECIDE", first)
        found = census(open_file(rec, None, "auto"))
        assert (found.boxes, found.without_box, found.labels) == (True, 3, {1.0: 3})


def test_long_lists_are_cut_and_say_so(tmp_path):
    rec, _ = write_rec(tmp_path, [flat(i) for i in range(30)])
    text = census_text(census(open_file(rec, None, "auto")), {})
    assert "  ... 10 more" in text
    assert text.count(" #") == 20
    rec, _ = write_rec(tmp_path, [b"x"] * 15)
    found = census(open_file(rec, None, "plain"))
    assert "and 5 more unusable records" in census_text(found, {})
    assert module.spread([]) is None


def test_records_without_images_by_their_layout_are_no_fault(tmp_path):
    rec, _ = write_faces(tmp_path)
    found = census(open_file(rec, None))
    assert (found.images, found.others, found.unusable_count) == (12, 4, 0)


def test_of_many_equal_images_some_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MEMBERS", 3)
    monkeypatch.setattr(module, "_KEPT", 2)
    kinds = [0, 1, 2, 3, 2, 1, 0, 0, 0, 2]
    rec, _ = write_rec(tmp_path, [flat(kind) for kind in kinds])
    found = census(open_file(rec, None, "auto"), digests=True)
    assert found.copies == 6
    assert found.equal == [["key 0", "key 6", "key 7"], ["key 1", "key 5"]]


def test_every_nan_is_the_same_label(tmp_path):
    rec, _ = write_rec(tmp_path, [flat(1)] * 4, [np.nan, 2.0, np.nan, 1.0])
    found = census(open_file(rec, None, "auto"))
    assert found.as_dict()["labels"] == {"nan": 2, "2": 1, "1": 1}
    assert "labels: 3 different, 4 in all" in census_text(found, {})
