from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuio.image import geometry
from gpuio.image.draws import as_draws

SIDES = st.integers(1, 400)
SEEDS = st.integers(0, 1000)


@given(SIDES, SIDES, SIDES, SIDES, SEEDS)
def test_every_crop_lies_in_its_image_and_gives_the_size(height, width, w, h, seed):
    draws = as_draws(seed)
    shape = (height, width, 3)
    for plan in (
        geometry.plan_random_crop(shape, (w, h), 1, draws),
        geometry.plan_center_crop(shape, (w, h), 1, draws),
        geometry.plan_random_size_crop(shape, (w, h), 0.2, (0.5, 2.0), 1, draws),
    ):
        assert 0 <= plan.x <= plan.x + plan.w <= width
        assert 0 <= plan.y <= plan.y + plan.h <= height
        assert plan.shape(shape) == (h, w, 3)


@given(SIDES, SIDES, SIDES, SIDES)
def test_scale_down_fits_and_leaves_what_fits_alone(sw, sh, w, h):
    made = geometry.scale_down((sw, sh), (w, h))
    assert made[0] <= sw
    assert made[1] <= sh
    if w <= sw and h <= sh:
        assert made == (w, h)


@given(SIDES, SIDES, SIDES)
def test_the_shorter_edge_gets_its_size(height, width, size):
    plan = geometry.plan_resize_short((height, width, 3), size, 1, as_draws(0))
    assert min(plan.width, plan.height) == size


def test_the_automatic_interpolation_goes_by_the_sizes():
    draws = as_draws(0)
    assert geometry.interpolation(9, (10, 10), (20, 20), draws) == geometry.CUBIC
    assert geometry.interpolation(9, (10, 10), (5, 5), draws) == geometry.AREA
    assert geometry.interpolation(9, (10, 10), (5, 50), draws) == geometry.BILINEAR
    assert geometry.interpolation(9, (10, 10), (10, 10), draws) == geometry.BILINEAR


def test_the_random_interpolation_draws_all_five():
    draws = as_draws(0)
    drawn = {geometry.interpolation(10, (1, 1), (2, 2), draws) for _ in range(100)}
    assert drawn == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("interp", [-1, 5, 8, 11])
def test_an_unknown_interpolation_is_a_value_error(interp):
    with pytest.raises(ValueError, match=f"Unknown interp method {interp}"):
        geometry.interpolation(interp, (1, 1), (2, 2), as_draws(0))


def test_a_list_as_size_is_always_resized_to():
    assert geometry.plan_fixed_crop((0, 0, 4, 4), (4, 4), 1, as_draws(0)).resize is None
    assert geometry.plan_fixed_crop((0, 0, 4, 4), [4, 4], 1, as_draws(0)).resize is not None
