"""Plans hold MXNet's numbers, drawn in its order; what cannot be planned is said row by row."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuio.errors import OptionError
from gpuio.kernels.plan.layout import PLAN
from gpuio.plan.planner import Planner, check_conflicts
from gpuio.plan.request import PlanRequest
from support.planned import execute
from support.tables import options

GOLDEN = json.loads((Path(__file__).parents[1] / "data/plan/golden.json").read_text())
RRC = {
    "random_resized_crop": True,
    "min_random_area": 0.08,
    "min_aspect_ratio": 3 / 4,
    "max_aspect_ratio": 4 / 3,
}
FULL = {
    **RRC,
    "resize": 256,
    "max_rotate_angle": 10,
    "rand_mirror": True,
    "brightness": 0.4,
    "saturation": 0.2,
    "random_h": 36,
    "pca_noise": 0.1,
    "max_random_contrast": 0.2,
}


def draw(sizes=((375, 500),), *, first=0, pass_index=0, **given):
    """Return the plan of a batch of images of some sizes, records first, first + 1, ..."""
    rows = np.arange(first, first + len(sizes))
    heights, widths = np.array(sizes, np.int32).reshape(-1, 2).T
    given = {"data_shape": (3, 224, 224), "dtype": "uint8", **given}
    planner = Planner(options(**given))
    return planner.draw(
        PlanRequest(heights, widths, np.full(len(rows), pass_index), rows, rows - first)
    )


def faults(*sizes, **given):
    """Return the plan's faults as (row, text)."""
    planner = Planner(options(**{"data_shape": (3, 224, 224), **given}))
    heights, widths = np.array(sizes, np.int32).T
    rows = np.arange(len(sizes))
    plan = planner.draw(PlanRequest(heights, widths, rows, rows, rows))
    return [(row, str(error)) for row, error in planner.faults(plan)]


@pytest.mark.parametrize(
    "case", GOLDEN["cases"], ids=lambda case: "-".join(sorted(case["options"]))[:80]
)
def test_executed_plans_give_mxnets_pixels(case):
    asked = options(**case["options"], batch_size=len(case["pictures"]))
    ours = execute(asked, case["pictures"])
    theirs = np.frombuffer(bytes.fromhex(case["pixels"]), ours.dtype).reshape(ours.shape)
    if any(case["options"].get(name) for name in ("random_h", "random_s", "random_l")):
        off = np.abs(ours.astype(int) - theirs)  # OpenCV's HLS has changed since MXNet's
        assert off.max() <= 4
        assert np.mean(off > 0) < 0.01
    else:
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("given", "x", "y", "w", "h"),
    [
        ({"resize": 256}, 58, 16, 224, 224),
        ({"resize": 256, "rand_crop": True, "rand_mirror": True}, 13, 31, 224, 224),
        ({**RRC, "rand_mirror": True}, 115, 114, 196, 250),
        ({**RRC, "inter_method": 3}, 115, 114, 196, 250),
        ({"resize": 224, "pad": 16, "rand_crop": True}, 12, 31, 224, 224),
        ({"data_shape": (3, 448, 448)}, 74, 0, 448, 448),
    ],
)
def test_windows_are_mxnets_with_seed_aug_7(given, x, y, w, h):
    row = draw(seed_aug=7, **given)[0]
    assert [row[name] for name in ("crop_x", "crop_y", "crop_w", "crop_h")] == [x, y, w, h]


def test_the_warp_is_the_inverse_of_mxnets_matrix():
    row = draw(seed_aug=7, resize=256, max_rotate_angle=30)[0]
    matrix = [[0.9135454, -0.4067366, 66.8028], [0.4067366, 0.9135454, -58.28241], [0, 0, 1]]
    assert np.allclose(row["warp"], np.linalg.inv(matrix)[:2].ravel(), rtol=0, atol=2e-5)
    assert (row["warp_h"], row["warp_w"], row["warp_inter"]) == (256, 341, 1)


