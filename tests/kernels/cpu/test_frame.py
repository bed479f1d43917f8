"""Tint, flip, frame and place: the steps of detection, on the CPU as in the reference."""

import cv2
import numpy as np
import pytest

from gpuio.kernels.cpu import augment
from gpuio.kernels.plan.layout import PRE_COLOUR_GAIN, PRE_COLOUR_HLS
from support import reference
from support.plans import DETECTION_STEPS, EXTRAS, STEPS, plain, random_plan

COLOUR = {"jitter", "hls", "pca", "tone", "pre_colour"}
SCRATCH = augment.Scratch()


def made(pixels, row, height, width):
    """Execute a row on the CPU; uint8[height, width, C], R, G, B (, A) or gray."""
    C = pixels.shape[2]
    how = augment.Normalisation("uint8", [0] * C, [1] * C, 1.0, "NHWC")
    out = np.full((height, width, C), 77, np.uint8)
    augment.augment(pixels, row, how, out, SCRATCH)
    return out


def picture(height, width, C=3):
    return np.random.default_rng(height).integers(0, 256, (height, width, C), np.uint8)


@pytest.mark.parametrize(
    "steps",
    [
        DETECTION_STEPS,
        ("resize", "orient", "crop", "mirror", *DETECTION_STEPS),
        (*STEPS, *EXTRAS, *DETECTION_STEPS),
    ],
    ids=["alone", "with resize and crop", "with everything"],
)
def test_random_plans_equal_the_reference(steps):
    rng = np.random.default_rng(len(steps))
    for _ in range(400):
        C = int(rng.choice([1, 3, 4]))
        height, width, out_h, out_w = map(int, rng.integers(1, 60, 4))
        pixels = rng.integers(0, 256, (height, width, C), np.uint8)
        allowed = set(steps) - (COLOUR if C == 1 else set())
        row = random_plan(rng, height, width, out_h, out_w, allowed, range(5))
        if row["pre_colour"] and C == 1:
            row["pre_colour"] = PRE_COLOUR_GAIN
        want = reference.window(pixels, row[0], out_h, out_w)
        want = want[..., [2, 1, 0, 3][:C] if C > 1 else [0]]
        assert np.array_equal(made(pixels, row, out_h, out_w), want), row


def test_a_frame_is_opencvs_border_and_a_gain_its_convert():
    pixels = picture(20, 30)
    row = plain(20, 30)
    row["pre_colour"], row["pre_colour_gain"] = PRE_COLOUR_GAIN, 1.37
    row["flip"], row["fill"] = 1, 127
    row["expand_y"], row["expand_x"], row["expand_h"], row["expand_w"] = 3, 5, 40, 44
    row["crop_h"], row["crop_w"] = 40, 44
    scaled = cv2.flip(cv2.convertScaleAbs(pixels, alpha=np.float32(1.37)), 1)
    want = cv2.copyMakeBorder(scaled, 3, 17, 5, 9, cv2.BORDER_CONSTANT, value=(127, 127, 127))
    assert np.array_equal(made(pixels, row, 40, 44), want[..., ::-1])


def test_a_place_leaves_nothing_but_zeros_beside_it():
    pixels = picture(20, 30) | 1
    row = plain(20, 30)
    row["letterbox_h"], row["letterbox_w"] = 10, 15
    got = made(pixels, row, 25, 25)
    shrunk = cv2.resize(pixels, (15, 10), interpolation=cv2.INTER_LINEAR)
    row["crop_inter"] = 1
    assert np.array_equal(made(pixels, row, 25, 25)[:10, :15], shrunk[..., ::-1])
    assert got[:10, :15].all()
    assert not got[10:].any()
    assert not got[:, 15:].any()


def test_a_tint_of_one_channel_is_its_gain_alone():
    pixels = picture(6, 7, 1)
    row = plain(6, 7)
    row["pre_colour"], row["pre_colour_gain"] = PRE_COLOUR_GAIN, 0.5
    want = np.rint(pixels * np.float32(0.5)).astype(np.uint8)
    assert np.array_equal(made(pixels, row, 6, 7), want)


@pytest.mark.parametrize(
    "fields",
    [
        {"expand_h": 21, "expand_w": 29},
        {"expand_h": 20, "expand_w": 30, "expand_y": 1},
        {"expand_h": 40, "expand_w": 40, "expand_x": -1},
        {"letterbox_h": 21, "letterbox_w": 5},
        {"letterbox_h": 5, "letterbox_w": 0},
        {"flip": 1, "crop_y": 1},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(fields):
    row = plain(20, 30)
    for name, value in fields.items():
        row[name] = value
    with pytest.raises(ValueError, match="does not fit"):
        made(picture(20, 30), row, 20, 30)


def test_a_shift_of_hue_of_a_gray_image_is_refused():
    row = plain(4, 4)
    row["pre_colour"] = PRE_COLOUR_HLS
    with pytest.raises(ValueError, match="of 1 channel"):
        made(picture(4, 4, 1), row, 4, 4)
