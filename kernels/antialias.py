"""Pillow's bilinear resize, which averages where it shrinks. Compiled when a plan asks for it.

Works on a region of the source and makes a window of the result, four bytes a pixel, rows first and
bytes between the two passes. Taps come from `gpuio.kernels.taps`, cut and flipped by the caller.
"""

from __future__ import annotations

import numpy as np
from numba import types

from gpuio.kernels.jit import inner, kernel

__all__ = ["resize_triangle"]

_I = np.int32
_int = types.int64
_bytes = types.uint8[::1]
_places = types.Array(types.int32, 1, "A")
_table = types.Array(types.int32, 2, "A")


@inner
def _byte(total):
    """Take a byte out of 22 bits of fraction; the rounding half is already in."""
    return np.uint8(min(max(total >> _I(22), _I(0)), _I(255)))


@inner
def _filter_row(pixels, start, stride, channels, first, count, weight, row):
    """Filter one source row along x into four bytes a pixel."""
    half = _I(1 << 21)
    for x in range(first.size):
        c0, c1, c2, c3 = half, half, half, half
        at = start + stride * np.int64(first[x])
        for k in range(count[x]):
            factor = weight[x, k]
            c0 = _I(c0 + _I(pixels[at]) * factor)
            if channels >= 3:
                c1 = _I(c1 + _I(pixels[at + 1]) * factor)
                c2 = _I(c2 + _I(pixels[at + 2]) * factor)
            if channels == 4:
                c3 = _I(c3 + _I(pixels[at + 3]) * factor)
            at += stride
        row[4 * x], row[4 * x + 1] = _byte(c0), _byte(c1)
        row[4 * x + 2], row[4 * x + 3] = _byte(c2), _byte(c3)


@kernel(
    types.void(
        _bytes, _int, _int, _int, _int, _places, _places, _table, _places, _places, _table, _bytes
    )
)  # fmt: skip
def resize_triangle(
    pixels, base, pitch, stride, channels, x_first, x_count, x_weight, y_first, y_count, y_weight,
    out,
):  # fmt: skip
    """Resize by triangles along x, then along y.

    Parameters
    ----------
    pixels : uint8[n]
    base, pitch : int           first byte and bytes a row of the source region
    stride, channels : int      bytes from pixel to pixel, and how many of them to filter
    x_first, x_count : int32[w], x_weight : int32[w, k]
                                taps of the window's columns
    y_first, y_count : int32[h], y_weight : int32[h, k]
    out : uint8[h * w * 4]
    """
    h, w, k = y_first.size, x_first.size, y_weight.shape[1]
    held = np.full(k, -1, np.int64)
    rows = np.empty((k, 4 * w), np.uint8)
    total = np.empty(4 * w, np.int32)
    for y in range(h):
        total[:] = 1 << 21
        for tap in range(y_count[y]):
            source = np.int64(y_first[y]) + tap
            row = rows[source % k]
            if held[source % k] != source:
                start = base + source * pitch
                _filter_row(pixels, start, stride, channels, x_first, x_count, x_weight, row)
                held[source % k] = source
            factor = y_weight[y, tap]
            for j in range(4 * w):
                total[j] = _I(total[j] + _I(row[j]) * factor)
        line = out[4 * w * y : 4 * w * (y + 1)]
        for j in range(4 * w):
            line[j] = _byte(total[j])
