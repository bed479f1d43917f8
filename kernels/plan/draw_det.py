"""Draw the plan of a batch for detection, and move the labels with their images.

One function per step, in the order in which MXNet's detection augmenter draws. How a label lies in
its row says `gpuio.kernels.plan.box_label`. Arithmetic is float32 where MXNet's is.

Source: MXNet 1.9.1, src/io/image_det_aug_default.cc and src/io/iter_image_det_recordio.cc.
"""

from __future__ import annotations

import math

import numpy as np
from numba import from_dtype, types

from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.plan.box_label import ROW_HEAD, ROW_SIZE
from gpuio.kernels.plan.layout import BILINEAR, PLAN, PRE_COLOUR_GAIN, PRE_COLOUR_HLS
from gpuio.kernels.plan.random_bits import between, seed_philox, whole
from gpuio.kernels.plan.settings import (
    DET_SETTINGS,
    EMPTY,
    FORCE,
    LARGER,
    NO_IMAGE,
    SAMPLERS,
    SHRINK,
)
from gpuio.kernels.plan.sizes import grown, interpolation, shorter_edge, window

__all__ = ["draw_det"]

_f = np.float32
_ZERO, _ONE, _TWO = _f(0), _f(1), _f(2)


@inner
def _colours(state, s, row):
    """Plan the shift of hue, saturation and lightness, and the change of contrast."""
    hue = np.int64(_f(between(state, -_ONE, _ONE) * _f(s.max_random_hue)))
    satur = np.int64(_f(between(state, -_ONE, _ONE) * _f(s.max_random_saturation)))
    light = np.int64(_f(between(state, -_ONE, _ONE) * _f(s.max_random_illumination)))
    contrast = _f(between(state, -_ONE, _ONE) * s.max_random_contrast)
    hue = hue if between(state, _ZERO, _ONE) < s.random_hue_prob else 0
    satur = satur if between(state, _ZERO, _ONE) < s.random_saturation_prob else 0
    light = light if between(state, _ZERO, _ONE) < s.random_illumination_prob else 0
    contrast = contrast if between(state, _ZERO, _ONE) < s.random_contrast_prob else _ZERO
    if hue != 0 or satur != 0 or light != 0:
        row.pre_colour |= PRE_COLOUR_HLS
        row.pre_colour_hls[0], row.pre_colour_hls[1], row.pre_colour_hls[2] = hue, light, satur
    if math.fabs(np.float64(contrast)) > 1e-3:
        row.pre_colour |= PRE_COLOUR_GAIN
        row.pre_colour_gain = _f(contrast + _ONE)


@inner
def _valid_objects(label, head, width, count):
    """Move the objects that have an area to the front; return their number."""
    kept = 0
    for k in range(count):
        at = head + k * width
        if label[at + 3] > label[at + 1] and label[at + 4] > label[at + 2]:
            to = head + kept * width
            for j in range(width):
                label[to + j] = label[at + j]
            kept += 1
    return kept


@inner
def _flip_objects(label, head, width, count):
    for k in range(count):
        at = head + k * width
        left = label[at + 1]
        label[at + 1] = _ONE - label[at + 3]
        label[at + 3] = _ONE - left


@inner
def _project(label, at, x, y, w, h):
    """Express one box in the coordinates of a rectangle, cut at its edges."""
    label[at + 1] = max(_ZERO, _f(_f(label[at + 1] - x) / w))
    label[at + 2] = max(_ZERO, _f(_f(label[at + 2] - y) / h))
    label[at + 3] = min(_ONE, _f(_f(label[at + 3] - x) / w))
    label[at + 4] = min(_ONE, _f(_f(label[at + 4] - y) / h))


@inner
def _pad(state, s, row, label, head, width, count, h, w):
    """Lay the image somewhere on a larger canvas; return the canvas's size."""
    scale = between(state, _ONE, s.max_pad_scale)
    if scale < _f(1.05):
        return h, w
    x = between(state, _ZERO, _f(scale - _ONE))
    y = between(state, _ZERO, _f(scale - _ONE))
    for k in range(count):
        _project(label, head + k * width, -x, -y, scale, scale)
    left, top = np.int64(_f(x * _f(w))), np.int64(_f(y * _f(h)))
    right = np.int64(_f(_f(_f(scale - x) - _ONE) * _f(w)))
    bottom = np.int64(_f(_f(_f(scale - y) - _ONE) * _f(h)))
    expand_h, expand_w = grown(s, h + top + bottom, w + left + right)
    if expand_h > 0:
        row.expand_y, row.expand_x, row.expand_h, row.expand_w = top, left, expand_h, expand_w
    return expand_h, expand_w


