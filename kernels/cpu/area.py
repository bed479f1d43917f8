"""The area resize, which averages where it shrinks. Compiled when a plan first asks for it.

Works on a region of the source (`base`, `pitch`) and makes a window of the result, four bytes a
pixel. Which source pixels a pixel covers is worked out here, some ten times faster than by
`gpuio.kernels.taps.area_taps`: a random crop needs it anew for every image.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.cpu.vector import SLACK, byte, copy_row, lanes, load, mask, pointer
from gpuio.kernels.jit import inner, kernel

__all__ = ["shrink", "shrink_whole"]

_I = np.int32
_int = types.int64
_bytes = types.uint8[::1]


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
def _area(dst, src, place, share):
    """Write the shares of the source pixels under one pixel; return the first and how many.

    The same arithmetic as in `gpuio.kernels.taps.area_taps`.
    """
    scale = 1.0 / (float(dst) / float(src))
    start = place * scale
    stop, cell = start + scale, min(scale, src - start)
    last = min(math.floor(stop), src - 1)
    first = min(math.ceil(start), last)
    head, tail = first - start > 1e-3, stop - last > 1e-3
    count = (1 if head else 0) + (last - first) + (1 if tail else 0)
    for tap in range(count):
        share[tap] = np.float32(1.0 / cell)
    if tail:
        share[count - 1] = np.float32(min(stop - last, 1.0, cell) / cell)
    if head:
        share[0] = np.float32((first - start) / cell)
    return first - (1 if head else 0), count


@kernel(
    types.void(
        _bytes, _int, _int, _int, _int, _int, _int, _int, _int, _int, types.boolean, _int, _int,
        _bytes,
    ),
    "vector",
    allocates=True,
)  # fmt: skip
def shrink(
    pixels, base, pitch, channels, src_h, src_w, dst_h, dst_w, y0, x0, mirror, h, w, out
):  # fmt: skip
    """Average the source area of each pixel, in float32.

    Parameters
    ----------
    pixels, base, pitch, src_h, src_w : as in `gpuio.kernels.cpu.resize.filter_taps`
    channels : int              bytes from pixel to pixel, all of them averaged
    dst_h, dst_w : int          of the whole result, not larger than the source
    y0, x0 : int                the window's corner in it
    mirror : bool               flip the window
    h, w : int                  of the window
    out : uint8[h * w * 4]
    """
    even = (w + 1) // 2 * 2
    k = max(src_w // dst_w, src_h // dst_h) + 3
    part = np.empty(k, np.float32)
    left = _area(dst_w, src_w, x0, part)[0]
    first, count = _area(dst_w, src_w, x0 + w - 1, part)
    right = first + count
    offset, share = np.empty((k, even), np.int64), np.empty((k, even), np.float32)
    used = 0
    for x in range(even):
        column = min(x, w - 1)
        first, count = _area(dst_w, src_w, x0 + (w - 1 - column if mirror else column), part)
        used = max(used, count)
        for tap in range(k):
            offset[tap, x] = (first - left + tap) * channels
            share[tap, x] = part[tap] if tap < count else np.float32(0)
    line = np.empty((right - left + k) * channels + SLACK, np.uint8)
    wide, total = np.empty(4 * even, np.float32), np.empty(4 * w, np.float32)
    held = -1
    for y in range(h):
        first, count = _area(dst_h, src_h, y0 + y, part)
        for j in range(4 * w):
            total[j] = 0
        for entry in range(count):
            if held != first + entry:
                held = first + entry
                copy_row(pixels, base + held * pitch, channels, src_w, left, right, line)
                for j in range(4 * even):
                    wide[j] = 0
                for tap in range(used):
                    at, parts = offset[tap], share[tap]
                    if channels == 3:
                        for x in range(0, w, 2):
                            add_pair(3, line, at, parts, wide, x)
                    elif channels == 4:
                        for x in range(0, w, 2):
                            add_pair(4, line, at, parts, wide, x)
                    else:
                        for x in range(0, w, 2):
                            add_pair(1, line, at, parts, wide, x)
            for j in range(4 * w):
                total[j] += wide[j] * part[entry]
        made = out[4 * w * y : 4 * w * (y + 1)]
        for j in range(4 * w):
            made[j] = byte(_I(np.rint(total[j])))


@kernel(
    types.void(_bytes, _int, _int, _int, _int, _int, _int, _int, types.boolean, _int, _int, _bytes),
    "vector",
    allocates=True,
)
def shrink_whole(pixels, base, pitch, channels, fy, fx, y0, x0, mirror, h, w, out):
    """Average blocks of fy x fx source pixels.

    Parameters
    ----------
    pixels, base, pitch : as in `gpuio.kernels.cpu.resize.filter_taps`
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
        for j in range(size):
            total[j] = 0
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
