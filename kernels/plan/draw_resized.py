"""Draw the window of random_resized_crop into a row of a plan.

Source: MXNet 1.9.1, src/io/image_aug_default.cc.
"""

from __future__ import annotations

import math

import numpy as np

from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.plan.draw_steps import CROP
from gpuio.kernels.plan.random_bits import between, whole
from gpuio.kernels.plan.settings import EMPTY
from gpuio.kernels.plan.sizes import interpolation, window

__all__ = ["draw_resized"]

_TRIES = 10
_ZERO, _ONE = np.float32(0), np.float32(1)


@inner
def _round_half_up(value):
    """Round a non-negative float32 as C's `round`."""
    exact = np.float64(value)
    floor = math.floor(exact)
    return np.int64(floor + 1 if exact - floor >= 0.5 else floor)


@inner
def _ratio(state, s):
    """Draw an aspect ratio, width over height."""
    low, high = s.min_aspect_ratio, s.max_aspect_ratio
    if not s.log_aspect:
        return between(state, low, high)
    low, high = np.float32(math.log(low)), np.float32(math.log(high))
    return np.float32(math.exp(between(state, low, high)))


@inner
def _crop_largest(state, s, row, h, w):
    """Take the largest centred window of an aspect ratio in the range, as torchvision does."""
    ratio = np.float32(np.float32(w) / np.float32(h))
    crop_h, crop_w = np.int64(h), np.int64(w)
    if ratio < s.min_aspect_ratio:
        crop_h = min(_round_half_up(np.float32(np.float32(w) / s.min_aspect_ratio)), h)
    elif ratio > s.max_aspect_ratio:
        crop_w = min(_round_half_up(np.float32(np.float32(h) * s.max_aspect_ratio)), w)
    if crop_h < 1 or crop_w < 1:
        return -EMPTY, 0
    inter = interpolation(state, s, crop_h, crop_w, s.height, s.width)
    window(row, inter, (h - crop_h) // 2, (w - crop_w) // 2, crop_h, crop_w)
    return crop_h, crop_w


@kernel(CROP, "random_bits", "sizes", "settings", "layout", "draw_steps")
def draw_resized(state, settings, plan, i, h, w):
    """Take a random area of a random aspect ratio.

    Parameters
    ----------
    state : uint32[STATE_WORDS]     the row's stream; advanced
    settings : SETTINGS[1]
    plan : PLAN[B]                  row `i` is filled
    i, h, w : int                   the row, and the size of its image

    Returns
    -------
    h, w                            of the window; (0, 0) if none of the tries fits; (-fault, 0)
    """
    s, row = settings[0], plan[i]
    area = np.float32(h * w)
    for _ in range(_TRIES):
        fraction = between(state, s.min_random_area, s.max_random_area)
        ratio = _ratio(state, s)
        target = np.float32(area * fraction)
        crop_h = _round_half_up(np.float32(math.sqrt(np.float32(target / ratio))))
        crop_w = _round_half_up(np.float32(math.sqrt(np.float32(target * ratio))))
        if between(state, _ZERO, _ONE) > np.float32(0.5) and not s.log_aspect:
            crop_h, crop_w = crop_w, crop_h
        if crop_h <= h and crop_w <= w:
            y = whole(state, 0, np.int64(h - crop_h))
            x = whole(state, 0, np.int64(w - crop_w))
            inter = interpolation(state, s, crop_h, crop_w, s.height, s.width)
            if crop_h < 1 or crop_w < 1:
                return -EMPTY, 0
            window(row, inter, y, x, crop_h, crop_w)
            return crop_h, crop_w
    if s.log_aspect:
        return _crop_largest(state, s, row, h, w)
    return 0, 0