@inner
def _shared(label, at, x, y, w, h):
    """Return the area that a box and a rectangle share, and the box's area."""
    left, top = label[at + 1], label[at + 2]
    wide, high = _f(label[at + 3] - left), _f(label[at + 4] - top)
    x0, y0 = max(x, left), max(y, top)
    both_w = _f(min(_f(x + w), _f(left + wide)) - x0)
    both_h = _f(min(_f(y + h), _f(top + high)) - y0)
    area = _f(wide * high)
    if both_w <= _ZERO or both_h <= _ZERO:
        return _ZERO, area
    return _f(both_w * both_h), area


@inner
def _allowed(value, low, high):
    """Say whether a share is in a range that asks for anything."""
    return not (low > _ZERO or high < _ONE) or not (value < low or value > high)


@inner
def _acceptable(sampler, label, head, width, count, x, y, w, h):
    """Say whether one object, at least, meets everything that a sampler asks for."""
    crop = _f(w * h)
    for k in range(count):
        both, area = _shared(label, head + k * width, x, y, w, h)
        overlap = _f(both / _f(_f(crop + area) - both))
        if (
            _allowed(overlap, sampler.min_overlap, sampler.max_overlap)
            and _allowed(_f(both / crop), sampler.min_sample, sampler.max_sample)
            and _allowed(_f(both / area), sampler.min_object, sampler.max_object)
        ):
            return True
    return False


@inner
def _emitted(s, label, at, x, y, w, h):
    """Say whether a box stays with a crop."""
    if s.emit_overlap:
        both, area = _shared(label, at, x, y, w, h)
        return _f(both / area) > s.emit_overlap_thresh
    middle_x = _f(_f(label[at + 1] + label[at + 3]) / _TWO)
    middle_y = _f(_f(label[at + 2] + label[at + 4]) / _TWO)
    return x <= middle_x < _f(x + w) and y <= middle_y < _f(y + h)


@inner
def _keep_objects(s, label, head, width, count, x, y, w, h):
    """Move the objects that stay to the front, in the crop's coordinates; return their number.

    Where none stays nothing is changed.
    """
    kept = 0
    for k in range(count):
        at = head + k * width
        if _emitted(s, label, at, x, y, w, h):
            to = head + kept * width
            for j in range(width):
                label[to + j] = label[at + j]
            _project(label, to, x, y, w, h)
            kept += 1
    return kept


@inner
def _try_crop(state, s, sampler, label, head, width, count, high, wide):
    """Draw one rectangle.

    Returns
    -------
    y, x, h, w : int            pixels; h is 0 where the rectangle is not taken
    count : int                 objects that stay
    """
    aspect = _f(_f(wide) / _f(high))
    scale = _f(between(state, sampler.min_scale, sampler.max_scale) + _f(1e-12))
    square = _f(scale * scale)
    low = max(_f(sampler.min_ratio / aspect), square)
    most = min(_f(sampler.max_ratio / aspect), _f(1.0 / np.float64(square)))
    ratio = _f(math.sqrt(between(state, low, most)))
    w = min(_ONE, _f(scale * ratio))
    h = min(_ONE, _f(scale / ratio))
    x = between(state, _ZERO, _f(_ONE - w))
    y = between(state, _ZERO, _f(_ONE - h))
    left, top = np.int64(_f(x * _f(wide))), np.int64(_f(y * _f(high)))
    columns, rows = np.int64(_f(w * _f(wide))), np.int64(_f(h * _f(high)))
    if columns < 1 or rows < 1:  # MXNet fails over such a crop
        return 0, 0, 0, 0, count
    if count > 0:
        if not _acceptable(sampler, label, head, width, count, x, y, w, h):
            return 0, 0, 0, 0, count
        kept = _keep_objects(s, label, head, width, count, x, y, w, h)
        if kept == 0:
            return 0, 0, 0, 0, count
        count = kept
    return top, left, min(rows, high - top), min(columns, wide - left), count


@inner
def _crop(state, s, samplers, turns, label, head, width, count, h, w):
    """Try the samplers in random order; returns as `_try_crop`, all of the image if none fits."""
    for i in range(turns.size):
        turns[i] = i
    for i in range(1, turns.size):
        j = whole(state, 0, i)
        held = turns[i]
        turns[i] = turns[j]
        turns[j] = held
    for turn in turns:
        for _ in range(samplers[turn].trials):
            y, x, new_h, new_w, kept = _try_crop(
                state, s, samplers[turn], label, head, width, count, h, w
            )
            if new_h > 0:
                return y, x, new_h, new_w, kept
    return 0, 0, np.int64(h), np.int64(w), count


@inner
def _final_size(s, h, w):
    """Return the size to which a crop is resized; (-EMPTY, 0) where no pixel would be left."""
    if s.resize_mode == FORCE:
        return s.height, s.width
    if s.resize_mode == SHRINK and h <= s.height and w <= s.width:
        return h, w
    ratio = min(_f(_f(s.height) / _f(h)), _f(_f(s.width) / _f(w)))
    new_h, new_w = np.int64(_f(ratio * _f(h))), np.int64(_f(ratio * _f(w)))
    if new_h < 1 or new_w < 1:
        return -EMPTY, np.int64(0)
    return min(new_h, s.height), min(new_w, s.width)


