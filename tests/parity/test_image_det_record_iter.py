"""ImageDetRecordIter against a live MXNet 1.9.1: the same images and boxes.

GPUIO_PHOTOS names a folder of photos to take instead of made ones, GPUIO_COMBINATIONS the number of
random combinations of options (20).
"""

import os

import numpy as np
import pytest

from parity.cases import EXACT, Bound, iterate, unlike
from parity.conftest import pack
from parity.det_cases import CASES, CROP, MIRROR, PAD, ROUNDS, det_label, full_options

pytestmark = pytest.mark.mxnet


@pytest.fixture(scope="module")
def rec(photo_files, tmp_path_factory):
    return pack(tmp_path_factory.mktemp("boxed"), photo_files, label=det_label)[0]


def compare(mxnet, options, bound=EXACT, epochs=1):
    """Ask both sides the same; a pad is the batch's own on both."""
    ours = iterate("ImageDetRecordIter", epochs=epochs, **options)
    theirs = mxnet.iterate("ImageDetRecordIter", epochs=epochs, **options)
    assert ours.counts.tolist() == theirs.counts.tolist()
    assert ours.pad.tolist() == theirs.pad.tolist()
    if options.get("round_batch", True):
        assert ours.label.tobytes() == theirs.label.tobytes()
        assert unlike(ours.data, theirs.data, bound) == ""
    else:  # MXNet leaves the padded rows as the batch before had them
        for batch, pad in enumerate(ours.pad):
            rows = slice(0, ours.label.shape[1] - pad)
            assert ours.label[batch, rows].tobytes() == theirs.label[batch, rows].tobytes()
            assert ours.data[batch, rows].tobytes() == theirs.data[batch, rows].tobytes()


@pytest.mark.parametrize("name", CASES)
def test_images_and_labels_are_mxnets(mxnet, rec, name):
    compare(mxnet, full_options(CASES[name].options, rec), CASES[name].bound)


@pytest.mark.parametrize("name", ROUNDS)
def test_epochs_are_mxnets(mxnet, rec, name):
    options = full_options(ROUNDS[name], rec)
    compare(mxnet, options, epochs=options.pop("epochs"))


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_that_is_not_filled_is_mxnets_as_far_as_it_goes(mxnet, rec, shuffle):
    options = {"batch_size": 7, "round_batch": False, "shuffle": shuffle, **MIRROR, **CROP}
    compare(mxnet, full_options(options, rec), epochs=3)


def test_labels_of_a_list_are_mxnets(mxnet, rec, photo_files, tmp_path):
    lst = tmp_path / "other.lst"
    rows = [det_label(1000 + i) for i in range(len(photo_files))]
    lst.write_text(
        "".join(
            f"{i}\t" + "\t".join(map(str, row.tolist())) + "\timage.jpg\n"
            for i, row in enumerate(rows)
        )
    )
    compare(mxnet, full_options({"path_imglist": str(lst), **PAD, **CROP}, rec))


def test_a_mean_image_is_made_and_used_as_mxnets(mxnet, rec, tmp_path):
    for epochs, extra in ((2, {}), (1, {"mean_r": 3.0, "std_r": 2.0})):
        options = full_options({**MIRROR, **extra}, rec, shuffle=True)
        ours, theirs = (
            run("ImageDetRecordIter", epochs=epochs, **options, mean_img=str(tmp_path / name))
            for name, run in ((f"ours {epochs}", iterate), (f"theirs {epochs}", mxnet.iterate))
        )
        assert ours.label.tobytes() == theirs.label.tobytes()
        assert np.abs(ours.data - theirs.data).max() <= 2e-5 * 255  # sums in another order
        compare(mxnet, {**options, "mean_img": str(tmp_path / f"theirs {epochs}")})


@pytest.mark.parametrize("number", range(int(os.environ.get("GPUIO_COMBINATIONS", "20"))))
def test_options_combined_at_random_are_mxnets(mxnet, rec, number):
    rng = np.random.default_rng([12, number])
    options = {"data_shape": [3, int(rng.integers(20, 90)), int(rng.integers(20, 90))]}
    for part in [case.options for case in CASES.values() if case.bound == EXACT]:
        if rng.random() < 0.2 and "data_shape" not in part and "num_crop_sampler" not in part:
            options |= part
    if rng.random() < 0.3:
        options["resize_mode"] = str(rng.choice(["shrink", "fit"]))
    compare(mxnet, full_options(options, rec))


def test_a_shift_of_one_box_is_noticed(rec):
    found = iterate("ImageDetRecordIter", **full_options({}, rec))
    other = found.data.copy()
    other[0, 0, 0, 0, 0] += 1
    assert unlike(found.data, other, EXACT) != ""
    assert unlike(found.data, other, Bound(1, 1e-9)) != ""