def test_one_row_is_what_it_always_was():
    row = draw(first=1000, pass_index=3, seed=42, data_shape=(3, 64, 96), **FULL)[0]
    found = {name: row[name].tolist() for name in PLAN.names}
    expected = json.loads((Path(__file__).parents[1] / "data/plan/row.json").read_text())
    assert {name: found.pop(name) for name in expected} == expected
    assert not any(np.any(value) for value in found.values())  # steps that MXNet does not have


def test_a_row_depends_on_seed_pass_and_record_alone():
    sizes = [(375, 500)] * 8
    whole = draw(sizes, seed=3, **FULL)
    assert draw(sizes[:3], first=5, seed=3, **FULL).tobytes() == whole[5:].tobytes()
    for other in ({"seed": 4}, {"seed": 3, "pass_index": 1}, {"seed": 3, "first": 8}):
        assert draw(sizes, **other, **FULL)["crop_y"].tolist() != whole["crop_y"].tolist()


def test_with_seed_aug_only_mxnets_number_of_the_row_counts():
    sizes = [(375, 500)] * 4
    one = draw(sizes, seed=3, seed_aug=5, **FULL)
    two = draw(sizes, first=64, pass_index=9, seed=4, seed_aug=5, **FULL)
    assert one.tobytes() == two.tobytes()
    moved = draw(sizes, seed_aug=6, **FULL)  # the generators of seed_aug + row
    assert moved[:3].tobytes() == one[1:].tobytes()


@given(
    st.lists(st.tuples(st.integers(1, 700), st.integers(1, 700)), min_size=1, max_size=20),
    st.sampled_from(
        [
            {"rand_crop": True},
            {"resize": 40, "rand_crop": True, "pad": 3},
            RRC,
            {**RRC, "resize": 20, "max_rotate_angle": 50},
            {"max_crop_size": 90, "min_crop_size": 2, "rand_crop": True},
            {"max_random_scale": 2.0, "min_random_scale": 0.1, "max_aspect_ratio": 0.4},
        ]
    ),
    st.integers(0, 1 << 40),
    st.sampled_from([None, -9, 4]),
)
def test_every_window_lies_in_its_image(sizes, given, seed, seed_aug):
    plan = draw(sizes, data_shape=(3, 30, 50), seed=seed, seed_aug=seed_aug, **given)
    for row in plan[plan["crop_h"] >= 0]:
        h, w = int(row["src_h"]), int(row["src_w"])
        for step in ("resize", "warp"):
            if row[f"{step}_h"]:
                h, w = int(row[f"{step}_h"]), int(row[f"{step}_w"])
        h, w = h + 2 * int(row["pad"]), w + 2 * int(row["pad"])
        for step in ("upscale1", "upscale2"):
            if row[f"{step}_h"]:
                h, w = int(row[f"{step}_h"]), int(row[f"{step}_w"])
        assert row["crop_h"] >= 1
        assert row["crop_w"] >= 1
        assert 0 <= row["crop_y"] <= h - row["crop_h"]
        assert 0 <= row["crop_x"] <= w - row["crop_w"]


def test_draws_are_spread_evenly():
    plan = draw([(400, 400)] * 20_000, rand_crop=True, rand_mirror=True, brightness=0.5)
    assert abs(plan["mirror"].mean() - 0.5) < 0.015
    counts = np.bincount(plan["crop_x"], minlength=177)
    assert counts.shape == (177,)
    assert ((counts - 113) ** 2 / 113).sum() < 260  # chi square of 176, p < 1e-4
    gain = plan["jitter_gain"][:, 0]
    assert 0.5 <= gain.min() < 0.501
    assert 1.499 < gain.max() <= 1.5
    orders = {tuple(order) for order in plan["jitter_order"].tolist()}
    assert len(orders) == 6


def test_uint8_draws_no_contrast_and_floats_always_do():
    assert draw(seed_aug=1, max_random_contrast=0.5, max_random_illumination=9.0)["gain"] == 1
    row = draw(seed_aug=1, dtype="float32", max_random_contrast=0.5, scale=7.0)[0]
    assert row["gain"] != 1
    assert 0.5 <= row["gain"] <= 1.5


