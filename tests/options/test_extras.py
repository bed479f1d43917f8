"""Options of our own: off by default, drawn apart from MXNet's, distributed as they say."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gpuio.errors import OptionError
from gpuio.kernels.plan.layout import PLAN
from gpuio.options.cache import CacheOptions
from gpuio.options.declare import describe
from gpuio.options.extras import ExtraOptions
from gpuio.options.files import DamageOptions, LayoutOptions
from gpuio.options.geometry import ResampleOptions
from gpuio.options.image_record import ImageRecordOptions
from gpuio.options.machine import DecoderOptions, FormOptions
from gpuio.plan.planner import Planner
from gpuio.plan.request import PlanRequest
from support.tables import options

OURS = [
    one
    for mixin in (
        *(LayoutOptions, DamageOptions, FormOptions),
        *(DecoderOptions, ResampleOptions, CacheOptions, ExtraOptions),
    )
    for one in describe(mixin)
]
RRC = {
    "random_resized_crop": True,
    "min_random_area": 0.1,
    "max_random_area": 0.3,
    "min_aspect_ratio": 0.5,
    "max_aspect_ratio": 2.0,
}


def draw(count=1, size=(375, 500), *, first=0, pass_index=0, **given):
    """Return the plan of `count` images of one size."""
    rows = np.arange(first, first + count)
    heights, widths = (np.full(count, side, np.int32) for side in size)
    planner = Planner(options(**{"data_shape": (3, 224, 224), **given}))
    return planner.draw(PlanRequest(heights, widths, np.full(count, pass_index), rows, rows))


def test_they_stand_behind_mxnets_and_say_whose_they_are():
    mine = {one["name"] for one in OURS}
    every = [one["name"] for one in describe(ImageRecordOptions)]
    assert set(every[-len(mine) :]) == mine
    assert all(one["ours"] for one in OURS)


def test_a_loguniform_ratio_is_uniform_in_its_logarithm():
    plan = draw(4000, (2000, 2000), aspect_distribution="loguniform", **RRC)
    ratio = np.log(plan["crop_w"] / plan["crop_h"])
    assert stats.kstest(ratio, stats.uniform(np.log(0.5), 2 * np.log(2)).cdf).pvalue > 0.01
    area = plan["crop_w"].astype(float) * plan["crop_h"] / 2000**2
    assert stats.kstest(area, stats.uniform(0.1, 0.2).cdf).pvalue > 0.01


def test_a_loguniform_ratio_is_never_swapped():
    wide = {**RRC, "min_aspect_ratio": 1.5, "aspect_distribution": "loguniform"}
    plan = draw(200, (2000, 2000), **wide)
    assert (plan["crop_w"] > plan["crop_h"]).all()


def test_a_loguniform_ratio_takes_the_words_of_a_uniform_one():
    size = (2000, 2000)  # every first try fits
    ours = draw(50, size, rand_mirror=True, aspect_distribution="loguniform", **RRC)
    theirs = draw(50, size, rand_mirror=True, **RRC)
    assert np.array_equal(ours["mirror"], theirs["mirror"])
    assert not np.array_equal(ours["crop_w"], theirs["crop_w"])


@pytest.mark.parametrize(
    ("size", "window"),
    [((100, 1000), (100, 200)), ((1000, 100), (200, 100)), ((90, 100), (90, 100))],
)
def test_where_no_try_fits_the_largest_centred_crop_of_the_range_is_taken(size, window):
    never = {**RRC, "min_random_area": 5.0, "max_random_area": 6.0}
    row = draw(1, size, aspect_distribution="loguniform", **never)[0]
    assert (row["crop_h"], row["crop_w"]) == window
    assert (row["crop_y"], row["crop_x"]) == (
        (size[0] - window[0]) // 2,
        (size[1] - window[1]) // 2,
    )


def test_an_aspect_distribution_without_its_crop_is_refused():
    with pytest.raises(OptionError, match="aspect_distribution: belongs to random_resized_crop"):
        draw(aspect_distribution="loguniform")


@pytest.mark.parametrize("method", [1, 9, 10])
def test_antialiasing_replaces_the_bilinear_resizes_and_nothing_else(method):
    given = {"resize": 256, "inter_method": method, "max_rotate_angle": 9, "rand_mirror": True}
    ours, theirs = draw(200, antialias=True, **given), draw(200, **given)
    for name in PLAN.names:
        if name in ("resize_inter", "upscale1_inter", "upscale2_inter", "crop_inter"):
            assert np.array_equal(ours[name], np.where(theirs[name] == 1, 5, theirs[name]))
        else:
            assert np.array_equal(ours[name], theirs[name]), name
    assert (theirs["resize_inter"] == 1).any() == (method != 9)


def test_antialiasing_without_a_bilinear_resize_is_refused():
    with pytest.raises(OptionError, match=r"antialias: belongs to bilinear resizes, .*method=2"):
        draw(antialias=True, inter_method=2)


def test_their_page_names_every_one_of_them():
    page = (Path(__file__).parents[2] / "docs/beyond_mxnet.md").read_text()
    names = [one["name"] for one in OURS]
    assert [name for name in names if not re.search(rf"\b{name}\b", page)] == []


@pytest.mark.parametrize(
    ("name", "given", "held"),
    [
        ("erase_area", "(0.1, 0.2)", (0.1, 0.2)),
        ("erase_area", [0.1, 1], (0.1, 1.0)),
        ("erase_value", "random", "random"),
        ("erase_value", "7", 7.0),
        ("erase_value", np.array([1, 2, 3]), (1.0, 2.0, 3.0)),
        ("auto_augment", "None", None),
        ("auto_augment_magnitude", "12", 12),
        ("antialias", "True", True),
        ("mixup_alpha", "0.2", 0.2),
        ("hw_decoder_load", 1, 1.0),
    ],
)
def test_they_take_texts_as_mxnets_do(name, given, held):
    value = getattr(options(**{name: given, "ctx": "auto", "data_shape": (3, 8, 8)}), name)
    assert value == held
    assert type(value) is type(held)


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("layout", "CHW", "layout: expected one of 'NCHW', 'NHWC', got 'CHW'"),
        ("exif", True, "exif: expected one of 'apply', 'ignore', got True"),
        ("decoder", "turbo", "decoder: expected one of 'auto', 'dali'"),
        ("decoders", 0, "decoders: expected a whole number in 1.., got 0"),
        ("hw_decoder_load", 1.5, "hw_decoder_load: expected a number in 0..1, got 1.5"),
        ("auto_augment", "autoaugment", "auto_augment: expected one of 'randaugment'"),
        ("erase_area", "", "erase_area: expected two numbers, got ''"),
        ("erase_value", "", "erase_value: expected 'mean', 'random' or numbers, got ''"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name, given, says):
    with pytest.raises(OptionError, match=re.escape(says)):
        options(**{name: given, "ctx": "auto"})
