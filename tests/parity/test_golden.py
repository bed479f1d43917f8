"""The record iterators against answers of MXNet 1.9.1 that were kept: no MXNet needed."""

import json

import numpy as np
import pytest

from parity import det_cases
from parity.cases import CASES, EXACT, iterate, unlike
from parity.conftest import pack
from parity.make_golden import DATA, ROUNDS, det_jobs, digest, jobs

GOLDEN = json.loads((DATA / "golden.json").read_text())
DETECTION = json.loads((DATA / "detection.json").read_text())
DET_CASES = det_cases.CASES


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    pictures = sorted((DATA / "pictures").rglob("*.jpg"))
    return jobs(pack(tmp_path_factory.mktemp("golden"), pictures))


def test_golden_was_made_by_mxnet_1_9_1_and_holds_exactly_the_cases():
    assert GOLDEN["header"]["made_by"]["mxnet"] == "1.9.1"
    assert set(GOLDEN["cases"]) == {*CASES, *ROUNDS}


@pytest.mark.parametrize("name", [*(n for n in CASES if CASES[n].bound == EXACT), *ROUNDS])
def test_pixels_and_labels_are_the_kept_ones(runs, name):
    options = runs[name]
    found = digest(iterate(**options), unfilled=not options.get("round_batch", True))
    assert found == GOLDEN["cases"][name]


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].bound != EXACT])
def test_pixels_are_the_kept_ones_within_the_bound(runs, name):
    found, kept = iterate(**runs[name]), GOLDEN["cases"][name]
    with np.load(DATA / "bounded.npz") as arrays:
        assert unlike(found.data, arrays[name], CASES[name].bound) == ""
    assert found.label.tolist() == kept["label"]


@pytest.fixture(scope="module")
def det_runs(tmp_path_factory):
    pictures = sorted((DATA / "pictures").rglob("*.jpg"))
    return det_jobs(pack(tmp_path_factory.mktemp("golden"), pictures, label=det_cases.det_label)[0])


def test_golden_of_detection_was_made_by_mxnet_1_9_1_and_holds_exactly_the_cases():
    assert DETECTION["header"]["made_by"]["mxnet"] == "1.9.1"
    assert set(DETECTION["cases"]) == {*DET_CASES, *det_cases.ROUNDS}


@pytest.mark.parametrize(
    "name", [*(n for n in DET_CASES if DET_CASES[n].bound == EXACT), *det_cases.ROUNDS]
)
def test_images_and_boxes_are_the_kept_ones(det_runs, name):
    assert digest(iterate("ImageDetRecordIter", **det_runs[name])) == DETECTION["cases"][name]


@pytest.mark.parametrize("name", [n for n in DET_CASES if DET_CASES[n].bound != EXACT])
def test_images_are_the_kept_ones_within_the_bound(det_runs, name):
    found = iterate("ImageDetRecordIter", **det_runs[name])
    with np.load(DATA / "bounded_detection.npz") as arrays:
        assert unlike(found.data, arrays[name], DET_CASES[name].bound) == ""
    assert digest(found)["label"] == DETECTION["cases"][name]["label"]


def test_one_level_of_one_pixel_is_noticed():
    pixels = np.zeros((2, 4, 3, 5, 6), np.uint8)
    other = pixels.copy()
    other[1, 2, 0, 3, 3] = 1
    assert "1 images, first 6" in unlike(pixels, other, EXACT)
    assert unlike(pixels, pixels.copy(), EXACT) == ""
    assert "float32" in unlike(pixels, pixels.astype(np.float32), EXACT)


def test_a_bound_allows_its_levels_and_its_share_and_no_more():
    from parity.cases import Bound

    pixels = np.zeros((1, 1, 3, 10, 10), np.uint8)
    other = pixels.copy()
    other[..., 0, :] = 2
    assert unlike(pixels, other, Bound(2, 0.1)) == ""
    assert unlike(pixels, other, Bound(1, 0.1)) != ""
    assert unlike(pixels, other, Bound(2, 0.09)) != ""