@inner
def _augment(state, s, samplers, turns, row, label, h, w):
    """Plan one image and move its label; return the size after it, or (-fault, 0)."""
    head, width = np.int64(label[ROW_HEAD]), np.int64(label[ROW_HEAD + 1])
    total, objects = np.int64(label[ROW_SIZE]), label[ROW_HEAD:]
    if s.resize_on:
        h, w = shorter_edge(state, s, row, h, w)
        if h < 0:
            return h, w
    count = _valid_objects(objects, head, width, (total - head) // width)
    if s.colour_on:
        _colours(state, s, row)
    if s.rand_mirror_prob > _ZERO and between(state, _ZERO, _ONE) < s.rand_mirror_prob:
        row.flip = 1
        _flip_objects(objects, head, width, count)
    row.fill = s.fill_value
    padded = s.rand_pad_prob > _ZERO and s.max_pad_scale > _ONE
    if padded and between(state, _ZERO, _ONE) < s.rand_pad_prob:
        h, w = _pad(state, s, row, objects, head, width, count, h, w)
        if h < 0:
            return h, w
    y, x = 0, 0
    if s.rand_crop_prob > _ZERO and between(state, _ZERO, _ONE) < s.rand_crop_prob:
        y, x, h, w, count = _crop(state, s, samplers, turns, objects, head, width, count, h, w)
    new_h, new_w = _final_size(s, h, w)
    if new_h < 0:
        return new_h, new_w
    inter = np.int64(BILINEAR)
    resized = s.resize_mode != SHRINK or new_h != h or new_w != w
    if resized or h > s.height or w > s.width:
        inter = interpolation(state, s, h, w, new_h, new_w)
    window(row, inter, y, x, h, w)
    if new_h != s.height or new_w != s.width:
        row.letterbox_h, row.letterbox_w = new_h, new_w
    for k in range(head + count * width, objects.size):
        objects[k] = s.label_pad_value
    label[ROW_SIZE] = head + count * width
    return new_h, new_w


@inner
def _as_stored(s, row, h, w):
    """Plan an image that no augmenter touches."""
    if h > s.height or w > s.width:
        return -np.int64(LARGER), np.int64(0)
    window(row, BILINEAR, 0, 0, h, w)
    if h != s.height or w != s.width:
        row.letterbox_h, row.letterbox_w = h, w
    return h, w


@kernel(
    types.void(
        from_dtype(DET_SETTINGS)[::1],
        from_dtype(SAMPLERS)[::1],
        types.uint32[::1],
        types.int32[::1],
        types.int32[::1],
        types.int64[::1],
        types.int64[::1],
        types.float32[:, ::1],
        from_dtype(PLAN)[::1],
    ),
    "box_label",
    "random_bits",
    "sizes",
    "settings",
    "layout",
    allocates=True,
)
def draw_det(settings, samplers, state, heights, widths, pass_index, record, labels, plan):
    """Fill the plan of a batch, and move the labels of the same rows.

    Parameters
    ----------
    settings : DET_SETTINGS[1]
    samplers : SAMPLERS[n]
    state : uint32[STATE_WORDS]     of a continuing generator, moved on; else scratch
    heights, widths : int32[B]      of the decoded images, upright; 0 where a row has no image
    pass_index, record : int64[B]   the key of a row's own stream, unless the generator continues
    labels : float32[B, W]          rows, their labels as stored; changed. That
                                    of a row that cannot be planned may be half moved
    plan : PLAN[B]                  zeros; filled. Where a row cannot be planned, crop_h is minus
                                    the fault's code and (crop_y, crop_x) the size of the image
    """
    s = settings[0]
    turns = np.empty(samplers.size, np.int64)
    for i in range(plan.shape[0]):
        row, label = plan[i], labels[i]
        h, w = np.int64(heights[i]), np.int64(widths[i])
        row.src_h, row.src_w, row.orient = h, w, 1
        row.gain = _ONE
        if not s.continuing:
            seed_philox(state, s.seed, pass_index[i], record[i])
        if h < 1 or w < 1:
            new_h, new_w = -np.int64(NO_IMAGE), np.int64(0)
        elif s.augment:
            new_h, new_w = _augment(state, s, samplers, turns, row, label, h, w)
        else:
            new_h, new_w = _as_stored(s, row, h, w)
        if new_h < 0:
            row.resize_h = row.pre_colour = row.flip = row.expand_h = row.letterbox_h = 0
            window(row, BILINEAR, h, w, new_h, 0)
            continue
        label[0], label[1], label[2] = s.channels, new_h, new_w
