"""Resizes with wider filters: bicubic, Lanczos, area. Compiled when a plan first asks for one.

Each works on a region of the source (`base`, `pitch`) and makes a window of the result, four bytes
a pixel. A source row is copied, its edges repeated, so that a pixel's taps always lie side by side
and may be read beyond; two pixels are made at a time. Tap tables come from `gpuio.kernels.taps`,
cut and flipped to the window by the caller.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

import functools

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.vector import lanes, load, mask, pointer, two_taps

__all__ = ["filter_taps", "shrink", "shrink_whole"]

_I = np.int32
_int = types.int64
_bytes = types.uint8[::1]
_table = types.int32[:, ::1]
_SLACK = 32  # bytes that may be read beyond a pixel's first tap


@intrinsic(prefer_literal=True)
def filter_pair(typing, k, channels, line, offset, weight, row, x):
    """Filter pixels x and x + 1 along x with k taps each.

    Parameters
    ----------
    k : {2, 4, 8}           a constant, as the next
    channels : {1, 3, 4}
    line : uint8[n]         read up to _SLACK bytes from an offset on
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


@intrinsic(prefer_literal=True)
def add_pair(typing, channels, line, offset, share, row, x):
    """Add one source pixel's share to pixels x and x + 1 each.

    Parameters
    ----------
    channels : {1, 3, 4}    a constant
    line : uint8[n]
    offset : int64[w]       of the source pixel, bytes
    share : float32[w]
    row : float32[4 w]      four lanes a pixel; those beyond the channels stay as they are
    x : int64
    """
    used = channels.literal_value
    signature = types.void(channels, line, offset, share, row, x)

    def generate(context, builder, signature, args):
        line_t, offset_t, share_t, row_t, _ = signature.args[1:]
        line, offset, share, row, x = args[1:]
        i64, real = ir.IntType(64), ir.VectorType(ir.FloatType(), 8)
        places = [
            load(context, builder, offset_t, offset, builder.add(x, i64(number)), i64)
            for number in range(2)
        ]
        pixels = [load(context, builder, line_t, line, p, lanes(8, 4)) for p in places]
        both = builder.shuffle_vector(*pixels, mask(*range(8)))
        keep = ir.Constant(both.type, [255 if c < used else 0 for c in (0, 1, 2, 3)] * 2)
        value = builder.uitofp(builder.and_(both, keep), real)
        pair = load(context, builder, share_t, share, x, ir.VectorType(ir.FloatType(), 2))
        none = ir.Constant(pair.type, ir.Undefined)
        parts = builder.shuffle_vector(pair, none, mask(0, 0, 0, 0, 1, 1, 1, 1))
        target = pointer(context, builder, row_t, row, builder.mul(x, i64(4)), real)
        total = builder.fadd(builder.load(target, align=4), builder.fmul(value, parts))
        builder.store(total, target, align=4)
        return context.get_dummy_value()

    return signature, generate


@inner
def _clamp(value, last):
    return min(max(value, 0), last)


@inner
def _byte(value):
    return np.uint8(min(max(value, _I(0)), _I(255)))


@inner
def _copy(pixels, start, stride, src_w, left, right, line):
    """Copy the columns `left` to `right` of a row, those outside the image being its edges."""
    for x in range(left, min(right, 0)):
        for c in range(stride):
            line[(x - left) * stride + c] = pixels[start + c]
    first, last = _clamp(left, src_w), _clamp(right, src_w)
    source = pixels[start + first * stride : start + last * stride]
    target = line[(first - left) * stride :]
    for j in range(source.size):
        target[j] = source[j]
    for x in range(max(left, src_w), right):
        for c in range(stride):
            line[(x - left) * stride + c] = pixels[start + (src_w - 1) * stride + c]


@inner
def _truncated(upper, lower, b0, b1, out):
    """Blend two rows as bilinear does."""
    for j in range(out.size):
        high = _I(_I(_I(upper[j] >> _I(4)) * b0) >> _I(16))
        low = _I(_I(_I(lower[j] >> _I(4)) * b1) >> _I(16))
        out[j] = _byte(_I(_I(high + low + _I(2)) >> _I(2)))


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
        out[j] = _byte(_I(total[j] >> _I(22)))


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
        out[j] = _byte(_I(np.rint(total)))


