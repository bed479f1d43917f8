"""Bilinear taps of a warp, eight pixels at a time, in portable LLVM IR.

OpenCV sums four taps with weights of 15 bits. Each is the product of two fractions of 5 bits, so
one step across and one down, 16 bits a lane, give the same sum to the bit: with ``a, b`` over ``c,
d`` it is ``((32 - fx) * a + fx * b) * (32 - fy) + ((32 - fx) * c + fx * d) * fy``, and the pixel
``sum + 512 >> 10``. OpenCV's weight of a lone tap, 32767 for 32768, rounds to that tap as well.

Kernels that use this module name it as a source.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.cpu.vector import lanes, load, mask, pointer

__all__ = ["lerp_eight", "locate_eight"]


@intrinsic
def locate_eight(typing, columns, lines, x0, y0, channels, pitch, at, across, down, x):
    """Find where the taps of pixels x to x + 7 of a row lie.

    Parameters
    ----------
    columns, lines : int32[n]   from the row's place to each pixel's, 1/1024 pixel
    x0, y0 : int32              the row's place, 1/1024 pixel
    channels, pitch : int32     bytes from pixel to pixel and from row to row
    at : int32[n]               receives the first byte of each pixel's taps
    across, down : int16[n]     receive fx in 1/32 pixel, and fy in 1/32768
    x : int64
    """
    signature = types.void(columns, lines, x0, y0, channels, pitch, at, across, down, x)

    def generate(context, builder, signature, args):
        columns_t, lines_t, *_, at_t, across_t, down_t, _ = signature.args
        columns, lines, x0, y0, channels, pitch, at, across, down, x = args
        wide, i32 = lanes(32, 8), ir.IntType(32)

        def every(value):
            one = builder.insert_element(ir.Constant(wide, ir.Undefined), value, i32(0))
            return builder.shuffle_vector(one, one, mask(*[0] * 8))

        def store(array_t, array, value):
            to = pointer(context, builder, array_t, array, x, value.type)
            builder.store(value, to, align=1)

        px = builder.add(load(context, builder, columns_t, columns, x, wide), every(x0))
        py = builder.add(load(context, builder, lines_t, lines, x, wide), every(y0))
        five, ten = every(i32(5)), every(i32(10))
        row = builder.mul(builder.ashr(py, ten), every(pitch))
        store(at_t, at, builder.add(row, builder.mul(builder.ashr(px, ten), every(channels))))
        fraction = builder.and_(builder.lshr(px, five), every(i32(31)))
        store(across_t, across, builder.trunc(fraction, lanes(16, 8)))
        fraction = builder.shl(builder.and_(py, every(i32(31 << 5))), five)
        store(down_t, down, builder.trunc(fraction, lanes(16, 8)))
        return context.get_dummy_value()

    return signature, generate


@intrinsic(prefer_literal=True)
def lerp_eight(typing, channels, pixels, pitch, at, across, down, out, to, x):
    """Make pixels x to x + 7 of a row.

    Parameters
    ----------
    channels : {1, 3, 4}        a constant
    pixels : uint8[n]           two rows are read, 8 bytes each
    pitch : int64               bytes from row to row
    at, across, down            as `locate_eight` makes them
    out : uint8[n]              four bytes per pixel
    to : int64                  of pixel 0
    x : int64
    """
    channels_value = channels.literal_value
    signature = types.void(channels, pixels, pitch, at, across, down, out, to, x)

    def generate(context, builder, signature, args):
        _emit(context, builder, channels_value, signature.args[1:], args[1:])
        return context.get_dummy_value()

    return signature, generate


def _emit(context, builder, channels, array_types, args):
    """Write what `lerp_eight` does."""
    pixels_t, _, at_t, across_t, down_t, out_t, _, _ = array_types
    pixels, pitch, at, across, down, out, to, x = args
    i32, i64, words = ir.IntType(32), ir.IntType(64), lanes(16, 32)
    eight_bytes = ir.DoubleType()  # x86 loads the upper half of a register so; i64 takes two steps
    rows = [ir.Constant(ir.VectorType(eight_bytes, 8), ir.Undefined)] * 2
    for number in range(8):
        place = load(context, builder, at_t, at, builder.add(x, i64(number)), i32)
        place = builder.sext(place, i64)
        for row in range(2):
            taps = load(context, builder, pixels_t, pixels, place, eight_bytes)
            rows[row] = builder.insert_element(rows[row], taps, i32(number))
            place = builder.add(place, pitch)

    def four_lanes(array_t, array):
        # as bytes: LLVM would widen words before it multiplies them, and narrow them again
        eight = load(context, builder, array_t, array, x, lanes(8, 16))
        index = [2 * (j // 8) + j % 2 for j in range(64)]
        return builder.bitcast(builder.shuffle_vector(eight, eight, mask(*index)), words)

    def constant(value):
        return ir.Constant(words, [value] * 32)

    right = four_lanes(across_t, across)
    left = builder.sub(constant(32), right)
    upper, lower = (
        builder.add(
            builder.mul(_tap(builder, row, 0, channels), left),
            builder.mul(_tap(builder, row, 1, channels), right),
        )
        for row in rows
    )
    # upper + (lower - upper) * fy / 32, the latter rounded down; fy has 15 bits, so the difference
    # is doubled for the upper half of the product (x86: vpmulhw)
    twice = builder.shl(builder.sub(lower, upper), constant(1))
    wide, factor = lanes(32, 32), four_lanes(down_t, down)
    product = builder.mul(builder.sext(twice, wide), builder.sext(factor, wide))
    part = builder.trunc(builder.ashr(product, ir.Constant(wide, [16] * 32)), words)
    total = builder.add(builder.add(upper, part), constant(16))
    made = builder.trunc(builder.lshr(total, constant(5)), lanes(8, 32))
    target = builder.add(to, builder.mul(x, i64(4)))
    builder.store(made, pointer(context, builder, out_t, out, target, made.type), align=1)


def _tap(builder, row, tap, channels):
    """Return a tap of eight pixels, 0 or 1, four lanes a pixel, <32 x i16>; rows are 8 bytes."""
    none = ir.Constant(lanes(8, 64), [0] * 64)
    index = []
    for pixel in range(8):
        first = 8 * pixel + tap * channels
        for c in range(4):
            index += [first + c if c < channels else 64, 64]
    made = builder.shuffle_vector(builder.bitcast(row, none.type), none, mask(*index))
    return builder.bitcast(made, lanes(16, 32))
