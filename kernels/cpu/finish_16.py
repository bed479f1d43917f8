"""The last step: bytes of a window to bfloat16 or float16."""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.cpu.lanes import bits_of, lane
from gpuio.kernels.jit import inner, kernel

__all__ = ["finish_16"]

_U = np.uint32
_int = types.int64
_window = types.uint32[::1]
_shape = (_int,) * 6  # C, H, W, channel stride, row stride, pixel stride


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

    Written out for processors without an instruction for it: LLVM would call a library there.
    """
    signature = types.uint16(types.float32)

    def generate(context, builder, signature, args):
        i32, f32 = ir.IntType(32), ir.FloatType()
        if "+f16c" in context.codegen().magic_tuple()[2]:
            half = builder.fptrunc(args[0], ir.HalfType())
            return builder.bitcast(half, ir.IntType(16))
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


@inner
def _half(value, brain):
    return bfloat16_bits(value) if brain else float16_bits(value)


@kernel(
    types.void(_window, types.float32[:, ::1], types.boolean, types.uint16[::1], *_shape), "lanes"
)
def finish_16(window, terms, brain, out, C, H, W, by_c, by_y, by_x):
    """Write ``(p - mean) * factor + shift``, rounded to bfloat16 (`brain`) or float16, as bits."""
    for y in range(H):
        source = window[y * W : (y + 1) * W]
        if by_x == 3:
            line = out[y * by_y : y * by_y + 3 * W]
            for x in range(W):
                r = np.float32(lane(source[x], _U(16)))
                g = np.float32(lane(source[x], _U(8)))
                b = np.float32(lane(source[x], _U(0)))
                line[3 * x] = _half((r - terms[0, 0]) * terms[1, 0] + terms[2, 0], brain)
                line[3 * x + 1] = _half((g - terms[0, 1]) * terms[1, 1] + terms[2, 1], brain)
                line[3 * x + 2] = _half((b - terms[0, 2]) * terms[1, 2] + terms[2, 2], brain)
            continue
        for c in range(C):
            bits, mean, factor, shift = bits_of(C, c), terms[0, c], terms[1, c], terms[2, c]
            start = c * by_c + y * by_y
            line = out[start : start + (W - 1) * by_x + 1]
            if by_x == 1:
                for x in range(W):
                    value = (np.float32(lane(source[x], bits)) - mean) * factor + shift
                    line[x] = _half(value, brain)
            else:
                for x in range(W):
                    value = (np.float32(lane(source[x], bits)) - mean) * factor + shift
                    line[x * by_x] = _half(value, brain)
