"""Pillow's bilinear resize, which averages where it shrinks. Compiled when a plan asks for it.

Works on a region of the source and makes a window of the result, four bytes per pixel, rows first
and bytes between the two passes. Taps are those of `gpuio.kernels.taps.triangle_taps`, made here
some ten times faster: a random crop needs new ones for every image.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numba import types

from gpuio.kernels.jit import inner, kernel

__all__ = ["resize_triangle", "triangle_table"]

_I = np.int32
_int = types.int64
_bytes = types.uint8[::1]
_table = types.Array(types.int32, 2, "A")


@kernel(types.void(_int, types.float64, types.int32[:, ::1]), allocates=True)
def _fill(src, support, table):
    """Write first, count and weights of each pixel of one axis."""
    dst, k = table.shape[0], table.shape[1] - 2
    scale = src / dst
    share = np.empty(k, np.float64)
    unit = 1.0 / support
    for i in range(dst):
        centre = (i + 0.5) * scale
        first = max(math.trunc(centre - support + 0.5), 0)
        count = min(math.trunc(centre + support + 0.5), src) - first
        total = 0.0
        for tap in range(count):
            distance = abs((tap + first - centre + 0.5) * unit)
            share[tap] = 1.0 - distance if distance < 1.0 else 0.0
            total += share[tap]
        table[i, 0], table[i, 1] = first, count
        for tap in range(count):
            part = share[tap] / total if total != 0.0 else share[tap]
            table[i, 2 + tap] = math.trunc(0.5 + part * 4194304.0)


@functools.lru_cache(maxsize=64)
def triangle_table(dst, src):
    """Return the taps of one axis of Pillow's bilinear resize, a row per pixel.

    Parameters
    ----------
    dst, src : int              length after and before, pixels, both >= 1

    Returns
    -------
    int32[dst, 2 + k]           first source pixel, count of taps, weights (22 bits), zeros
    """
    support = max(src / dst, 1.0)
    table = np.zeros((dst, 2 + math.ceil(support) * 2 + 1), np.int32)
    _fill(src, support, table)
    return table


@inner
def _byte(total):
    """Take a byte out of 22 bits of fraction; the rounding half is already in."""
    return np.uint8(min(max(total >> _I(22), _I(0)), _I(255)))


@inner
def _filter_row(pixels, start, stride, channels, columns, row):
    """Filter one source row along x into four bytes per pixel."""
    half = _I(1 << 21)
    for x in range(columns.shape[0]):
        c0, c1, c2, c3 = half, half, half, half
        at = start + stride * np.int64(columns[x, 0])
        for k in range(columns[x, 1]):
            factor = columns[x, 2 + k]
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
        _bytes, _int, _int, _int, _int, _table, _table, _bytes
    ),
    allocates=True,
)  # fmt: skip
def resize_triangle(
    pixels, base, pitch, stride, channels, columns, lines, out
):  # fmt: skip
    """Resize by triangles along x, then along y.

    Parameters
    ----------
    pixels : uint8[n]
    base, pitch : int           first byte and bytes per row of the source region
    stride, channels : int      bytes from pixel to pixel, and how many of them to filter
    columns : int32[w, 2 + k]   of `triangle_table`, those of the window
    lines : int32[h, 2 + k]     the same of its rows
    out : uint8[h * w * 4]
    """
    h, w, k = lines.shape[0], columns.shape[0], lines.shape[1] - 2
    held = np.full(k, -1, np.int64)
    rows = np.empty((k, 4 * w), np.uint8)
    total = np.empty(4 * w, np.int32)
    for y in range(h):
        total[:] = 1 << 21
        for tap in range(lines[y, 1]):
            source = np.int64(lines[y, 0]) + tap
            row = rows[source % k]
            if held[source % k] != source:
                start = base + source * pitch
                _filter_row(pixels, start, stride, channels, columns, row)
                held[source % k] = source
            factor = lines[y, 2 + tap]
            for j in range(4 * w):
                total[j] = _I(total[j] + _I(row[j]) * factor)
        line = out[4 * w * y : 4 * w * (y + 1)]
        for j in range(4 * w):
            line[j] = _byte(total[j])
