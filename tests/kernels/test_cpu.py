"""The CPU kernels equal the plain NumPy reference bit for bit, whatever the plan."""

import cv2
import numpy as np
import pytest

from gpuio.kernels import cpu, reference, tables
from gpuio.kernels.layout import PLAN

MEAN = np.array([123.68, 116.779, 103.939, 99.5], np.float32)
STD = np.array([58.393, 57.12, 57.375, 60.25], np.float32)


def size(rng, kind):
    """Draw a length: mostly moderate, often tiny, sometimes 1."""
    return int(rng.choice([1, rng.integers(1, 6), rng.integers(1, 90)], p=kind))


def draw_case(rng, steps):
    """Return (pixels, plan row, height, width) of a random plan that fits its image."""
    kind = [[0.1, 0.2, 0.7], [0.4, 0.4, 0.2]][int(rng.random() < 0.2)]
    C = int(rng.choice([1, 3, 4]))
    h, w, H, W = (size(rng, kind) for _ in range(4))
    if rng.random() < 0.2:
        h, w = h * int(rng.integers(1, 4)), w * int(rng.integers(1, 4))
    pixels = rng.integers(0, 256, (h, w, C), np.uint8)
    if rng.random() < 0.3:
        pixels[:] = cv2.blur(pixels, (5, 5)).reshape(pixels.shape)
    row = np.zeros(1, PLAN)
    row["src_h"], row["src_w"], row["gain"], row["fill"] = h, w, 1, rng.integers(0, 256)
    row["mirror"] = rng.integers(0, 2)
    if "orient" in steps and rng.random() < 0.5:
        row["orient"] = rng.integers(1, 9)
        if row["orient"] > 4:
            h, w = w, h
    for name in ("resize", "warp", "pad", "fit1", "fit2"):
        if name not in steps or rng.random() < 0.4:
            continue
        if name == "pad":
            row["pad"] = pad = int(rng.integers(1, 9))
            h, w = h + 2 * pad, w + 2 * pad
            continue
        factor = rng.choice([0.5, 1, 2, rng.uniform(0.3, 3)])
        h, w = max(1, int(h * factor)), max(1, int(w * rng.choice([factor, rng.uniform(0.3, 3)])))
        row[f"{name}_h"], row[f"{name}_w"], row[f"{name}_inter"] = h, w, rng.integers(0, 5)
        if name == "warp":
            turn = rng.normal(0, 1, (2, 2)) if rng.random() < 0.5 else np.eye(2)
            row["warp"][0] = np.column_stack([turn, rng.uniform(-h, w, 2)]).ravel()
    ch, cw = int(rng.integers(1, h + 1)), int(rng.integers(1, w + 1))
    row["crop_h"], row["crop_w"], row["crop_inter"] = ch, cw, rng.integers(0, 5)
    row["crop_y"], row["crop_x"] = rng.integers(0, h - ch + 1), rng.integers(0, w - cw + 1)
    if rng.random() < 0.5:
        H, W = ch, cw
    if C > 1 and "colour" in steps:
        row["jitter"], row["hls_on"], row["pca_on"] = rng.integers(0, 2, 3)
        row["jitter_order"], row["jitter_gain"] = rng.permutation(3), rng.uniform(0, 2.5, 3)
        row["hls"], row["pca"] = rng.integers(-90, 91, 3), rng.normal(0, 40, 3)
    if "gain" in steps:
        row["gain"], row["shift"] = rng.uniform(0.3, 2), rng.normal(0, 30)
    return pixels, row, H, W


def check(rng, steps, scratch):
    pixels, row, H, W = draw_case(rng, steps)
    C = pixels.shape[2]
    dtype, layout = str(rng.choice(tables.DTYPES)), str(rng.choice(["NCHW", "NHWC"]))
    scale = float(rng.choice([1, 1 / 255, 0.3]))
    mean_image = None
    if rng.random() < 0.2:
        mean_image = rng.uniform(0, 255, (C, H, W)).astype(np.float32)
    how = cpu.Normalisation(dtype, MEAN[:C], STD[:C], scale, layout, mean_image)
    want = reference.augment(pixels, row[0], H, W, dtype, MEAN[:C], STD[:C], scale, mean_image)
    want = want if layout == "NCHW" else want.transpose(1, 2, 0)
    out = np.full(want.shape, 77, how.storage)
    given = pixels[:, :, 0] if C == 1 and rng.random() < 0.5 else pixels
    cpu.augment(given, row, how, out, scratch)
    assert out.tobytes() == np.ascontiguousarray(want).tobytes(), (row[0], dtype, layout)


STEPS = {
    "nothing but a crop": (),
    "a resize": ("resize",),
    "gain and shift": ("resize", "gain"),
    "orientation": ("orient", "resize"),
    "a warp": ("warp",),
    "a warp, a border and fits": ("resize", "warp", "pad", "fit1", "fit2"),
    "colour": ("colour",),
    "everything": ("orient", "resize", "warp", "pad", "fit1", "fit2", "colour", "gain"),
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS.keys())
def test_a_random_plan_equals_the_reference(steps):
    rng = np.random.default_rng([11, len(steps), len("".join(steps))])
    scratch = cpu.Scratch()
    for _ in range(150):
        check(rng, steps, scratch)
