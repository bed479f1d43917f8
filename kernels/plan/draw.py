"""Draw the plan of a batch: every random number and every size, in MXNet's order and arithmetic.

One function a step, called in the order in which MXNet's default augmenter draws; each returns
the size of the image after it, or (-fault, 0). Arithmetic is float32 where MXNet's is. A row that
cannot be planned gets a fault code instead of a window and leaves the other rows alone.

Source: MXNet 1.9.1, src/io/image_aug_default.cc and src/io/iter_image_recordio_2.cc.
"""

from __future__ import annotations

import math

import numpy as np
from numba import from_dtype, types

from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.plan.layout import AREA, BILINEAR, PLAN
from gpuio.kernels.plan.random_bits import (
    STATE_WORDS,
    between,
    coin,
    normal3,
    seed_mersenne,
    seed_philox,
    whole,
)
from gpuio.kernels.plan.settings import (
    CROP_RESIZED,
    CROP_SQUARE,
    EMPTY,
    NO_IMAGE,
    SETTINGS,
    TOO_SMALL,
    WRONG_SIZE,
)
from gpuio.kernels.plan.sizes import grown, interpolation, opencv_code, shorter_edge, window

__all__ = ["draw"]

_MERSENNE_SEED = 111  # MXNet's constant, added to seed_aug
_TRIES = 10  # of random_resized_crop
_ZERO, _ONE, _TWO, _FIVE = np.float32(0), np.float32(1), np.float32(2), np.float32(5)


@inner
def _affine(state, s, row, angles, h, w):
    """Shear, rotate, scale and stretch in one warp, stored as OpenCV inverts it."""
    shear = np.float32(between(state, _ZERO, _ONE) * s.max_shear_ratio * _TWO - s.max_shear_ratio)
    angle = whole(state, np.int64(-s.max_rotate_angle), np.int64(s.max_rotate_angle))
    if s.rotate > 0:
        angle = np.int64(s.rotate)
    if len(angles) > 0:
        angle = np.int64(angles[whole(state, 0, len(angles) - 1)])
    cos = np.float32(math.cos(angle / 180.0 * math.pi))
    sin = np.float32(math.sin(angle / 180.0 * math.pi))
    scale, ratio = _ONE, _ONE
    if s.crop != CROP_RESIZED:
        scale = between(state, s.min_random_scale, s.max_random_scale)
        ratio = between(state, s.min_aspect_ratio, s.max_aspect_ratio)
    high = np.float32(_TWO * scale / (_ONE + ratio))
    wide = np.float32(ratio * high)
    new_w = max(s.min_img_size, min(s.max_img_size, np.float32(scale * np.float32(w))))
    new_h = max(s.min_img_size, min(s.max_img_size, np.float32(scale * np.float32(h))))
    m0 = np.float32(high * cos - np.float32(shear * sin) * wide)
    m1 = np.float32(high * sin + np.float32(shear * cos) * wide)
    m3, m4 = np.float32(-sin * wide), np.float32(cos * wide)
    m2 = np.float32((new_w - (m0 * np.float32(w) + m1 * np.float32(h))) / _TWO)
    m5 = np.float32((new_h - (m3 * np.float32(w) + m4 * np.float32(h))) / _TWO)
    out_h, out_w = np.int64(min(new_h, np.float32(1e9))), np.int64(min(new_w, np.float32(1e9)))
    inter = opencv_code(state, s.inter_method, h, w, out_h, out_w)
    row.warp_inter = BILINEAR if inter == AREA else inter  # as warpAffine takes it
    d0, d1, d2 = np.float64(m0), np.float64(m1), np.float64(m2)  # float() stays float32 here
    d3, d4, d5 = np.float64(m3), np.float64(m4), np.float64(m5)
    det = d0 * d4 - d1 * d3
    det = 1.0 / det if det != 0.0 else 0.0
    i0, i1, i3, i4 = d4 * det, d1 * -det, d3 * -det, d0 * det
    row.warp[0], row.warp[1], row.warp[2] = i0, i1, -i0 * d2 - i1 * d5
    row.warp[3], row.warp[4], row.warp[5] = i3, i4, -i3 * d2 - i4 * d5
    h, w = grown(s, out_h, out_w)
    row.warp_h, row.warp_w = max(h, 0), w
    return h, w


