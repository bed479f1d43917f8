"""Random plans that fit their images, and pixels to go with them."""

import numpy as np

from gpuio.kernels.plan.layout import PLAN

STEPS = ("resize", "warp", "pad", "fit", "crop", "jitter", "hls", "pca", "mirror", "orient", "gain")
EXTRAS = ("post_affine", "tone", "erase")
DETECTION_STEPS = ("pre_colour", "flip", "expand", "letterbox")


def plain(height, width):
    """Return PLAN[1] that changes nothing but crops the whole image."""
    row = np.zeros(1, PLAN)
    row["src_h"], row["src_w"] = height, width
    row["crop_h"], row["crop_w"] = height, width
    row["orient"], row["gain"], row["fill"] = 1, 1, 255
    row["jitter_gain"], row["jitter_order"] = 1, (0, 1, 2)
    return row


def random_plan(rng, height, width, out_h, out_w, steps, inters=(0, 1)):
    """Return PLAN[1] for an image of (height, width) and an output of (out_h, out_w).

    Parameters
    ----------
    steps : collection of str       each of them is drawn with probability 0.7
    inters : sequence of int        interpolations to draw from
    """
    row = plain(height, width)

    def wanted(step):
        return step in steps and rng.random() < 0.7

    def inter():
        return int(rng.choice(inters))

    if wanted("orient"):
        row["orient"] = rng.integers(1, 9)
        if row["orient"][0] >= 5:
            height, width = width, height
    if wanted("resize"):
        height, width = (
            (height // 2, width // 2)
            if height % 2 == width % 2 == 0 and rng.random() < 0.1
            else map(int, rng.integers(1, 80, 2))
        )
        row["resize_h"], row["resize_w"], row["resize_inter"] = height, width, inter()
    if wanted("pre_colour"):
        row["pre_colour"] = rng.integers(1, 4)
        row["pre_colour_hls"], row["pre_colour_gain"] = (
            rng.integers(-60, 61, 3),
            rng.uniform(0.3, 1.7),
        )
    if wanted("flip"):
        row["flip"] = 1
    if wanted("expand"):
        sides = rng.integers(0, 40, 4)
        row["expand_y"], row["expand_x"], row["fill"] = sides[0], sides[1], rng.integers(0, 256)
        height, width = height + int(sides[0] + sides[2]), width + int(sides[1] + sides[3])
        row["expand_h"], row["expand_w"] = height, width
    if wanted("warp"):
        angle, scale = rng.uniform(-3, 3), rng.uniform(0.5, 2)
        cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
        row["warp"] = cos, -sin, rng.uniform(-9, width), sin, cos, rng.uniform(-9, height)
        height, width = map(int, rng.integers(1, 80, 2))
        row["warp_h"], row["warp_w"] = height, width
        row["warp_inter"] = int(rng.choice([i for i in inters if i not in (3, 5)] or [1]))
    if wanted("pad"):
        row["pad"], row["fill"] = rng.integers(1, 9), rng.integers(0, 256)
        height, width = height + 2 * int(row["pad"][0]), width + 2 * int(row["pad"][0])
    for name in ("upscale1", "upscale2"):
        if wanted("fit"):
            height, width = map(int, rng.integers(1, 80, 2))
            row[f"{name}_h"], row[f"{name}_w"], row[f"{name}_inter"] = height, width, inter()
    goal_h, goal_w = out_h, out_w
    if wanted("letterbox"):
        goal_h, goal_w = int(rng.integers(1, out_h + 1)), int(rng.integers(1, out_w + 1))
        row["letterbox_h"], row["letterbox_w"] = goal_h, goal_w
    if height >= goal_h and width >= goal_w and not wanted("crop"):
        crop_h, crop_w = goal_h, goal_w
    else:
        crop_h, crop_w = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
    row["crop_h"], row["crop_w"], row["crop_inter"] = crop_h, crop_w, inter()
    row["crop_y"] = rng.integers(0, height - crop_h + 1)
    row["crop_x"] = rng.integers(0, width - crop_w + 1)
    if wanted("mirror"):
        row["mirror"] = 1
    if wanted("jitter"):
        row["jitter"], row["jitter_order"] = 1, rng.permutation(3)
        row["jitter_gain"] = rng.uniform(0.3, 1.7, 3)
    if wanted("hls"):
        row["hls_on"], row["hls"] = 1, rng.integers(-60, 61, 3)
    if wanted("pca"):
        row["pca_on"], row["pca"] = 1, rng.normal(0, 20, 3)
    if wanted("post_affine"):
        angle = rng.uniform(-3, 3)
        cos, sin = np.cos(angle), np.sin(angle)
        row["post_affine_on"], row["fill"] = 1, rng.integers(0, 256)
        row["post_affine"] = cos, -sin, rng.uniform(-9, out_w), sin, cos, rng.uniform(-9, out_h)
    if wanted("tone"):
        ops = rng.integers(0, 8, 4)
        row["tone_count"], row["tone_op"] = rng.integers(1, 5), ops
        row["tone_arg"] = np.where(
            (ops < 3) | (ops == 5), rng.uniform(0.2, 1.8, 4), rng.integers(0, 9, 4)
        )
        row["tone_arg"][0, ops == 4] = rng.uniform(0, 256)
    if wanted("erase"):
        h, w = int(rng.integers(1, out_h + 1)), int(rng.integers(1, out_w + 1))
        row["erase_h"], row["erase_w"] = h, w
        row["erase_y"], row["erase_x"] = (
            rng.integers(0, out_h - h + 1),
            rng.integers(0, out_w - w + 1),
        )
        row["erase_value"] = rng.integers(0, 256, 4)
    if wanted("gain"):
        row["gain"], row["shift"] = rng.uniform(0.5, 1.5), rng.normal(0, 20)
    return row