def test_rows_without_an_image_and_too_small_ones_are_named_and_harm_no_other():
    given = {"max_crop_size": 100, "min_crop_size": 50}
    found = faults((375, 500), (0, 0), (99, 300), (100, 100), **given)
    assert [row for row, _ in found] == [1, 2]
    assert "no image" in found[0][1]
    assert "99 x 300 pixels" in found[1][1]
    assert "max_crop_size=100" in found[1][1]


def test_an_image_that_a_step_would_blow_up_is_a_fault():
    ((row, text),) = faults((10, 6000), (300, 300), resize=2000, max_pixels=10_000_000)
    assert row == 0
    assert "max_pixels=10000000" in text


def test_an_image_of_which_nothing_would_be_left_is_a_fault():
    ((row, text),) = faults((300, 300), (1, 300), max_random_scale=0.9, min_random_scale=0.1)
    assert row == 1
    assert "leave no pixel" in text


def test_without_an_augmenter_an_image_must_have_the_outputs_size():
    ((row, text),) = faults((224, 224), (224, 225), aug_seq="")
    assert row == 1
    assert "224 x 225" in text


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"random_resized_crop": True, "rand_crop": True}, "rand_crop"),
        ({"random_resized_crop": True, "max_random_scale": 2.0}, "max_random_scale"),
        ({"random_resized_crop": True, "min_random_scale": 0.5}, "min_random_scale"),
        ({"random_resized_crop": True, "max_crop_size": 9, "min_crop_size": 9}, "max_crop_size"),
        ({"random_resized_crop": True, "max_aspect_ratio": 1.0}, "max_aspect_ratio"),
        ({**RRC, "min_aspect_ratio": 2.0}, "min_aspect_ratio"),
        ({**RRC, "max_random_area": 0.05}, "min_random_area"),
        ({"max_crop_size": 9}, "min_crop_size"),
        ({"min_crop_size": 9}, "max_crop_size"),
        ({"max_crop_size": 9, "min_crop_size": 10}, "max_crop_size"),
        ({"resize": 0}, "resize"),
        ({"data_shape": (1, 8, 8), "brightness": 0.1}, "brightness"),
        ({"data_shape": (1, 8, 8), "random_l": 3}, "random_l"),
        ({"data_shape": (4, 8, 8), "pca_noise": 0.1}, "pca_noise"),
    ],
)
def test_options_in_conflict_are_refused_by_name(given, named):
    with pytest.raises(OptionError, match=named):
        check_conflicts(options(**given))
    with pytest.raises(OptionError, match=named):
        Planner(options(**given))


def test_options_that_agree_are_taken():
    for agreed in ({}, RRC, FULL, {"max_crop_size": 9, "min_crop_size": 9}, {"aug_seq": ""}):
        check_conflicts(options(**agreed))


STEPS = {
    "affine": {"max_rotate_angle": 10},
    "resized": RRC,
    "square": {"max_crop_size": 64, "min_crop_size": 32},
    "colours": {"pca_noise": 0.1},
}


@pytest.mark.parametrize("step", [None, *STEPS])
def test_steps_that_no_option_asks_for_are_not_compiled(step):
    given = {"resize": 256, "rand_crop": True, "rand_mirror": True} if step is None else STEPS[step]
    code = (
        "import sys\n"
        "from gpuio.options.image_record import ImageRecordOptions\n"
        "from gpuio.options.declare import parse_options\n"
        "from gpuio.plan.planner import Planner\n"
        f"given = dict(data_shape=(3, 96, 96), batch_size=1, path_imgrec='a.rec', **{given})\n"
        "Planner(parse_options(ImageRecordOptions, given))\n"
        "name = 'gpuio.kernels.plan.draw_'\n"
        f"print(*(step for step in {list(STEPS)} if name + step in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ([] if step is None else [step])
