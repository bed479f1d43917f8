"""Resizes with wider filters: bicubic, Lanczos, area. Compiled when a plan first asks for one.

Each works on a region of the source (`base`, `pitch`) and makes a window of the result, four bytes
a pixel. Tap tables come from `gpuio.kernels.taps`, cut and flipped to the window by the caller.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from gpuio.kernels.jit import inner, kernel

__all__ = ["filter_taps", "shrink", "shrink_whole"]

_I = np.int32
_int = types.int64
_bytes = types.uint8[::1]
_table = types.int32[:, ::1]


@inner
def _clamp(value, last):
    return min(max(value, 0), last)


@inner
def _wide_row(pixels, start, stride, channels, src_w, index, weight, row):
    """Filter one source row along x into int32 lanes."""
    w, k = index.shape
    for x in range(w):
        for c in range(channels):
            total = _I(0)
            for tap in range(k):
                at = start + stride * _clamp(index[x, tap], src_w - 1) + c
                total = _I(total + _I(_I(pixels[at]) * weight[x, tap]))
            row[4 * x + c] = total


@inner
def _byte(value):
    return np.uint8(min(max(value, _I(0)), _I(255)))


@inner
def _column(rows, slot, weight, j, exact):
    """Filter one lane along y: bilinear truncates, the others round, bicubic mostly in float32."""
    k = weight.size
    if k == 2:
        upper = _I(_I((rows[slot[0], j] >> _I(4)) * weight[0]) >> _I(16))
        lower = _I(_I((rows[slot[1], j] >> _I(4)) * weight[1]) >> _I(16))
        return _byte(_I(upper + lower + _I(2)) >> _I(2))
    if exact:
        total = _I(0)
        for tap in range(k):
            total = _I(total + _I(rows[slot[tap], j] * weight[tap]))
        return _byte(_I(total + _I(1 << 21)) >> _I(22))
    unit = np.float32(1 / (1 << 22))
    sum_ = np.float32(rows[slot[0], j]) * (np.float32(weight[0]) * unit)
    for tap in range(1, k):
        sum_ += np.float32(rows[slot[tap], j]) * (np.float32(weight[tap]) * unit)
    return _byte(_I(np.rint(sum_)))


@kernel(
    types.void(
        _bytes, _int, _int, _int, _int, _int, _int, _table, _table, _table, _table, _int,
        types.int32[::1], _bytes, _table,
    )
)  # fmt: skip
def filter_taps(
    pixels, base, pitch, stride, channels, src_h, src_w, x_index, x_weight, y_index, y_weight,
    rounded, places, out, rows,
):  # fmt: skip
    """Resize by taps along x, then along y.

    Parameters
    ----------
    pixels : uint8[n]
    base, pitch : int           first byte and bytes a row of the source region
    stride, channels : int      bytes from pixel to pixel, and how many of them to filter
    src_h, src_w : int
    x_index, x_weight : int32[w, k]     of the window's columns; index is clamped here
    y_index, y_weight : int32[h, k]
    rounded : int               values of a row of the whole result, from the left, that are summed
                                in float32 (OpenCV's vector loop); the rest in integers
    places : int32[w]           column of the whole result that each window column is
    out : uint8[h * w * 4]
    rows : int32[k, 4 w]        scratch
    """
    h, k = y_index.shape
    w = places.size
    held = np.full(k, -1, np.int64)
    slot = np.zeros(k, np.int64)
    out[:] = 0
    for y in range(h):
        for tap in range(k):
            source = _clamp(y_index[y, tap], src_h - 1)
            slot[tap] = source % k
            if held[source % k] != source:
                line = rows[source % k]
                start = base + source * pitch
                _wide_row(pixels, start, stride, channels, src_w, x_index, x_weight, line)
                held[source % k] = source
        for x in range(w):
            for c in range(channels):
                exact = places[x] * channels + c >= rounded
                at = 4 * (w * y + x) + c
                out[at] = _column(rows, slot, y_weight[y], 4 * x + c, exact)


@kernel(
    types.void(
        _bytes, _int, _int, _int, types.int32[::1], types.int32[::1], types.float32[::1],
        types.int32[::1], types.int32[::1], types.float32[::1], _bytes, types.float32[:, ::1],
    )
)  # fmt: skip
def shrink(
    pixels, base, pitch, channels, x_first, x_source, x_share, y_first, y_source, y_share, out, rows
):
    """Average the source area of each pixel, in float32.

    Parameters
    ----------
    pixels, base, pitch : as in `filter_taps`
    channels : int              bytes from pixel to pixel, all of them averaged
    x_first : int32[w + 1]      entries x_first[x] to x_first[x + 1] belong to window column x
    x_source : int32[m]         source columns
    x_share : float32[m]        their parts of the pixel
    y_first, y_source, y_share : the same for rows
    out : uint8[h * w * 4]
    rows : float32[2, 4 w]      scratch
    """
    h, w = y_first.size - 1, x_first.size - 1
    wide, total = rows[0], rows[1]
    out[:] = 0
    for y in range(h):
        total[:] = 0
        for entry in range(y_first[y], y_first[y + 1]):
            start = base + np.int64(y_source[entry]) * pitch
            wide[:] = 0
            for x in range(w):
                for k in range(x_first[x], x_first[x + 1]):
                    at = start + channels * np.int64(x_source[k])
                    for c in range(channels):
                        wide[4 * x + c] += np.float32(pixels[at + c]) * x_share[k]
            for j in range(4 * w):
                total[j] += wide[j] * y_share[entry]
        for j in range(4 * w):
            out[4 * w * y + j] = _byte(_I(np.rint(total[j])))


@kernel(
    types.void(_bytes, _int, _int, _int, _int, _int, _int, _int, types.boolean, _int, _int, _bytes)
)
def shrink_whole(pixels, base, pitch, channels, fy, fx, y0, x0, mirror, h, w, out):
    """Average blocks of fy x fx source pixels.

    Parameters
    ----------
    pixels, base, pitch : as in `filter_taps`
    channels : int              bytes from pixel to pixel, all of them averaged
    fy, fx : int                the factors
    y0, x0 : int                the window's corner in the result
    mirror : bool               flip the window
    h, w : int                  of the window
    out : uint8[h * w * 4]
    """
    share = np.float32(1) / np.float32(fy * fx)
    out[:] = 0
    for y in range(h):
        for x in range(w):
            column = x0 + (w - 1 - x if mirror else x)
            corner = base + (y0 + y) * fy * pitch + column * fx * channels
            for c in range(channels):
                total = 0
                for v in range(fy):
                    for u in range(fx):
                        total += pixels[corner + v * pitch + u * channels + c]
                value = (total + 2) >> 2
                if fy != 2 or fx != 2:
                    value = math.floor(np.rint(np.float32(total) * share))
                out[4 * (w * y + x) + c] = value
