"""The output window of an image: at most one resize and one crop in a single pass.

Only the pixels that the window shows are computed. A pixel of the window is four lanes wide: B, G,
R and a zero for colour, B, G, R, A with alpha, gray and three zeros without colour. Two taps of a
pixel lie side by side in the source, so one unaligned load, one byte shuffle with a constant mask
and one multiply-add of neighbours (x86: vpshufb, vpmaddwd) make four lanes of a resize's horizontal
pass. Numba has no words for these, so they are written in portable LLVM IR.

The file calls no compiled function of another file: Numba would not notice that one's changes.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

import math

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.plan.layout import BILINEAR, NEAREST, PLAN

__all__ = ["COLOUR", "DONE", "GENERAL", "MISFIT", "make_window"]

DONE = 0
GENERAL = 1  # the plan needs steps that this module does not have
COLOUR = 2  # the window is made; colour steps remain
MISFIT = 3  # the plan's numbers do not fit its image

LOAD_BYTES = 16  # `lerp_pair_*` reads this many bytes from a pixel's address on
_I = np.int32
_int = types.int64
_bytes = types.uint8[::1]


_ZERO = 32  # index of a zero in the two operands of a 32-byte shuffle


def _lanes(width, count):
    return ir.VectorType(ir.IntType(width), count)


def _mask(*index):
    return ir.Constant(_lanes(32, len(index)), list(index))


def _address(context, builder, array_type, array, index, width, count=1):
    """Return a pointer to `count` lanes of `width` bits at an element of an array."""
    data = context.make_array(array_type)(context, builder, array).data
    wide = builder.zext(index, ir.IntType(64)) if index.type.width < 64 else index
    kind = _lanes(width, count) if count > 1 else ir.IntType(width)
    return builder.bitcast(builder.gep(data, [wide]), kind.as_pointer())


def _lerp_pair(channels):
    """Make the intrinsic for images of `channels` interleaved channels."""
    one = [
        tap
        for c in range(4)
        for tap in ((c, _ZERO, channels + c, _ZERO) if c < channels else (_ZERO,) * 4)
    ]
    both = one + [tap if tap == _ZERO else tap + 16 for tap in one]

    def lerp_pair(typing, pixels, start, offset, weight, row, j):
        signature = types.void(pixels, start, offset, weight, row, j)

        def generate(context, builder, signature, args):
            pixels_t, _, offset_t, weight_t, row_t, _ = signature.args
            pixels, start, offset, weight, row, j = args
            loaded = []
            for k in range(2):
                place = builder.add(j, ir.Constant(j.type, k))
                at = builder.load(_address(context, builder, offset_t, offset, place, 32))
                at = builder.add(builder.zext(at, start.type), start)
                taps = _address(context, builder, pixels_t, pixels, at, 8, 16)
                loaded.append(builder.load(taps, align=1))
            taps = builder.shuffle_vector(*loaded, _mask(*range(32)))
            taps = builder.shuffle_vector(taps, ir.Constant(taps.type, [0] * 32), _mask(*both))
            four_j = builder.mul(j, ir.Constant(j.type, 4))
            w = builder.load(_address(context, builder, weight_t, weight, four_j, 16, 16), align=4)
            taps = builder.sext(builder.bitcast(taps, _lanes(16, 16)), _lanes(32, 16))
            product = builder.mul(taps, builder.sext(w, _lanes(32, 16)))
            none = ir.Constant(product.type, ir.Undefined)
            left = builder.shuffle_vector(product, none, _mask(*range(0, 16, 2)))
            right = builder.shuffle_vector(product, none, _mask(*range(1, 16, 2)))
            total = builder.lshr(builder.add(left, right), ir.Constant(left.type, [4] * 8))
            out = _address(context, builder, row_t, row, four_j, 16, 8)
            builder.store(builder.trunc(total, _lanes(16, 8)), out, align=2)
            return context.get_dummy_value()

        return signature, generate

    lerp_pair.__name__ = f"lerp_pair_{channels}"
    lerp_pair.__doc__ = f"""Interpolate pixels j and j + 1 of a row of {channels} channels.

    Parameters
    ----------
    pixels : uint8[n]       read in [start + offset, start + offset + LOAD_BYTES)
    start : int64           of the source row, bytes
    offset : int32[m]       of each pixel's left tap from `start`, bytes, >= 0
    weight : int32[4 m]     left weight | right weight << 16, once a lane
    row : int16[4 m]        receives (left + right) >> 4, four lanes a pixel
    j : int64               even
    """
    return intrinsic(lerp_pair)


lerp_pair_1, lerp_pair_3, lerp_pair_4 = (_lerp_pair(channels) for channels in (1, 3, 4))


@intrinsic
def blend(typing, upper, lower, b0, b1):
    """Return ``((b0 * upper >> 16) + (b1 * lower >> 16) + 2) >> 2`` as uint8, from int16 values.

    The products are taken in 32 bits and the sums in 16, which is what vpmulhw and vpaddw do;
    in Numba's own integers (64 bits) the loop would be three times slower.
    """
    signature = types.uint8(types.int16, types.int16, types.int16, types.int16)

    def generate(context, builder, signature, args):
        i16, i32 = ir.IntType(16), ir.IntType(32)
        high = []
        for value, factor in (args[0::2], args[1::2]):
            product = builder.mul(builder.sext(value, i32), builder.sext(factor, i32))
            high.append(builder.trunc(builder.ashr(product, ir.Constant(i32, 16)), i16))
        total = builder.add(builder.add(*high), ir.Constant(i16, 2))
        return builder.trunc(builder.lshr(total, ir.Constant(i16, 2)), ir.IntType(8))

    return signature, generate


@intrinsic
def load_pixel(typing, pixels, at):
    """Return the four bytes at any address of a uint8 array as one uint32, first byte lowest."""
    signature = types.uint32(pixels, at)

    def generate(context, builder, signature, args):
        place = _address(context, builder, signature.args[0], args[0], args[1], 32)
        return builder.load(place, align=1)

    return signature, generate


@intrinsic
def store_pixel(typing, pixels, at, pixel):
    """Write a uint32 as four bytes at any address of a uint8 array, lowest first."""
    signature = types.void(pixels, at, types.uint32)

    def generate(context, builder, signature, args):
        place = _address(context, builder, signature.args[0], args[0], args[1], 32)
        builder.store(args[2], place, align=1)
        return context.get_dummy_value()

    return signature, generate


def _four_pixels(builder, source, count):
    """Return four neighbours of `count` channels as <4 x i32>; four bytes behind them are read."""
    if count == 1:
        loaded = builder.load(builder.bitcast(source, _lanes(8, 4).as_pointer()), align=1)
        return builder.zext(loaded, _lanes(32, 4))
    loaded = builder.load(builder.bitcast(source, _lanes(8, 16).as_pointer()), align=1)
    none = ir.Constant(loaded.type, [0] * 16)
    index = [count * x + c if c < count else 16 for x in range(4) for c in range(4)]
    return builder.bitcast(builder.shuffle_vector(loaded, none, _mask(*index)), _lanes(32, 4))


@intrinsic
def copy_four(typing, channels, mirror, pixels, at, out, to):
    """Write 4 pixels next to each other, four bytes each; up to 4 bytes behind them are read.

    Parameters
    ----------
    channels : {1, 3, 4}
    mirror : bool               write the last one first
    pixels, out : uint8[n]
    at, to : int                of the first byte
    """
    signature = types.void(channels, mirror, pixels, at, out, to)

    def generate(context, builder, signature, args):
        channels, mirror, pixels, at, out, to = args
        source = _address(context, builder, signature.args[2], pixels, at, 8)
        target = _address(context, builder, signature.args[4], out, to, 32, 4)
        is_colour = builder.icmp_signed("==", channels, channels.type(3))
        is_gray = builder.icmp_signed("==", channels, channels.type(1))
        with builder.if_else(is_colour) as (then, otherwise):
            with then:
                colour, from_colour = _four_pixels(builder, source, 3), builder.block
            with otherwise:
                with builder.if_else(is_gray) as (gray, alpha):
                    with gray:
                        one, from_one = _four_pixels(builder, source, 1), builder.block
                    with alpha:
                        four, from_four = _four_pixels(builder, source, 4), builder.block
                other, from_other = builder.phi(one.type), builder.block
                other.add_incoming(one, from_one)
                other.add_incoming(four, from_four)
        made = builder.phi(colour.type)
        made.add_incoming(colour, from_colour)
        made.add_incoming(other, from_other)
        flipped = builder.shuffle_vector(made, made, _mask(3, 2, 1, 0))
        builder.store(builder.select(mirror, flipped, made), target, align=1)
        return context.get_dummy_value()

    return signature, generate


@inner
def _linear_taps(dst, src, first, step, count, inside, index, weight):
    """Fill index and packed weights of `count` taps along one axis, from `first` by `step`.

    `inside`: clamp the position so that both taps lie in the image (columns); rows are clamped
    by index instead, their weights kept.
    """
    scale = 1.0 / (float(dst) / float(src))
    for j in range(count):
        position = np.float32((first + j * step + 0.5) * scale - 0.5)
        i = _I(math.floor(position))
        fraction = np.float32(position - np.float32(i))
        if inside and i < 0:
            i, fraction = _I(0), np.float32(0)
        if inside and i >= src - 1:
            i, fraction = _I(src - 1), np.float32(0)
        right = _I(np.rint(fraction * np.float32(2048)))
        left = _I(np.rint((np.float32(1) - fraction) * np.float32(2048)))
        index[j] = i
        weight[j] = left | (right << _I(16))


@inner
def _horizontal(pixels, start, offset, weight, count, channels, row):
    """Interpolate `count` (even) pixels of one source row into int16 lanes."""
    if channels == 3:
        for j in range(0, count, 2):
            lerp_pair_3(pixels, start, offset, weight, row, j)
    elif channels == 4:
        for j in range(0, count, 2):
            lerp_pair_4(pixels, start, offset, weight, row, j)
    else:
        for j in range(0, count, 2):
            lerp_pair_1(pixels, start, offset, weight, row, j)


@inner
def _vertical(upper, lower, packed, out):
    """Blend two int16 rows into bytes."""
    b0, b1 = np.int16(packed & _I(0xFFFF)), np.int16(packed >> _I(16))
    for j in range(out.size):
        out[j] = blend(upper[j], lower[j], b0, b1)


@inner
def _source_row(pixels, start, length, tail):
    """Return (array, start) of a row that may be read LOAD_BYTES beyond its end."""
    if start + length + LOAD_BYTES <= pixels.size:
        return pixels, start
    for j in range(length):  # a slice assignment would take three seconds to compile
        tail[j] = pixels[start + j]
    return tail, 0


@inner
def _bilinear(
    pixels, base, pitch, channels, src_h, src_w, dst_h, dst_w, y0, x0, mirror, h, w, out,
    taps, lanes, tail,
):  # fmt: skip
    """Write rows y0.. and columns x0.. of a bilinear resize of src to dst.

    `base`, `pitch`: first byte and bytes per row of the source; `mirror` flips the window.
    """
    src_h, src_w, dst_h, dst_w = np.int64(src_h), np.int64(src_w), np.int64(dst_h), np.int64(dst_w)
    y0, x0 = np.int64(y0), np.int64(x0)  # one type each: `_linear_taps` is compiled once
    n = taps.size // 8
    even = (w + 1) // 2 * 2
    length = src_w * channels
    offset, weight, index, packed = taps[:n], taps[n : 5 * n], taps[5 * n : 6 * n], taps[6 * n :]
    a, b = lanes[: 4 * n], lanes[4 * n :]
    if mirror:
        _linear_taps(dst_w, src_w, x0 + w - 1, np.int64(-1), w, True, index, packed)
    else:
        _linear_taps(dst_w, src_w, x0, np.int64(1), w, True, index, packed)
    for j in range(even):
        k = min(j, w - 1)
        offset[j] = index[k] * channels
        for lane in range(4):
            weight[4 * j + lane] = packed[k]
    _linear_taps(dst_h, src_h, y0, np.int64(1), h, False, index, packed)
    in_a, in_b = -1, -1
    for y in range(h):
        top = min(max(index[y], 0), src_h - 1)
        bottom = min(max(index[y] + 1, 0), src_h - 1)
        if in_a != top:
            if in_b == top:
                a, b = b, a
                in_a, in_b = in_b, in_a
            else:
                row, start = _source_row(pixels, base + top * pitch, length, tail)
                _horizontal(row, start, offset, weight, even, channels, a)
                in_a = top
        if bottom == top:
            _vertical(a, a, packed[y], out[4 * w * y : 4 * w * (y + 1)])
            continue
        if in_b != bottom:
            row, start = _source_row(pixels, base + bottom * pitch, length, tail)
            _horizontal(row, start, offset, weight, even, channels, b)
            in_b = bottom
        _vertical(a, b, packed[y], out[4 * w * y : 4 * w * (y + 1)])


@inner
def _copy(pixels, base, pitch, channels, y0, x0, mirror, h, w, out, tail):
    """Write a window of the image as it is."""
    fours = w // 4 * 4
    keep = np.uint32(0xFFFFFFFF) if channels == 4 else np.uint32((1 << (8 * channels)) - 1)
    for y in range(h):
        row, start = _source_row(pixels, base + (y0 + y) * pitch, (x0 + w) * channels, tail)
        start += x0 * channels
        for x in range(0, fours, 4):
            to = w * y + (w - 4 - x if mirror else x)
            copy_four(channels, mirror, row, start + x * channels, out, 4 * to)
        for x in range(fours, w):
            to = w * y + (w - 1 - x if mirror else x)
            store_pixel(out, 4 * to, load_pixel(row, start + x * channels) & keep)


@inner
def _nearest(
    pixels, base, pitch, channels, src_h, src_w, dst_h, dst_w, y0, x0, mirror, h, w, out,
    taps, tail,
):  # fmt: skip
    """Write a window of a nearest resize."""
    length = src_w * channels
    scale_y = 1.0 / (float(dst_h) / float(src_h))
    scale_x = 1.0 / (float(dst_w) / float(src_w))
    for x in range(w):
        position = x0 + (w - 1 - x if mirror else x)
        taps[x] = channels * min(math.floor(position * scale_x), src_w - 1)
    keep = np.uint32(0xFFFFFFFF) if channels == 4 else np.uint32((1 << (8 * channels)) - 1)
    for y in range(h):
        i = min(math.floor((y0 + y) * scale_y), src_h - 1)
        row, start = _source_row(pixels, base + i * pitch, length, tail)
        to = 4 * w * y
        for x in range(w):
            store_pixel(out, to + 4 * x, load_pixel(row, start + np.int64(taps[x])) & keep)


@inner
def _reach(stop, src_h, dst_h):
    """Return how many source rows the first `stop` rows of a resize read, or one or two more."""
    return math.ceil(stop * (float(src_h) / float(dst_h))) + 2


_plan = numba.from_dtype(PLAN)[::1]


@kernel(
    types.int64(
        _plan, _int, _bytes, _int, _int, _int, _bytes, types.int32[::1], types.int16[::1], _bytes
    )
)
def make_window(rows, i, pixels, channels, height, width, out, taps, lanes, tail):
    """Execute a plan's geometry if it is one resize, one crop and a flip.

    Parameters
    ----------
    rows : PLAN[n]
    i : int                     the row to execute
    pixels : uint8[src_h * src_w * channels]
                                rows at the bottom may be missing if the window does not read them:
                                those at ceil((crop_y + crop_h) * src_h / resize_h) + 2 and below
    channels : {1, 3, 4}
    height, width : int         of the window
    out : uint8[height * width * 4]
    taps : int32[8 n]           scratch, as the next two
    lanes : int16[8 n]
    tail : uint8[4 n]

    Returns
    -------
    int     DONE; COLOUR: done but for the colour steps; GENERAL and MISFIT: nothing done;
            negative: nothing done, scratch must be made for an n of this many
    """
    row = rows[i]
    more = (
        row.orient > 1 or row.warp_h > 0 or row.pad > 0 or row.upscale1_h > 0 or row.upscale2_h > 0
    )
    if more or row.pre_colour != 0 or row.flip != 0 or row.expand_h > 0 or row.letterbox_h > 0:
        return GENERAL if pixels.size == row.src_h * row.src_w * channels else MISFIT
    y, x, h, w = row.crop_y, row.crop_x, row.crop_h, row.crop_w
    dst_h, dst_w, inter = row.resize_h, row.resize_w, row.resize_inter
    src_h, src_w, base = row.src_h, row.src_w, 0
    pitch = src_w * channels
    if src_h < 1 or src_w < 1 or pixels.size > src_h * pitch or pixels.size % pitch != 0:
        return MISFIT
    if dst_h == 0:
        dst_h, dst_w = src_h, src_w
    if h < 1 or w < 1 or y < 0 or x < 0 or y + h > dst_h or x + w > dst_w:
        return MISFIT
    whole = pixels.size == src_h * pitch
    if not whole and pixels.size < pitch * min(src_h, _reach(y + h, src_h, dst_h)):
        return MISFIT
    if h != height or w != width:
        if dst_h != src_h or dst_w != src_w:
            return GENERAL if whole else MISFIT
        base = y * pitch + x * channels
        src_h, src_w, dst_h, dst_w, y, x = h, w, height, width, 0, 0
        inter = row.crop_inter
    same = dst_h == src_h and dst_w == src_w
    half = src_h == 2 * dst_h and src_w == 2 * dst_w  # OpenCV takes the mean of four there
    if not same and inter != NEAREST and (inter != BILINEAR or half):
        return GENERAL if whole else MISFIT
    need = max(height, width + 2, src_w + LOAD_BYTES // 4)
    if taps.size < 8 * need or lanes.size < 8 * need or tail.size < 4 * need:
        return -need
    flip = row.mirror != 0
    if same:
        x0, y0, start = np.int64(x), np.int64(y), np.int64(base)
        _copy(pixels, start, np.int64(pitch), channels, y0, x0, flip, height, width, out, tail)
    elif inter == NEAREST:
        _nearest(
            pixels, base, pitch, channels, src_h, src_w, dst_h, dst_w, y, x, flip,
            height, width, out, taps, tail,
        )  # fmt: skip
    else:
        _bilinear(
            pixels, base, pitch, channels, src_h, src_w, dst_h, dst_w, y, x, flip,
            height, width, out, taps, lanes, tail,
        )  # fmt: skip
    return COLOUR if row.jitter != 0 or row.hls_on != 0 or row.pca_on != 0 else DONE