@inner
def _round_half_up(value):
    """Round a non-negative float32 as C's `round`."""
    exact = np.float64(value)
    floor = math.floor(exact)
    return np.int64(floor + 1 if exact - floor >= 0.5 else floor)


@inner
def _crop_resized(state, s, row, h, w):
    """Take a random area of a random aspect ratio; (0, 0) if none of the tries fits."""
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


@inner
def _crop_square(state, s, row, h, w):
    """Take a square of random size."""
    if h < s.max_crop_size or w < s.max_crop_size:
        return -TOO_SMALL, 0
    side = whole(state, np.int64(s.min_crop_size), np.int64(s.max_crop_size))
    y, x = h - side, w - side
    if s.rand_crop:
        y = whole(state, 0, np.int64(y))
        x = whole(state, 0, np.int64(x))
    else:
        y, x = y // 2, x // 2
    inter = interpolation(state, s, side, side, s.height, s.width)
    window(row, inter, y, x, side, side)
    return side, side


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
def _geometry(state, s, row, angles, h, w):
    """Plan everything up to the window."""
    if s.resize_on:
        h, w = shorter_edge(state, s, row, h, w)
        if h < 0:
            return h, w
    if s.affine_on:
        h, w = _affine(state, s, row, angles, h, w)
        if h < 0:
            return h, w
    row.pad, row.fill = s.pad, s.fill_value
    h, w = grown(s, h + 2 * s.pad, w + 2 * s.pad)
    if h < 0:
        return h, w
    if s.crop == CROP_SQUARE:
        return _crop_square(state, s, row, h, w)
    if s.crop == CROP_RESIZED and s.area_on:
        new_h, new_w = _crop_resized(state, s, row, h, w)
        if new_h != 0:
            return new_h, new_w
    return _crop_fixed(state, s, row, h, w)


@inner
def _gain(state, reach):
    """Return 1 plus a number in [-reach, reach)."""
    return np.float32(1.0 + np.float64(between(state, np.float32(-reach), reach)))


@inner
def _shift(state, reach):
    """Return a whole number in [-reach, reach], more often outward than inward."""
    first = between(state, _ZERO, _ONE)
    mixed = np.float32(first + np.float32(4) * between(state, _ZERO, _ONE))
    mixed = np.float32(mixed / _FIVE)
    span = np.float32(reach)
    return np.int32(np.float32(mixed * span * _TWO - span))


@inner
def _colour(state, s, row, axes):
    """Plan jitter, HLS and PCA."""
    if s.jitter_on:
        row.jitter = 1
        row.jitter_gain[0] = _gain(state, s.brightness)
        row.jitter_gain[1] = _gain(state, s.contrast)
        row.jitter_gain[2] = _gain(state, s.saturation)
        for i in range(3):
            row.jitter_order[i] = i
        for i in range(1, 3):
            j = whole(state, 0, np.int64(i))
            held = row.jitter_order[i]
            row.jitter_order[i] = row.jitter_order[j]
            row.jitter_order[j] = held
    if s.hls_on:
        row.hls_on = 1
        row.hls[0] = _shift(state, s.random_h)
        row.hls[2] = _shift(state, s.random_s)
        row.hls[1] = _shift(state, s.random_l)
    if s.pca_noise > _ZERO:
        row.pca_on = 1
        r, g, b = normal3(state, s.pca_noise)
        for c in range(3):
            shift = np.float32(np.float32(axes[c, 0] * r) + np.float32(axes[c, 1] * g))
            row.pca[2 - c] = np.float32(shift + np.float32(axes[c, 2] * b))


@inner
def _finish(state, s, row):
    """Plan mirror and normalisation; `scale` is the same for every image and not in the plan."""
    flip = False
    if s.rand_mirror:
        flip = coin(state)
    row.mirror = 1 if flip or s.mirror else 0
    row.gain = _ONE
    if s.normalise:
        reach, most = s.max_random_contrast, s.max_random_illumination
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
    state = np.empty(STATE_WORDS, np.uint32)
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
            found = _geometry(state, s, row, angles, h, w)[0]
        if found < 0:
            row.resize_h = row.warp_h = row.pad = row.upscale1_h = row.upscale2_h = 0
            window(row, BILINEAR, h, w, found, 0)
            continue
        if s.crop != 0:
            _colour(state, s, row, axes)
        _finish(state, s, row)
