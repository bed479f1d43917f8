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
def _wide_row(pixels, start, channels, offset, weight, row):
    """Filter one source row along x into int32 lanes; `offset` is in bytes from `start`."""
    w, k = offset.shape
    for x in range(w):
        c0, c1, c2, c3 = _I(0), _I(0), _I(0), _I(0)
        for tap in range(k):
            at, factor = start + offset[x, tap], weight[x, tap]
            c0 = _I(c0 + _I(_I(pixels[at]) * factor))
            if channels >= 3:
                c1 = _I(c1 + _I(_I(pixels[at + 1]) * factor))
                c2 = _I(c2 + _I(_I(pixels[at + 2]) * factor))
            if channels == 4:
                c3 = _I(c3 + _I(_I(pixels[at + 3]) * factor))
        row[4 * x], row[4 * x + 1], row[4 * x + 2], row[4 * x + 3] = c0, c1, c2, c3


@inner
def _byte(value):
    return np.uint8(min(max(value, _I(0)), _I(255)))


@inner
def _truncated(upper, lower, b0, b1, out):
    """Blend two rows as bilinear does."""
    for j in range(out.size):
        high = _I(_I(_I(upper[j] >> _I(4)) * b0) >> _I(16))
        low = _I(_I(_I(lower[j] >> _I(4)) * b1) >> _I(16))
        out[j] = _byte(_I(_I(high + low + _I(2)) >> _I(2)))


@inner
def _exact(rows, slot, weight, total, out):
    """Sum rows in integers."""
    for tap in range(weight.size):
        line, factor = rows[slot[tap]], weight[tap]
        for j in range(out.size):
            before = total[j] if tap > 0 else _I(1 << 21)
            total[j] = _I(before + _I(line[j] * factor))
    for j in range(out.size):
        out[j] = _byte(_I(total[j] >> _I(22)))


@inner
def _rounded(rows, slot, weight, total, out):
    """Sum rows in float32, from the first to the last."""
    unit = np.float32(1 / (1 << 22))
    for tap in range(weight.size):
        line, factor = rows[slot[tap]], np.float32(weight[tap]) * unit
        for j in range(out.size):
            before = total[j] if tap > 0 else np.float32(0)
            total[j] = before + np.float32(line[j]) * factor
    for j in range(out.size):
        out[j] = _byte(_I(np.rint(total[j])))


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
    offset = np.empty((w, k), np.int64)
    whole, real = np.empty(4 * w, np.int32), np.empty(4 * w, np.float32)
    spare = np.empty(4 * w, np.uint8)
    for x in range(w):
        for tap in range(k):
            offset[x, tap] = stride * _clamp(x_index[x, tap], src_w - 1)
    for y in range(h):
        for tap in range(k):
            source = _clamp(y_index[y, tap], src_h - 1)
            slot[tap] = source % k
            if held[source % k] != source:
                start = base + source * pitch
                _wide_row(pixels, start, channels, offset, x_weight, rows[source % k])
                held[source % k] = source
        line, weight = out[4 * w * y : 4 * w * (y + 1)], y_weight[y]
        if k == 2:
            _truncated(rows[slot[0]], rows[slot[1]], weight[0], weight[1], line)
            continue
        _exact(rows, slot, weight, whole, line)
        if rounded > 0:
            _rounded(rows, slot, weight, real, spare)
            for x in range(w):
                for c in range(channels):
                    if places[x] * channels + c < rounded:
                        line[4 * x + c] = spare[4 * x + c]


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
            for x in range(w):
                c0, c1, c2, c3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                for k in range(x_first[x], x_first[x + 1]):
                    at, part = start + channels * np.int64(x_source[k]), x_share[k]
                    c0 += np.float32(pixels[at]) * part
                    if channels >= 3:
                        c1 += np.float32(pixels[at + 1]) * part
                        c2 += np.float32(pixels[at + 2]) * part
                    if channels == 4:
                        c3 += np.float32(pixels[at + 3]) * part
                wide[4 * x], wide[4 * x + 1], wide[4 * x + 2], wide[4 * x + 3] = c0, c1, c2, c3
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
