"""Erasing and policies: drawn apart from everything else, and distributed as they say."""

import math

import numpy as np
import pytest
from scipy import stats

from gpuio.errors import OptionError
from gpuio.kernels.cpu import augment
from gpuio.kernels.plan import layout
from gpuio.kernels.plan.layout import PLAN
from gpuio.plan.extras import OPERATIONS, extra_seed
from gpuio.plan.planner import Planner
from gpuio.plan.request import PlanRequest
from support import reference
from support.planned import picture
from support.tables import options

H, W = 200, 160
ERASE = {"erase_prob": 1.0}
RAND = {"auto_augment": "randaugment"}
TRIVIAL = {"auto_augment": "trivialaugment"}
BUSY = {"rand_crop": True, "rand_mirror": True, "max_rotate_angle": 9, "contrast": 0.3}


def draw(count=1, *, first=0, pass_index=0, **given):
    """Return the plan of `count` images of one size."""
    rows = np.arange(first, first + count)
    side = np.full(count, 300, np.int32)
    planner = Planner(options(**{"data_shape": (3, H, W), **given}))
    return planner.draw(PlanRequest(side, side, np.full(count, pass_index), rows, rows))


def changed(before, after):
    """Return the fields that differ."""
    return {name for name in PLAN.names if not np.array_equal(before[name], after[name])}


@pytest.mark.parametrize("given", [ERASE, RAND, TRIVIAL], ids=str)
def test_switching_one_on_moves_no_other_draw(given):
    fields = {"erase": {n for n in PLAN.names if n.startswith("erase")}}
    fields["auto"] = {n for n in PLAN.names if n.startswith(("post_affine", "tone"))}
    mine = fields["erase" if given is ERASE else "auto"]
    for base in (BUSY, {**BUSY, "seed_aug": 3}, {**BUSY, **ERASE, **RAND, **given}):
        off = {**base, "erase_prob": 0} if given is ERASE else {**base, "auto_augment": None}
        moved = changed(draw(60, **off), draw(60, **{**off, **given}))
        assert moved
        assert moved <= mine


@pytest.mark.parametrize("given", [ERASE, RAND, TRIVIAL, {**ERASE, **RAND}], ids=str)
def test_a_row_depends_on_seed_pass_and_record_alone(given):
    whole = draw(40, pass_index=2, **given)
    assert np.array_equal(draw(10, first=20, pass_index=2, **given), whole[20:30])
    for other in (draw(40, pass_index=3, **given), draw(40, pass_index=2, seed=1, **given)):
        assert not np.array_equal(other, whole)


def test_purposes_have_streams_of_their_own():
    asked = options(seed=7, data_shape=(3, 8, 8))
    assert len({extra_seed(asked, name) for name in ("erase", "auto", "mix")} | {7}) == 4
    other = options(seed=1, seed_aug=7, data_shape=(3, 8, 8))
    assert extra_seed(other, "mix") == extra_seed(asked, "mix")


def test_rectangles_lie_inside_and_have_the_areas_and_ratios_asked_for():
    asked = {"erase_area": (0.05, 0.1), "erase_ratio": (0.5, 2.0)}
    plan = draw(4000, **ERASE, **asked)
    y, x, h, w = (plan[f"erase_{part}"].astype(float) for part in "yxhw")
    assert (h >= 1).all()
    assert (y + h <= H).all()
    assert (x + w <= W).all()
    assert stats.kstest(h * w / (H * W), stats.uniform(0.05, 0.05).cdf).pvalue > 0.01
    ratio = stats.uniform(math.log(0.5), 2 * math.log(2))
    assert stats.kstest(np.log(h / w), ratio.cdf).statistic < 0.03  # sides are whole pixels
    assert stats.kstest(y / (H - h + 1), stats.uniform(0, 1).cdf).statistic < 0.03
    assert stats.kstest(x / (W - w + 1), stats.uniform(0, 1).cdf).statistic < 0.03


def test_the_probability_is_that_of_an_image():
    hit = (draw(4000, erase_prob=0.3)["erase_h"] > 0).sum()
    assert stats.binomtest(int(hit), 4000, 0.3).pvalue > 0.01


def test_where_no_rectangle_fits_nothing_is_erased():
    plan = draw(50, erase_prob=1, erase_area=(1.0, 1.0), erase_ratio=(5.0, 9.0))
    assert not plan["erase_h"].any()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, (0, 0, 0)),
        (7.6, (8, 8, 8)),
        ((1, 2, 3), (3, 2, 1)),
        ("(1, 2, 3)", (3, 2, 1)),
        ("mean", (104, 117, 124)),
    ],
)
def test_an_erased_colour_is_given_in_r_g_b(value, expected):
    means = {"mean_r": 123.68, "mean_g": 116.78, "mean_b": 103.94}
    row = draw(1, **ERASE, erase_value=value, **means)[0]
    assert tuple(row["erase_value"][:3]) == expected


def test_random_colours_are_uniform():
    drawn = draw(2000, **ERASE, erase_value="random")["erase_value"][:, :3]
    assert stats.kstest((drawn + 0.5) / 256, stats.uniform(0, 1).cdf, axis=None).pvalue > 0.01


def chosen(plan):
    """Return how often each kind of step is in some plans: turns, tones by code."""
    tones = plan["tone_op"][np.arange(4) < plan["tone_count"][:, None]]
    return int(plan["post_affine_on"].sum()), np.bincount(tones, minlength=8)


