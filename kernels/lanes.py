"""A handful of vector instructions that Numba has no words for, in portable LLVM IR.

A pixel is four lanes wide here, whatever its number of channels: B, G, R and a zero for colour,
B, G, R, A with alpha, gray and three zeros without colour. Two taps of a pixel lie side by side in
memory, so one unaligned load, one byte shuffle with a constant mask and one multiply-add of
neighbours (x86: vpshufb, vpmaddwd) make four lanes of a resize's horizontal pass.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = [
    "LOAD_BYTES",
    "bfloat16_bits",
    "blend",
    "float16_bits",
    "lane",
    "lerp_pair_1",
    "lerp_pair_3",
    "lerp_pair_4",
    "load_pixel",
    "store_pixel",
]

LOAD_BYTES = 16  # `lerp_pair_*` reads this many bytes from a pixel's address on
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
def lane(typing, pixel, bits):
    """Return byte `bits / 8` of a uint32 pixel as int32, shifted in 32 bits (Numba's are 64)."""
    signature = types.int32(types.uint32, types.uint32)

    def generate(context, builder, signature, args):
        return builder.and_(builder.lshr(*args), ir.Constant(ir.IntType(32), 255))

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


@intrinsic
def bfloat16_bits(typing, value):
    """Return a float32 as bfloat16's bits (uint16), rounded half to even; no NaN."""
    signature = types.uint16(types.float32)

    def generate(context, builder, signature, args):
        i32 = ir.IntType(32)
        bits = builder.bitcast(args[0], i32)
        odd = builder.and_(builder.lshr(bits, i32(16)), i32(1))
        bits = builder.add(builder.add(bits, i32(0x7FFF)), odd)
        return builder.trunc(builder.lshr(bits, i32(16)), ir.IntType(16))

    return signature, generate


@intrinsic
def float16_bits(typing, value):
    """Return a float32 as float16's bits (uint16), rounded half to even, too large is infinite.

    Written out because LLVM's own conversion calls a library where the processor has none.
    """
    signature = types.uint16(types.float32)

    def generate(context, builder, signature, args):
        i32, f32 = ir.IntType(32), ir.FloatType()
        bits = builder.bitcast(args[0], i32)
        sign = builder.and_(bits, i32(0x80000000))
        size = builder.xor(bits, sign)
        # below 2^-14 adding 0.5 leaves the rounded result in the last bits of the sum
        sum_ = builder.fadd(builder.bitcast(size, f32), f32(0.5))
        small = builder.sub(builder.bitcast(sum_, i32), i32(126 << 23))
        odd = builder.and_(builder.lshr(size, i32(13)), i32(1))
        moved = builder.add(size, i32(((15 - 127) << 23 & 0xFFFFFFFF) + 0xFFF))
        half = builder.lshr(builder.add(moved, odd), i32(13))
        half = builder.select(builder.icmp_unsigned("<", size, i32(113 << 23)), small, half)
        nan = builder.icmp_unsigned(">", size, i32(0x7F800000))
        large = builder.select(nan, i32(0x7E00), i32(0x7C00))
        half = builder.select(builder.icmp_unsigned(">=", size, i32(143 << 23)), large, half)
        half = builder.or_(half, builder.lshr(sign, i32(16)))
        return builder.trunc(half, ir.IntType(16))

    return signature, generate
