from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuio import image
from gpuio.errors import GpuioWarning

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
SEEDS = st.integers(0, 10**6)
BOXES = st.lists(
    st.tuples(st.floats(0, 0.6), st.floats(0, 0.6), st.floats(0.1, 0.4), st.floats(0.1, 0.4)),
    min_size=1,
    max_size=4,
)


def as_label(boxes):
    return np.array([[n, x, y, x + w, y + h] for n, (x, y, w, h) in enumerate(boxes)])


@given(SEEDS, BOXES)
def test_a_cropped_label_lies_in_the_crop_and_was_in_the_image(seed, boxes):
    label = as_label(boxes)
    made, moved = image.DetRandomCropAug(rng=seed)(IMAGE, label)
    assert 0 < made.shape[0] <= 30
    assert 0 < made.shape[1] <= 40
    assert set(moved[:, 0]) <= set(label[:, 0])
    assert (moved[:, 1:] >= 0).all()
    assert (moved[:, 1:] <= 1).all()
    assert (moved[:, 3:] > moved[:, 1:3]).all()


@given(SEEDS, BOXES)
def test_a_padded_label_covers_the_same_pixels(seed, boxes):
    label = as_label(boxes)
    made, moved = image.DetRandomPadAug(pad_val=(7, 8, 9), rng=seed)(IMAGE, label)
    sizes = moved[:, 3:] - moved[:, 1:3]
    assert np.allclose(
        sizes * [made.shape[1], made.shape[0]], (label[:, 3:] - label[:, 1:3]) * [40, 30]
    )
    assert made.astype(np.int64).sum() == IMAGE.astype(np.int64).sum() + 24 * (
        made.shape[0] * made.shape[1] - 1200
    )


def test_a_number_pads_all_channels():
    made, _ = image.DetRandomPadAug(area_range=(4.0, 4.0), pad_val=5, rng=1)(
        IMAGE, as_label([(0, 0, 1, 1)])
    )
    assert made.shape != IMAGE.shape
    assert ((made == 5).all(2)).sum() >= made.shape[0] * made.shape[1] - 1200


@pytest.mark.parametrize(
    ("kind", "keywords"),
    [
        (image.DetRandomCropAug, {"area_range": (-1, 0)}),
        (image.DetRandomCropAug, {"area_range": (1, 0.5)}),
        (image.DetRandomCropAug, {"aspect_ratio_range": (0, 1)}),
        (image.DetRandomCropAug, {"aspect_ratio_range": (2, 1)}),
        (image.DetRandomPadAug, {"area_range": (0.5, 1)}),
    ],
)
def test_a_range_that_cannot_be_met_disables_with_a_warning(kind, keywords):
    with pytest.warns(GpuioWarning, match="does nothing"):
        aug = kind(**keywords)
    label = as_label([(0.1, 0.1, 0.4, 0.4)])
    made, moved = aug(IMAGE, label)
    assert made is IMAGE
    assert moved is label


def test_an_image_without_objects_is_cropped_anywhere():
    label, crop = np.zeros((0, 5), np.float32), image.DetRandomCropAug(area_range=(0.2, 0.5), rng=3)
    made, moved = crop(np.zeros((40, 50, 3), np.uint8), label)
    assert moved.shape == (0, 5)
    assert 0.15 < made.shape[0] * made.shape[1] / 2000 < 0.55


def test_no_crop_is_found_where_none_can_cover_enough():
    made, _ = image.DetRandomCropAug(min_object_covered=1.5, rng=1)(
        IMAGE, as_label([(0.1, 0.1, 0.4, 0.4)])
    )
    assert made is IMAGE
