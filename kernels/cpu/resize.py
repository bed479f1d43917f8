"""Resizes by taps: bicubic, Lanczos, area that enlarges. Compiled when a plan first asks for one.

Works on a region of the source (`base`, `pitch`) and makes a window of the result, four bytes a
pixel, two of them at a time. Bicubic tap tables are made here, some ten times faster than by
`gpuio.kernels.taps`: a random crop needs new ones for every image. The others come from there, cut
and flipped to the window by the caller.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

import functools
import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.cpu.vector import SLACK, byte, clamp, copy_row, lanes, load, pointer, two_taps
from gpuio.kernels.jit import inner, kernel

__all__ = ["cubic_taps", "filter_taps"]

_I = np.int32
_int = types.int64
_bytes = types.uint8[::1]
_table = types.int32[:, ::1]


@intrinsic(prefer_literal=True)
def filter_pair(typing, k, channels, line, offset, weight, row, x):
    """Filter pixels x and x + 1 along x with k taps each.

    Parameters
    ----------
    k : {2, 4, 8}           a constant, as the next
    channels : {1, 3, 4}
    line : uint8[n]         read up to SLACK bytes from an offset on
    offset : int64[w]       first tap of each pixel, bytes
    weight : int16[k w]
    row : int32[4 w]        receives the sums, four lanes a pixel
    x : int64
    """
    k_value, channels_value = k.literal_value, channels.literal_value
    signature = types.void(k, channels, line, offset, weight, row, x)

    def generate(context, builder, signature, args):
        line_t, offset_t, weight_t, row_t, _ = signature.args[2:]
        line, offset, weight, row, x = args[2:]
        i64 = ir.IntType(64)
        both = [builder.add(x, i64(number)) for number in range(2)]
        place = [load(context, builder, offset_t, offset, j, i64) for j in both]
        first = [builder.mul(j, i64(k_value)) for j in both]
        weights = [load(context, builder, weight_t, weight, j, lanes(16, k_value)) for j in first]
        total = None
        for segment in range(0, k_value, 4):
            kind, start = lanes(8, 8 if k_value == 2 else 16), i64(segment * channels_value)
            taps = [
                load(context, builder, line_t, line, builder.add(p, start), kind) for p in place
            ]
            for tap in range(0, min(k_value, 4), 2):
                part = two_taps(builder, taps, tap, channels_value, weights, segment + tap)
                total = part if total is None else builder.add(total, part)
        target = builder.mul(x, i64(4))
        place = pointer(context, builder, row_t, row, target, total.type)
        builder.store(total, place, align=4)
        return context.get_dummy_value()

    return signature, generate


@inner
def _truncated(upper, lower, b0, b1, out):
    """Blend two rows as bilinear does."""
    for j in range(out.size):
        high = _I(_I(_I(upper[j] >> _I(4)) * b0) >> _I(16))
        low = _I(_I(_I(lower[j] >> _I(4)) * b1) >> _I(16))
        out[j] = byte(_I(_I(high + low + _I(2)) >> _I(2)))


@inner
def _sum_four(a, b, c, d, weight, start, total):
    """Add four rows, weighed, in integers to `start`, or to `total` where that is less than 0."""
    w0, w1, w2, w3 = weight[0], weight[1], weight[2], weight[3]
    for j in range(total.size):
        upper = _I(_I(a[j] * w0) + _I(b[j] * w1))
        lower = _I(_I(c[j] * w2) + _I(d[j] * w3))
        total[j] = _I(_I(upper + lower) + (start if start >= 0 else total[j]))


@inner
def _shifted(total, out):
    for j in range(out.size):
        out[j] = byte(_I(total[j] >> _I(22)))


@inner
def _rounded(a, b, c, d, weight, out):
    """Sum four rows in float32, from the first to the last."""
    unit = np.float32(1 / (1 << 22))
    w0, w1 = np.float32(weight[0]) * unit, np.float32(weight[1]) * unit
    w2, w3 = np.float32(weight[2]) * unit, np.float32(weight[3]) * unit
    for j in range(out.size):
        total = np.float32(a[j]) * w0 + np.float32(b[j]) * w1
        total = total + np.float32(c[j]) * w2
        total = total + np.float32(d[j]) * w3
        out[j] = byte(_I(np.rint(total)))


@functools.cache
def _compiled(k):
    """Compile `filter_taps` for k taps."""

    @kernel(
        types.void(
            _bytes, _int, _int, _int, _int, _int, _int, _table, _table, _table, _table, _int,
            types.int32[::1], _bytes,
        ),
        "vector",
        allocates=True,
    )  # fmt: skip
    def filter_kernel(
        pixels, base, pitch, stride, channels, src_h, src_w, x_index, x_weight, y_index, y_weight,
        rounded, places, out,
    ):  # fmt: skip
        h, w = y_index.shape[0], places.size
        even = (w + 1) // 2 * 2
        rows = np.empty((k, 4 * even), np.int32)
        held, slot = np.empty(k, np.int64), np.empty(k, np.int64)
        offset, weight = np.empty(even, np.int64), np.empty(k * even, np.int16)
        total, spare = np.empty(4 * w, np.int32), np.empty(4 * w, np.uint8)
        left = min(x_index[0, 0], x_index[w - 1, 0])
        right = max(x_index[0, 0], x_index[w - 1, 0]) + k
        line = np.empty((right - left) * stride + SLACK, np.uint8)
        # values that the window shows of a row of the whole result
        values = (max(places[0], places[w - 1]) + 1) * channels
        for x in range(even):
            column = min(x, w - 1)
            offset[x] = (x_index[column, 0] - left) * stride
            for tap in range(k):
                weight[k * x + tap] = x_weight[column, tap]
        for tap in range(k):
            held[tap] = -1
        for y in range(h):
            for tap in range(k):
                source = clamp(y_index[y, tap], src_h - 1)
                number = source % k
                slot[tap] = number
                if held[number] == source:
                    continue
                held[number] = source
                copy_row(pixels, base + source * pitch, stride, src_w, left, right, line)
                row = rows[number]
                if stride == 3:
                    for x in range(0, w, 2):
                        filter_pair(k, 3, line, offset, weight, row, x)
                elif stride == 4:
                    for x in range(0, w, 2):
                        filter_pair(k, 4, line, offset, weight, row, x)
                else:
                    for x in range(0, w, 2):
                        filter_pair(k, 1, line, offset, weight, row, x)
            made, factors = out[4 * w * y : 4 * w * (y + 1)], y_weight[y]
            if k == 2:
                _truncated(rows[slot[0]], rows[slot[1]], factors[0], factors[1], made)
                continue
            a, b, c, d = rows[slot[0]], rows[slot[1]], rows[slot[2]], rows[slot[3]]
            if rounded < values:
                _sum_four(a, b, c, d, factors, _I(1 << 21), total)
                if k == 8:
                    e, f, g, i = rows[slot[4]], rows[slot[5]], rows[slot[6]], rows[slot[7]]
                    _sum_four(e, f, g, i, factors[4:], _I(-1), total)
                _shifted(total, made)
            if rounded == 0:
                continue
            if rounded >= values:
                _rounded(a, b, c, d, factors, made)
                continue
            _rounded(a, b, c, d, factors, spare)
            for x in range(w):
                for lane in range(channels):
                    if places[x] * channels + lane < rounded:
                        made[4 * x + lane] = spare[4 * x + lane]

    return filter_kernel


def filter_taps(
    pixels, base, pitch, stride, channels, src_h, src_w, x_index, x_weight, y_index, y_weight,
    rounded, places, out,
):  # fmt: skip
    """Resize by taps along x, then along y.

    Parameters
    ----------
    pixels : uint8[n]
    base, pitch : int           first byte and bytes per row of the source region
    stride, channels : int      bytes from pixel to pixel, and how many of them are in use; the
                                others are zeros
    src_h, src_w : int
    x_index, x_weight : int32[w, k]     of the window's columns; index is clamped here, and rises by
                                        one from tap to tap; weights fit into 16 bits
    y_index, y_weight : int32[h, k]
    rounded : int               values of a row of the whole result, from the left, that are summed
                                in float32 (OpenCV's vector loop); the rest in integers
    places : int32[w]           column of the whole result that each window column is
    out : uint8[h * w * 4]
    """
    _compiled(y_weight.shape[1])(
        pixels, base, pitch, stride, channels, src_h, src_w, x_index, x_weight, y_index, y_weight,
        rounded, places, out,
    )  # fmt: skip


@kernel(types.void(_int, _int, _int, _int, _table, _table), "vector")
def cubic_taps(dst, src, first, step, index, weight):
    """Make the taps of pixels `first`, `first + step` ... as `gpuio.kernels.taps.taps` makes them.

    Parameters
    ----------
    dst, src, first, step : int
    index, weight : int32[n, 4]     filled
    """
    one, a = np.float32(1), np.float32(-0.75)
    five, eight, four = np.float32(5) * a, np.float32(8) * a, np.float32(4) * a
    near, far = a + np.float32(2), a + np.float32(3)
    scale = 1.0 / (float(dst) / float(src))
    for i in range(index.shape[0]):
        position = np.float32((first + i * step + 0.5) * scale - 0.5)
        left = _I(math.floor(position))
        x = position - np.float32(left)
        y, z = x + one, one - x
        w0 = ((a * y - five) * y + eight) * y - four
        w1 = (near * x - far) * x * x + one
        w2 = (near * z - far) * z * z + one
        w3 = one - w0 - w1 - w2
        for tap in range(4):
            index[i, tap] = left - 1 + tap
        weight[i, 0] = _I(np.rint(w0 * np.float32(2048)))
        weight[i, 1] = _I(np.rint(w1 * np.float32(2048)))
        weight[i, 2] = _I(np.rint(w2 * np.float32(2048)))
        weight[i, 3] = _I(np.rint(w3 * np.float32(2048)))