def test_a_trivial_policy_takes_one_operation_of_any_level():
    count = 8000
    plan = draw(count, **TRIVIAL)
    assert (plan["post_affine_on"] + plan["tone_count"]).max() == 1
    turns, tones = chosen(plan)
    each = count / len(OPERATIONS)
    assert np.abs(tones - each).max() < 5 * math.sqrt(each)
    assert turns > 4 * each  # five moves, less those of no reach
    bright = plan["tone_arg"][plan["tone_op"][:, 0] == layout.CONTRAST, 0]
    assert stats.kstest(bright, stats.uniform(0.01, 1.98).cdf).statistic < 0.06
    bits = plan["tone_arg"][plan["tone_op"][:, 0] == layout.POSTERIZE, 0]
    assert set(bits) == set(range(2, 9))


def test_a_random_policy_takes_some_operations_of_one_level():
    plan = draw(3000, **RAND, auto_augment_num_ops=3, auto_augment_magnitude=15)
    assert plan["tone_count"].max() == 3
    used = np.arange(4) < plan["tone_count"][:, None]
    for op, values in (
        (layout.BRIGHTNESS, {0.55, 1.45}),
        (layout.POSTERIZE, {6.0}),
        (layout.SOLARIZE, {127.5}),
        (layout.SHARPNESS, {0.55, 1.45}),
        (layout.AUTOCONTRAST, {0.0}),
        (layout.EQUALIZE, {0.0}),
    ):
        found = plan["tone_arg"][used & (plan["tone_op"] == op)]
        assert {round(float(value), 5) for value in found} == values


def test_operations_are_torchvisions_in_its_order():
    assert (
        *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate"),
        *("brightness", "saturation", "contrast", "sharpness", "posterize", "solarize"),
        *("autocontrast", "equalize"),
    ) == OPERATIONS


def test_a_level_of_zero_moves_nothing():
    assert not draw(300, **RAND, auto_augment_magnitude=0)["post_affine_on"].any()


def matrices(name):
    """Return the turns of rows that have one operation, the named one, at the highest level."""
    plan = draw(600, **RAND, auto_augment_num_ops=1, auto_augment_magnitude=30)
    found = plan["post_affine"][plan["post_affine_on"] == 1]
    pick = {
        "shear_x": lambda m: abs(m[1]) == 0.3 and m[0] == 1,
        "translate_y": lambda m: m[5] != 0 and m[0] == 1 and m[3] == 0,
        "rotate": lambda m: m[0] != 1,
    }[name]
    return np.array([m for m in found if pick(m)])


def test_moves_have_torchvisions_reach():
    assert set(matrices("shear_x")[:, 1]) == {-0.3, 0.3}
    assert set(matrices("translate_y")[:, 5]) == {-math.trunc(150 / 331 * H), 150 * H // 331}
    turns = matrices("rotate")
    assert np.allclose(turns[:, 0], math.cos(math.radians(30)))
    centre = turns.reshape(-1, 2, 3) @ [(W - 1) / 2, (H - 1) / 2, 1]
    assert np.allclose(centre, [(W - 1) / 2, (H - 1) / 2])


@pytest.mark.parametrize(
    "given", [{**RAND, **ERASE, **BUSY}, {**TRIVIAL, "antialias": True}], ids=str
)
def test_drawn_plans_are_executed_as_the_reference_does(given):
    given = {"data_shape": (3, 40, 48), "erase_value": "random", "resize": 60, **given}
    plan = draw(30, **given)
    plan["src_h"], plan["src_w"] = 300, 300
    image = picture(300, 300)
    made = augment.Normalisation("uint8", [0] * 3, [1] * 3, 1.0, "NHWC")
    out, scratch = np.zeros((40, 48, 3), np.uint8), augment.Scratch()
    for k in range(30):
        augment.augment(image, plan[k : k + 1], made, out, scratch)
        theirs = reference.window(image, plan[k], 40, 48)
        assert np.array_equal(out[..., ::-1], theirs), plan[k]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({**TRIVIAL, "data_shape": (1, 8, 8)}, "auto_augment: works on three channels, not 1"),
        ({**TRIVIAL, "auto_augment_num_ops": 2}, "auto_augment_num_ops: belongs to .*randaug"),
        ({"auto_augment_magnitude": 9}, "auto_augment_magnitude: belongs to"),
        ({**RAND, "auto_augment_num_ops": 5}, "auto_augment_num_ops: expected .* 1..4, got 5"),
        ({**RAND, "aug_seq": ""}, "need an augmenter"),
        ({**ERASE, "aug_seq": ""}, "need an augmenter"),
        ({"erase_prob": 1.5}, "erase_prob: expected a number in 0..1, got 1.5"),
        ({**ERASE, "erase_area": (0.0, 0.5)}, "erase_area, erase_ratio: expected numbers above 0"),
        ({"erase_area": (0.5, 0.1)}, "erase_area: expected the smaller number first"),
        ({"erase_area": 0.5}, "erase_area: expected two numbers, got 0.5"),
        ({**ERASE, "erase_value": (1, 2)}, "erase_value: expected 1 or 3 numbers, got 2"),
        ({"erase_value": 256}, "erase_value: expected a number in 0..255"),
        ({"erase_value": "noise"}, "erase_value: expected a number"),
        ({**ERASE, "erase_value": "mean", "mean_img": "m.nd"}, "mean_img has no colour"),
    ],
)
def test_a_conflict_is_refused_by_name(given, says):
    with pytest.raises(OptionError, match=says):
        draw(**given)