@functools.cache
def _compiled(k):
    """Compile `filter_taps` for k taps."""

    @kernel(
        types.void(
            _bytes, _int, _int, _int, _int, _int, _int, _table, _table, _table, _table, _int,
            types.int32[::1], _bytes,
        ),
        "vector",
    )  # fmt: skip
    def filter_kernel(
        pixels, base, pitch, stride, channels, src_h, src_w, x_index, x_weight, y_index, y_weight,
        rounded, places, out,
    ):  # fmt: skip
        h, w = y_index.shape[0], places.size
        even = (w + 1) // 2 * 2
        rows = np.empty((k, 4 * even), np.int32)
        held, slot = np.full(k, -1, np.int64), np.zeros(k, np.int64)
        offset, weight = np.empty(even, np.int64), np.empty(k * even, np.int16)
        total, spare = np.empty(4 * w, np.int32), np.empty(4 * w, np.uint8)
        left = min(x_index[0, 0], x_index[w - 1, 0])
        right = max(x_index[0, 0], x_index[w - 1, 0]) + k
        line = np.zeros((right - left) * stride + _SLACK, np.uint8)
        # values that the window shows of a row of the whole result
        values = (max(places[0], places[w - 1]) + 1) * channels
        for x in range(even):
            column = min(x, w - 1)
            offset[x] = (x_index[column, 0] - left) * stride
            for tap in range(k):
                weight[k * x + tap] = x_weight[column, tap]
        for y in range(h):
            for tap in range(k):
                source = _clamp(y_index[y, tap], src_h - 1)
                number = source % k
                slot[tap] = number
                if held[number] == source:
                    continue
                held[number] = source
                _copy(pixels, base + source * pitch, stride, src_w, left, right, line)
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
    base, pitch : int           first byte and bytes a row of the source region
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


@kernel(
    types.void(
        _bytes, _int, _int, _int, _int, types.int32[::1], types.int32[::1], types.float32[::1],
        types.int32[::1], types.int32[::1], types.float32[::1], _bytes,
    ),
    "vector",
)  # fmt: skip
def shrink(
    pixels, base, pitch, channels, src_w, x_first, x_source, x_share, y_first, y_source, y_share,
    out,
):  # fmt: skip
    """Average the source area of each pixel, in float32.

    Parameters
    ----------
    pixels, base, pitch, src_w : as in `filter_taps`
    channels : int              bytes from pixel to pixel, all of them averaged
    x_first : int32[w + 1]      entries x_first[x] to x_first[x + 1] belong to window column x
    x_source : int32[m]         source columns, side by side
    x_share : float32[m]        their parts of the pixel
    y_first, y_source, y_share : the same for rows
    out : uint8[h * w * 4]
    """
    h, w = y_first.size - 1, x_first.size - 1
    even = (w + 1) // 2 * 2
    k = 0
    left, right = x_source[0], x_source[0]
    for x in range(w):
        k = max(k, x_first[x + 1] - x_first[x])
        left = min(left, x_source[x_first[x]])
        right = max(right, x_source[x_first[x + 1] - 1] + 1)
    offset, share = np.empty((k, even), np.int64), np.zeros((k, even), np.float32)
    for x in range(even):
        first, stop = x_first[min(x, w - 1)], x_first[min(x, w - 1) + 1]
        for tap in range(k):
            offset[tap, x] = (x_source[first] - left + tap) * channels
            if first + tap < stop:
                share[tap, x] = x_share[first + tap]
    line = np.zeros((right - left + k) * channels + _SLACK, np.uint8)
    wide, total = np.empty(4 * even, np.float32), np.empty(4 * w, np.float32)
    held = -1
    for y in range(h):
        total[:] = 0
        for entry in range(y_first[y], y_first[y + 1]):
            if held != y_source[entry]:
                held = y_source[entry]
                _copy(pixels, base + np.int64(held) * pitch, channels, src_w, left, right, line)
                wide[:] = 0
                for tap in range(k):
                    at, part = offset[tap], share[tap]
                    if channels == 3:
                        for x in range(0, w, 2):
                            add_pair(3, line, at, part, wide, x)
                    elif channels == 4:
                        for x in range(0, w, 2):
                            add_pair(4, line, at, part, wide, x)
                    else:
                        for x in range(0, w, 2):
                            add_pair(1, line, at, part, wide, x)
            factor = y_share[entry]
            for j in range(4 * w):
                total[j] += wide[j] * factor
        made = out[4 * w * y : 4 * w * (y + 1)]
        for j in range(4 * w):
            made[j] = _byte(_I(np.rint(total[j])))


@kernel(
    types.void(_bytes, _int, _int, _int, _int, _int, _int, _int, types.boolean, _int, _int, _bytes),
    "vector",
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
    size = w * fx * channels
    total = np.empty(size, np.int32)
    for y in range(h):
        corner = base + (y0 + y) * fy * pitch + x0 * fx * channels
        total[:] = 0
        for v in range(fy):
            source = pixels[corner + v * pitch : corner + v * pitch + size]
            for j in range(size):
                total[j] = _I(total[j] + _I(source[j]))
        for x in range(w):
            to = 4 * (w * y + (w - 1 - x if mirror else x))
            for c in range(4):
                value = _I(0)
                if c < channels:
                    for u in range(fx):
                        value = _I(value + total[(x * fx + u) * channels + c])
                    if fy == 2 and fx == 2:
                        value = _I(_I(value + _I(2)) >> _I(2))
                    else:
                        value = _I(np.rint(np.float32(value) * share))
                out[to + c] = value
