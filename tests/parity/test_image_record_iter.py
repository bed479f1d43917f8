"""ImageRecordIter against a live MXNet 1.9.1: the same images, to the bit or within a bound.

Every batch of three epochs is compared: what is carried over the end of one shows in the next.
GPUIO_PHOTOS names a folder of photos to take instead of made ones, GPUIO_COMBINATIONS the number of
random combinations of options (20).
"""

import os
from pathlib import Path

import numpy as np
import pytest

from parity.cases import CASES, EXACT, U8, full_options, iterate, unlike, whole_rows
from parity.combinations import draw_case, draw_order, level_of

pytestmark = pytest.mark.mxnet


def both(mxnet, options, *, iterator="ImageRecordIter", epochs=3):
    """Ask both sides the same."""
    return (
        iterate(iterator, epochs=epochs, **options),
        mxnet.iterate(iterator, epochs=epochs, **options),
    )


def assert_same(ours, theirs, bound=EXACT, level=1.0, *, filled=True):
    """Everything but the pads of later epochs: MXNet's are stale there.

    With `filled` false, rows behind an epoch's records are left out: see `whole_rows`.
    """
    if not filled:
        ours, theirs = whole_rows(ours, ours.pad), whole_rows(theirs, ours.pad)
    assert ours.counts.tolist() == theirs.counts.tolist()
    first = ours.counts[0]
    assert ours.pad[:first].tolist() == theirs.pad[:first].tolist()
    assert ours.label.dtype == theirs.label.dtype
    assert np.array_equal(ours.label, theirs.label)
    assert unlike(ours.data, theirs.data, bound, level) == ""


@pytest.mark.parametrize("name", CASES)
def test_pixels_are_mxnets(mxnet, photos, name):
    case = CASES[name]
    assert_same(*both(mxnet, full_options(case.options, photos)), case.bound)


@pytest.mark.parametrize("name", ["ImageRecordUInt8Iter", "ImageRecordInt8Iter"])
def test_fixed_type_iterators_are_mxnets(mxnet, photos, name):
    options = full_options({"resize": 64, "mean_r": 120.0, "rand_mirror": True}, photos)
    assert_same(*both(mxnet, options, iterator=name))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("round_batch", [False, True])
@pytest.mark.parametrize("batch_size", [7, 16])
def test_epochs_are_mxnets(mxnet, photos, shuffle, indexed, round_batch, batch_size):
    options = full_options(
        {"resize": 64, "rand_crop": True, "rand_mirror": True, "shuffle": shuffle, "seed": 5},
        photos,
        batch_size=batch_size,
        round_batch=round_batch,
        **U8,
    )
    if not indexed:
        del options["path_imgidx"]
    assert_same(*both(mxnet, options), filled=round_batch)


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("round_batch", [False, True])
@pytest.mark.parametrize("parts", [2, 3])
def test_parts_are_mxnets(mxnet, photos, indexed, round_batch, parts):
    for part in range(parts):
        options = full_options(
            {"resize": 64, "num_parts": parts, "part_index": part, "rand_crop": True},
            photos,
            round_batch=round_batch,
            **U8,
        )
        if not indexed:
            del options["path_imgidx"]
        assert_same(*both(mxnet, options), filled=round_batch)


@pytest.mark.parametrize("shuffle", [False, True])
def test_random_numbers_without_an_index_are_mxnets(mxnet, photos, shuffle):
    options = full_options(
        {"resize": 64, "rand_crop": True, "rand_mirror": True, "shuffle": shuffle}, photos, **U8
    )
    del options["path_imgidx"]
    assert_same(*both(mxnet, options))


def test_shuffled_epochs_repeat_the_random_numbers_of_the_rows_as_mxnets_do(mxnet, photos):
    options = full_options(
        {"resize": 64, "rand_crop": True, "rand_mirror": True, "shuffle": True}, photos, **U8
    )
    assert_same(*both(mxnet, options))


@pytest.mark.parametrize("seed_aug", [0, -3, 2**31 - 1])
def test_every_seed_is_mxnets(mxnet, photos, seed_aug):
    options = full_options(
        {"resize": 64, "rand_crop": True, "rand_mirror": True, "seed_aug": seed_aug}, photos, **U8
    )
    assert_same(*both(mxnet, options))


def test_label_arrays_are_mxnets(mxnet, wide_labels):
    options = full_options({"resize": 64, "label_width": 3}, wide_labels, **U8)
    assert_same(*both(mxnet, options))


def test_labels_from_a_list_are_mxnets(mxnet, photos, tmp_path):
    lst = tmp_path / "other.lst"
    count = len(Path(photos[1]).read_text().splitlines())
    lst.write_text("".join(f"{i}\t{i / 4}\t{-i}\tname {i}.jpg\n" for i in reversed(range(count))))
    options = full_options({"resize": 64, "label_width": 2, "path_imglist": str(lst)}, photos, **U8)
    assert_same(*both(mxnet, options))


def test_a_mean_image_is_made_and_used_as_mxnet_does(mxnet, photos, tmp_path):
    for name, run in (("ours", iterate), ("theirs", mxnet.iterate)):
        run(**full_options({"resize": 64, "mean_img": str(tmp_path / name)}, photos))
    ours, theirs = (np.fromfile(tmp_path / name, np.uint8) for name in ("ours", "theirs"))
    size = 3 * 48 * 56 * 4
    start = len(ours) - size - 24  # behind the floats: number of names, length of the name, name
    assert len(ours) == len(theirs)
    assert ours[:start].tobytes() == theirs[:start].tobytes()
    assert ours[start + size :].tobytes() == theirs[start + size :].tobytes()
    means = [file[start : start + size].view(np.float32) for file in (ours, theirs)]
    assert np.abs(means[0] - means[1]).max() <= 2e-5 * 255  # float32 sums, in another order
    again = full_options({"resize": 64, "mean_img": str(tmp_path / "theirs")}, photos)
    assert_same(*both(mxnet, again))


@pytest.mark.parametrize("number", range(int(os.environ.get("GPUIO_COMBINATIONS", "20"))))
def test_options_combined_at_random_are_mxnets(mxnet, photos, number):
    case = draw_case(np.random.default_rng([11, number]))
    order = draw_order(np.random.default_rng([13, number]))
    options = full_options(case.options | order, photos)
    if not options.pop("indexed"):
        del options["path_imgidx"]
    ours, theirs = both(mxnet, options)
    level = level_of(case.options)
    assert_same(ours, theirs, case.bound, level, filled=options["round_batch"])
