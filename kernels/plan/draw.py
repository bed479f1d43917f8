"""Draw the plan of a batch: every random number and every size, in MXNet's order and arithmetic.

One function a step, called in the order in which MXNet's default augmenter draws; each returns
the size of the image after it, or (-fault, 0). Arithmetic is float32 where MXNet's is. A row that
cannot be planned gets a fault code instead of a window and leaves the other rows alone.

Source: MXNet 1.9.1, src/io/image_aug_default.cc and src/io/iter_image_recordio_2.cc.
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, types

from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.plan.draw_steps import AFFINE, COLOURS, CROP
from gpuio.kernels.plan.layout import BILINEAR, PLAN
from gpuio.kernels.plan.random_bits import (
    STATE_WORDS,
    between,
    coin,
    seed_mersenne,
    seed_philox,
    whole,
)
from gpuio.kernels.plan.settings import (
    CROP_RESIZED,
    CROP_SQUARE,
    NO_IMAGE,
    SETTINGS,
    WRONG_SIZE,
)
from gpuio.kernels.plan.sizes import grown, interpolation, shorter_edge, window
from gpuio.kernels.pointers import caller, scratch

__all__ = ["draw"]

_MERSENNE_SEED = 111  # MXNet's constant, added to seed_aug
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)

_affine, _crop, _colours = caller(AFFINE), caller(CROP), caller(COLOURS)
_room = scratch(types.uint32, STATE_WORDS)


@inner
def _crop_fixed(state, s, row, h, w):
    """Take a window of the output's size, after enlarging an image that is smaller than it."""
    inter = interpolation(state, s, h, w, s.height, s.width)
    if h < s.height:
        stretch = np.float32(np.float32(s.height) / np.float32(h))
        new_w = np.int64(min(np.float32(stretch * np.float32(w)), np.float32(1e9)))
        h, w = grown(s, np.int64(s.height), new_w)
        if h < 0:
            return h, w
        row.upscale1_inter, row.upscale1_h, row.upscale1_w = inter, h, w
    if w < s.width:
        stretch = np.float32(np.float32(s.width) / np.float32(w))
        new_h = np.int64(min(np.float32(stretch * np.float32(h)), np.float32(1e9)))
        h, w = grown(s, new_h, np.int64(s.width))
        if h < 0:
            return h, w
        if row.upscale1_h == 0:
            row.upscale1_inter, row.upscale1_h, row.upscale1_w = inter, h, w
        else:
            row.upscale2_inter, row.upscale2_h, row.upscale2_w = inter, h, w
    y, x = h - s.height, w - s.width
    if s.rand_crop:
        y = whole(state, 0, np.int64(y))
        x = whole(state, 0, np.int64(x))
    else:
        y, x = y // 2, x // 2
    window(row, inter, y, x, s.height, s.width)
    return h, w


@inner
def _geometry(state, settings, plan, i, angles, h, w):
    """Plan everything up to the window."""
    s, row = settings[0], plan[i]
    if s.resize_on:
        h, w = shorter_edge(state, s, row, h, w)
        if h < 0:
            return h, w
    if s.affine != 0:
        h, w = _affine(s.affine, (state, settings, plan, i, angles, h, w))
        if h < 0:
            return h, w
    row.pad, row.fill = s.pad, s.fill_value
    h, w = grown(s, h + 2 * s.pad, w + 2 * s.pad)
    if h < 0:
        return h, w
    if s.crop == CROP_SQUARE:
        return _crop(s.random_crop, (state, settings, plan, i, h, w))
    if s.crop == CROP_RESIZED and s.area_on:
        new_h, new_w = _crop(s.random_crop, (state, settings, plan, i, h, w))
        if new_h != 0:
            return new_h, new_w
    return _crop_fixed(state, s, row, h, w)


@inner
def _finish(state, s, row):
    """Plan mirror and normalisation; `scale` is the same for every image and not in the plan."""
    flip = False
    if s.rand_mirror:
        flip = coin(state)
    row.mirror = 1 if flip or s.mirror else 0
    row.gain = _ONE
    reach, most = s.max_random_contrast, s.max_random_illumination
    if s.normalise and (reach != 0 or most != 0):  # else 1 and 0, whatever the last two words are
        u = between(state, _ZERO, _ONE)
        row.gain = np.float32(u * reach * _TWO - reach + _ONE)
        u = between(state, _ZERO, _ONE)
        row.shift = np.float32(u * most * _TWO - most)


@kernel(
    types.void(
        from_dtype(SETTINGS)[::1],
        types.int32[::1],
        types.float32[:, ::1],
        types.int32[::1],
        types.int32[::1],
        types.int64[::1],
        types.int64[::1],
        types.int64[::1],
        from_dtype(PLAN)[::1],
    ),
    "random_bits",
    "sizes",
    "settings",
    "layout",
    "draw_steps",
    "../pointers",
)
def draw(settings, angles, axes, heights, widths, pass_index, record, mx_index, plan):
    """Fill the plan of a batch.

    Parameters
    ----------
    settings : SETTINGS[1]
    angles : int32[A]               rotate_list
    axes : float32[3, 3]            colour axes of the PCA noise, rows R, G, B
    heights, widths : int32[B]      of the decoded images, upright; 0 where a row has no image
    pass_index, record : int64[B]   the key of a row's own stream
    mx_index : int64[B]             MXNet's number of a row, where seed_aug is set
    plan : PLAN[B]                  zeros; filled. Where a row cannot be planned, crop_h is minus
                                    the fault's code and (crop_y, crop_x) the size of the image
    """
    s = settings[0]
    state = _room()
    for i in range(plan.shape[0]):
        row = plan[i]
        h, w = np.int64(heights[i]), np.int64(widths[i])
        row.src_h, row.src_w, row.orient = h, w, 1
        row.gain = _ONE
        if s.mersenne:
            seed_mersenne(state, _MERSENNE_SEED + s.seed + mx_index[i])
        else:
            seed_philox(state, s.seed, pass_index[i], record[i])
        if h < 1 or w < 1:
            found = -NO_IMAGE
        elif s.crop == 0:
            found = np.int64(1 if h == s.height and w == s.width else -WRONG_SIZE)
            window(row, BILINEAR, 0, 0, h, w)
        else:
            found = _geometry(state, settings, plan, i, angles, h, w)[0]
        if found < 0:
            row.resize_h = row.warp_h = row.pad = row.upscale1_h = row.upscale2_h = 0
            window(row, BILINEAR, h, w, found, 0)
            continue
        if s.crop != 0 and s.colours != 0:
            _colours(s.colours, (state, settings, plan, i, axes))
        _finish(state, s, row)
