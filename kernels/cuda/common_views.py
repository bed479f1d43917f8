"""The views of a batch whose images are one window of one resize each, in one pass without the GIL.

`launch_plan` makes the views of every plan and defines what they are; this makes the same bits of
the rows that most batches consist of, and leaves a batch that has any other row.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

from gpuio.kernels.cuda.stage import COPY, HALVE, VIEW
from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.plan.layout import AREA, BILINEAR, LANCZOS4, NEAREST, PLAN

__all__ = ["common_views"]

_int, _bool = types.int64, types.boolean
_rows = types.Array(numba.from_dtype(PLAN), 1, "C", readonly=True)
_addresses = types.Array(types.uint64, 1, "C", readonly=True)
_views = numba.from_dtype(VIEW)[::1]


@inner
def _orient(row, address, channels, view):
    """Let a view read a decoded image upright, as `stage.oriented` does."""
    height, width, orient = np.int64(row.src_h), np.int64(row.src_w), row.orient
    up = orient == 3 or orient == 4 or orient == 6 or orient == 7
    left = orient == 2 or orient == 3 or orient == 7 or orient == 8
    below, right = width * channels, channels
    corner = np.int64(0)
    if up:
        corner += (height - 1) * below
        below = -below
    if left:
        corner += (width - 1) * right
        right = -right
    if address != 0:
        view.source = address + np.uint64(corner)
    view.step_y, view.step_x, view.dst_h, view.dst_w = below, right, height, width
    if orient >= 5:
        view.step_y, view.step_x, view.dst_h, view.dst_w = right, below, width, height
    view.kind = COPY


@inner
def _resample(view, src_h, src_w, dst_h, dst_w, inter):
    """Let a view resize, as `stage.Taps.resize` does; False if the last step cannot make it."""
    view.src_h, view.src_w, view.dst_h, view.dst_w = src_h, src_w, dst_h, dst_w
    view.inter = inter
    view.scale_y = 1.0 / (np.float64(dst_h) / np.float64(src_h))
    view.scale_x = 1.0 / (np.float64(dst_w) / np.float64(src_w))
    half = src_h == 2 * dst_h and src_w == 2 * dst_w
    if src_h == dst_h and src_w == dst_w:
        view.kind = COPY
    elif half and inter in (AREA, BILINEAR):
        view.kind = HALVE
    elif inter in (NEAREST, BILINEAR):
        view.kind = inter
    else:
        return False
    return True


@inner
def _is_window(row, channels, height, width):
    """Say whether a row is right, and no more than one window with colours that need one look."""
    if row.orient < 0 or row.orient > 8 or row.src_h < 1 or row.src_w < 1:
        return False
    if row.warp_h != 0 or row.pad != 0 or row.upscale1_h != 0 or row.upscale2_h != 0:
        return False
    if row.pre_colour != 0 or row.flip != 0 or row.expand_h != 0 or row.letterbox_h != 0:
        return False
    if row.post_affine_on != 0 or (channels == 1 and (row.hls_on != 0 or row.pca_on != 0)):
        return False
    if row.erase_h > 0:
        bottom = np.int64(row.erase_y) + row.erase_h
        right = np.int64(row.erase_x) + row.erase_w
        if row.erase_w < 1 or row.erase_y < 0 or row.erase_x < 0:
            return False
        if bottom > height or right > width:
            return False
    return True


@inner
def _fit(row, height, width, view):
    """Let an upright view make a row's window; False if it does not fit or needs two steps."""
    bottom, right = np.int64(row.crop_y) + row.crop_h, np.int64(row.crop_x) + row.crop_w
    if row.crop_y < 0 or row.crop_x < 0 or row.crop_h < 1 or row.crop_w < 1:
        return False
    resizes = row.resize_h > 0
    if resizes:
        if row.resize_inter < 0 or row.resize_inter > LANCZOS4:
            return False
        found = _resample(
            view, view.dst_h, view.dst_w, row.resize_h, row.resize_w, row.resize_inter
        )
        if not found:
            return False
    if bottom > view.dst_h or right > view.dst_w:
        return False
    if row.crop_h == height and row.crop_w == width:
        return True
    if resizes:
        return False
    view.source += np.uint64(row.crop_y * view.step_y + row.crop_x * view.step_x)
    view.y, view.x = 0, 0
    return _resample(view, row.crop_h, row.crop_w, height, width, row.crop_inter)


@kernel(
    _int(
        _rows, _addresses, _bool[::1], _int, _int, _int, _bool, types.float32[:, ::1],
        types.float32, _int, _views, types.float32[:, :, ::1],
    ),
    "stage",
)  # fmt: skip
def common_views(
    rows, addresses, swapped, channels, height, width, centred, given, scale, own, views, terms
):
    """Make the views and the terms of a batch.

    Parameters
    ----------
    rows : PLAN[n]
    addresses : uint64[n]       of the decoded images, 0 = no image
    swapped : bool[n]           whose channels are in R, G, B order
    channels, height, width : int
                                of an output image
    centred : bool              a mean image is subtracted
    given : float32[3, 4]       every row's terms; of the first `own` channels the second line is
                                the divisor, from which a row's own are made
    scale : float32
    own : int                   channels whose terms have a row's gain and shift in them
    views : VIEW[n]             zeros; receives the views
    terms : float32[n, 3, 4]    receives the terms

    Returns
    -------
    int     rows made: less than n if one is not common, views and terms hold anything then
    """
    for i in range(rows.size):
        row, view = rows[i], views[i]
        if row.jitter != 0 or row.tone_count != 0:  # may need the mean of the window first
            return i
        _orient(row, addresses[i], channels, view)
        view.swap = swapped[i]
        view.y, view.x = row.crop_y, row.crop_x
        if addresses[i] != 0 and not _is_window(row, channels, height, width):
            return i
        if addresses[i] != 0 and not _fit(row, height, width, view):
            return i
        view.h, view.w = height, width
        reach = view.dst_w if view.kind == COPY else view.src_w
        only = row.hls_on == 0 and row.pca_on == 0 and row.erase_h == 0 and not centred
        view.plain = reach > 1 and abs(view.step_x) == channels and only
        for k in range(3):
            for c in range(4):
                terms[i, k, c] = given[k, c]
        for c in range(own):
            terms[i, 1, c] = np.float32(row.gain * scale) / given[1, c]
            terms[i, 2, c] = np.float32(row.shift * scale) / given[1, c]
    return rows.size
