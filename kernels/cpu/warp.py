"""The affine warp, as OpenCV 3.4 makes it: coordinates in 1/32 pixel, weights in 15 bits.

A row of the window falls into runs: pixels whose taps all lie in the image, made eight at a time by
bilinear and two at a time by the others; pixels that see nothing of it, filled; and the few
between, one by one. The arithmetic of the first is written in portable LLVM IR, as in
`gpuio.kernels.cpu.window` and for its reasons.

Compiled when a plan first asks for one. Source: OpenCV 3.4, modules/imgproc/src/imgwarp.cpp
(WarpAffineInvoker, initInterTab2D, remapBilinear, remapBicubic, remapLanczos4).
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

import functools

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.cpu.vector import lanes, load, pointer, two_taps
from gpuio.kernels.cpu.warp_bilinear import lerp_eight, locate_eight
from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.plan.layout import AREA, CUBIC, LANCZOS4, NEAREST
from gpuio.kernels.taps import fraction_weights

__all__ = ["warp", "warp_weights"]

_I = np.int32
_int = types.int64
_bytes = types.uint8[::1]


@functools.cache
def warp_weights(method):
    """Return the weights of every fraction of a pixel.

    Parameters
    ----------
    method : {0, 1, 2, 3, 4}    area is bilinear here

    Returns
    -------
    int16[1024, k * k]          at fraction ``32 * y + x`` (1/32 pixel); a row sums to 32768, but
                                that a lone weight of 1 is 32767; empty rows for nearest
    """
    if method == NEAREST:
        return np.zeros((1024, 0), np.int16)
    line = fraction_weights(1 if method == AREA else method)
    k = line.shape[1]
    product = line[:, None, :, None] * line[None, :, None, :]  # y, x, row, column
    weight = np.clip(np.rint(product * np.float32(32768)), -32768, 32767).astype(np.int32)
    weight = weight.reshape(1024, k, k)
    if method in (CUBIC, LANCZOS4):
        _balance(weight, k // 2)
    return np.ascontiguousarray(weight.reshape(1024, k * k).astype(np.int16))


def _balance(weight, middle):
    """Make each table sum to 32768 by its largest or smallest weight of the four after `middle`."""
    for table in weight:
        excess = int(table.sum()) - 32768
        if excess == 0:
            continue
        low = high = (middle, middle)
        for row in (middle, middle + 1):
            for column in (middle, middle + 1):
                if table[row, column] < table[low]:
                    low = row, column
                elif table[row, column] > table[high]:
                    high = row, column
        table[high if excess < 0 else low] -= excess


@intrinsic(prefer_literal=True)
def warp_pair(typing, k, channels, pixels, pitch, at, weight, entry, out, to, x):
    """Make pixels x and x + 1 of a row from k x k taps each.

    Parameters
    ----------
    k : {4, 8}              a constant, as the next
    channels : {1, 3, 4}
    pixels : uint8[n]       k rows are read, 16 bytes each, with 8 taps 16 + 4 channels
    pitch : int64           bytes from row to row
    at : int32[w]           first byte of each pixel's first row of taps
    weight : int16[n]
    entry : int32[w]        where each pixel's weights begin
    out : uint8[n]          four bytes per pixel
    to : int64              of pixel 0
    x : int64
    """
    k_value, channels_value = k.literal_value, channels.literal_value
    signature = types.void(k, channels, pixels, pitch, at, weight, entry, out, to, x)

    def generate(context, builder, signature, args):
        arrays = signature.args[2:]
        _emit_pair(context, builder, k_value, channels_value, arrays, args[2:])
        return context.get_dummy_value()

    return signature, generate


def _emit_pair(context, builder, k, channels, array_types, args):
    """Write what `warp_pair` does."""
    pixels_t, _, at_t, weight_t, entry_t, out_t, _, _ = array_types
    pixels, pitch, at, weight, entry, out, to, x = args
    i32, i64 = ir.IntType(32), ir.IntType(64)
    place, table = [], []
    for number in range(2):
        j = builder.add(x, i64(number))
        for array_t, array, found in ((at_t, at, place), (entry_t, entry, table)):
            found.append(builder.sext(load(context, builder, array_t, array, j, i32), i64))
    total = ir.Constant(lanes(32, 8), [1 << 14] * 8)
    for row in range(k):
        starts = [builder.add(t, i64(k * row)) for t in table]
        weights = [load(context, builder, weight_t, weight, t, lanes(16, k)) for t in starts]
        for segment in range(0, k, 4):
            start = i64(segment * channels)
            starts = [builder.add(p, start) for p in place]
            taps = [load(context, builder, pixels_t, pixels, p, lanes(8, 16)) for p in starts]
            for tap in (0, 2):
                part = two_taps(builder, taps, tap, channels, weights, segment + tap)
                total = builder.add(total, part)
        place = [builder.add(p, pitch) for p in place]
    total = builder.ashr(total, ir.Constant(total.type, [15] * 8))
    for sign, bound in ((">", 255), ("<", 0)):
        limit = ir.Constant(total.type, [bound] * 8)
        total = builder.select(builder.icmp_signed(sign, total, limit), limit, total)
    made = builder.trunc(total, lanes(8, 8))
    target = builder.add(to, builder.mul(x, i64(4)))
    builder.store(made, pointer(context, builder, out_t, out, target, made.type), align=1)


@inner
def _short(value):
    return min(max(value, -32768), 32767)


@inner
def _one(pixels, channels, src_h, src_w, left, top, weight, entry, k, fill, out, to):
    """Make a pixel whose taps may lie outside the image."""
    for c in range(4):
        if c >= channels:
            out[to + c] = 0
            continue
        outside = 0 if c == 3 else fill
        total = _I(1 << 14)
        for v in range(k):
            for u in range(k):
                value = _I(outside)
                if 0 <= left + u < src_w and 0 <= top + v < src_h:
                    value = _I(pixels[channels * ((top + v) * src_w + left + u) + c])
                if k == 1:
                    out[to + c] = value
                else:
                    total = _I(total + _I(value * _I(weight[entry + v * k + u])))
        if k > 1:
            out[to + c] = min(max(total >> _I(15), _I(0)), _I(255))


@inner
def _run(x, step, stop, X, Y, columns, low_x, high_x, low_y, high_y):
    """Step from x on to the first pixel whose first tap lies within the bounds, or to `stop`."""
    while x != stop:
        left, top = _short((X + columns[0, x]) >> 10), _short((Y + columns[1, x]) >> 10)
        if low_x <= left <= high_x and low_y <= top <= high_y:
            break
        x += step
    return x


@inner
def _fill(out, start, stop, channels, fill, k):
    """Fill pixels that see nothing of the image, from byte `start` to byte `stop`."""
    value = np.uint8(fill if k == 1 else min(max(fill, 0), 255))
    other = value if channels >= 3 else np.uint8(0)
    for x in range(start, stop, 4):
        out[x], out[x + 1], out[x + 2], out[x + 3] = value, other, other, 0


@functools.cache
def _compiled(k):
    """Compile the warp with k x k taps."""
    reach = {1: 1, 2: 8, 4: 16, 8: 16}[k]
    more = 4 if k == 8 else 0  # bytes per channel

    @kernel(
        types.void(
            _bytes, _int, _int, _int, types.float64[::1], types.int16[::1], _int, _int, _int,
            types.boolean, _int, _int, _bytes,
        ),
        "vector",
        "warp_bilinear",
        allocates=True,
    )  # fmt: skip
    def warp_kernel(
        pixels, channels, src_h, src_w, matrix, weight, fill, y0, x0, mirror, h, w, out
    ):
        half = 512 if k == 1 else 16
        before = k // 2 - 1 if k > 1 else 0
        pitch = channels * src_w
        columns = np.empty((2, w), np.int64)
        # the last eight pixels of a row may end behind it
        low_x, low_y = np.empty(w + 8, np.int32), np.empty(w + 8, np.int32)
        for x in range(w):
            dx = float(x0 + (w - 1 - x if mirror else x))
            columns[0, x] = np.int64(np.rint(matrix[0] * dx * 1024.0))
            columns[1, x] = np.int64(np.rint(matrix[3] * dx * 1024.0))
            low_x[x], low_y[x] = _I(columns[0, x]), _I(columns[1, x])
        at, entry = np.empty(w + 8, np.int32), np.empty(w, np.int32)
        across, down = np.empty(w + 8, np.int16), np.empty(w + 8, np.int16)
        # the first tap, before `before` is taken away, of pixels not made one by one
        last_x = min((pitch - reach - more * channels) // channels + before, 32767)
        last_y = min(src_h - k + before, 32767)
        if k == 1 or pixels.size > 0x7FFFFFFF:
            last_x = -1
        for y in range(h):
            dy = float(y0 + y)
            X = np.int64(np.rint((matrix[1] * dy + matrix[2]) * 1024.0)) + half
            Y = np.int64(np.rint((matrix[4] * dy + matrix[5]) * 1024.0)) + half
            x_edge, y_edge = src_w - 1 + before, src_h - 1 + before
            touch = before - k + 1
            start = _run(0, 1, w, X, Y, columns, touch, x_edge, touch, y_edge)
            stop = 1 + _run(w - 1, -1, start - 1, X, Y, columns, touch, x_edge, touch, y_edge)
            first = _run(start, 1, stop, X, Y, columns, before, last_x, before, last_y)
            last = 1 + _run(stop - 1, -1, first - 1, X, Y, columns, before, last_x, before, last_y)
            if k > 2:
                last -= (last - first) % 2
            elif last - first < 8:
                last = first
            to = 4 * w * y
            _fill(out, to, to + 4 * start, channels, fill, k)
            _fill(out, to + 4 * stop, to + 4 * w, channels, fill, k)
            for side in range(2):
                begin, end = (start, first) if side == 0 else (last, stop)
                for x in range(begin, end):
                    px, py = X + columns[0, x], Y + columns[1, x]
                    left, top = _short(px >> 10) - before, _short(py >> 10) - before
                    table = k * k * (((py >> 5) & 31) * 32 + ((px >> 5) & 31))
                    _one(
                        pixels, channels, src_h, src_w, left, top, weight, table, k, fill,
                        out, to + 4 * x,
                    )  # fmt: skip
            if k == 1 or first == last:
                continue
            x32, y32, wide, deep = _I(X), _I(Y), _I(channels), _I(pitch)
            if k == 2:
                for x in range(first, last, 8):
                    locate_eight(low_x, low_y, x32, y32, wide, deep, at, across, down, x)
                if channels == 3:
                    for x in range(first, last, 8):
                        j = min(x, last - 8)
                        lerp_eight(3, pixels, pitch, at, across, down, out, to, j)
                elif channels == 4:
                    for x in range(first, last, 8):
                        j = min(x, last - 8)
                        lerp_eight(4, pixels, pitch, at, across, down, out, to, j)
                else:
                    for x in range(first, last, 8):
                        j = min(x, last - 8)
                        lerp_eight(1, pixels, pitch, at, across, down, out, to, j)
                continue
            shift = _I(before * (channels + pitch))
            # counted from 0: where Numba cannot tell an index from a negative one, LLVM scatters
            column, line = low_x[first:last], low_y[first:last]
            to_at, to_entry = at[first:last], entry[first:last]
            for j in range(last - first):
                px, py = _I(x32 + column[j]), _I(y32 + line[j])
                to_at[j] = _I(_I(_I(py >> _I(10)) * deep) + _I(_I(px >> _I(10)) * wide)) - shift
                fraction = _I(_I(py & _I(992)) | _I(_I(px >> _I(5)) & _I(31)))
                to_entry[j] = _I(fraction * _I(k * k))
            if channels == 3:
                for x in range(first, last, 2):
                    warp_pair(k, 3, pixels, pitch, at, weight, entry, out, to, x)
            elif channels == 4:
                for x in range(first, last, 2):
                    warp_pair(k, 4, pixels, pitch, at, weight, entry, out, to, x)
            else:
                for x in range(first, last, 2):
                    warp_pair(k, 1, pixels, pitch, at, weight, entry, out, to, x)

    return warp_kernel


def warp(pixels, channels, src_h, src_w, matrix, method, fill, y0, x0, mirror, h, w, out):
    """Make a window of a warped image.

    Parameters
    ----------
    pixels : uint8[src_h * src_w * channels]
    channels : {1, 3, 4}
    matrix : float64[6]         destination to source
    method : {0, 1, 2, 3, 4}    area is bilinear here
    fill : int                  value of taps outside the image, in B, G, R or gray; alpha is 0
    y0, x0 : int                the window's corner in the warped image
    mirror : bool               flip the window
    h, w : int                  of the window
    out : uint8[h * w * 4]
    """
    weight = warp_weights(method)
    k = round(weight.shape[1] ** 0.5) or 1
    _compiled(k)(
        pixels, channels, src_h, src_w, matrix, weight.reshape(-1), fill,
        y0, x0, mirror, h, w, out,
    )  # fmt: skip
