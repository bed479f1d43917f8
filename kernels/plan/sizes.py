"""Steps that the plans of classification and of detection share, for compiled loops.

A settings row `s` is that of either: only fields that both have are read.
"""

from __future__ import annotations

import numpy as np

from gpuio.kernels.jit import inner
from gpuio.kernels.plan.layout import AREA, BILINEAR, CUBIC
from gpuio.kernels.plan.random_bits import whole
from gpuio.kernels.plan.settings import EMPTY, TOO_LARGE

__all__ = ["grown", "interpolation", "opencv_code", "shorter_edge", "window"]


@inner
def interpolation(state, s, h, w, new_h, new_w):
    """Choose the interpolation of a resize from one size to another."""
    return s.resized_by[opencv_code(state, s.inter_method, h, w, new_h, new_w)]


@inner
def opencv_code(state, method, h, w, new_h, new_w):
    """Choose one of OpenCV's interpolations; method 10 takes a word."""
    if method == 9:
        if new_w > w and new_h > h:
            return CUBIC
        if new_w < w and new_h < h:
            return AREA
        return BILINEAR
    if method == 10:
        return whole(state, 0, 4)
    return method


@inner
def grown(s, h, w):
    """Return (h, w), or a fault if the image of a step is empty or larger than is allowed."""
    if h < 1 or w < 1:
        return -EMPTY, 0
    if h > 0x7FFFFFFF or w > 0x7FFFFFFF or h * w > s.max_pixels:
        return -TOO_LARGE, 0
    return h, w


@inner
def shorter_edge(state, s, row, h, w):
    """Scale the shorter edge."""
    if h > w:
        new_h, new_w = s.resize * h // w, np.int64(s.resize)
    else:
        new_h, new_w = np.int64(s.resize), s.resize * w // h
    row.resize_inter = interpolation(state, s, h, w, new_h, new_w)
    h, w = grown(s, new_h, new_w)
    row.resize_h, row.resize_w = max(h, 0), w
    return h, w


@inner
def window(row, inter, y, x, h, w):
    """Store the window."""
    row.crop_inter = inter
    row.crop_y, row.crop_x, row.crop_h, row.crop_w = y, x, h, w
