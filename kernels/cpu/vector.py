"""What kernels of taps share: loads of many bytes, sums of neighbouring taps, rows with edges.

Numba has no words for the former: they are portable IR, written with llvmlite, and x86 has an
instruction for most lines. Kernels that use these name this module as a source, so that a
change here compiles them anew.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.jit import inner

__all__ = [
    "SLACK",
    "byte",
    "clamp",
    "copy_row",
    "lanes",
    "load",
    "mask",
    "pointer",
    "two_taps",
    "wide",
]

SLACK = 32
_I = np.int32


def lanes(width, count):
    """Return the type of `count` integers of `width` bits."""
    return ir.VectorType(ir.IntType(width), count)


def mask(*index):
    """Return a mask for a shuffle."""
    return ir.Constant(lanes(32, len(index)), list(index))


def pointer(context, builder, array_type, array, index, kind):
    """Return an element's (int64) address in an array, as a pointer to `kind`."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def load(context, builder, array_type, array, index, kind):
    """Return a `kind` from an element (int64) of an array on, at any address."""
    return builder.load(pointer(context, builder, array_type, array, index, kind), align=1)


def two_taps(builder, pixels, tap, channels, weights, first):
    """Return two neighbouring taps' sums of two pixels, <8 x i32>: four lanes a pixel.

    `pixels`: two <n x i8>, taps side by side; `weights`: two <n x i16>, `first` belongs to `tap`.
    x86 has one instruction for a product and a sum of neighbours.
    """
    index, factors = [], []
    for start, first_of in ((0, first), (pixels[0].type.count, weights[0].type.count + first)):
        at = start + tap * channels
        for c in range(4):
            # byte 0 of the second operand below is a zero
            index += [at + c, 64, at + channels + c, 64] if c < channels else [64] * 4
            factors += [first_of, first_of + 1]
    both = builder.shuffle_vector(*pixels, mask(*range(2 * pixels[0].type.count)))
    size = both.type.count
    index = [size if one == 64 else one for one in index]
    none = ir.Constant(both.type, [0] * size)
    words = builder.bitcast(builder.shuffle_vector(both, none, mask(*index)), lanes(16, 16))
    factor = builder.shuffle_vector(*weights, mask(*factors))
    product = builder.mul(builder.sext(words, lanes(32, 16)), builder.sext(factor, lanes(32, 16)))
    none = ir.Constant(product.type, ir.Undefined)
    left = builder.shuffle_vector(product, none, mask(*range(0, 16, 2)))
    right = builder.shuffle_vector(product, none, mask(*range(1, 16, 2)))
    return builder.add(left, right)


_WIDE = '"prefer-vector-width"="512"'
_CALM = "+avx512vbmi2"  # of processors whose clock is hardly lower in code of 512 bits


@intrinsic
def wide(typing):
    """Have the kernel's loops made with the processor's widest registers.

    LLVM makes them with 256 bits, for processors that slow down in code of 512. Where arithmetic
    takes longer than memory, twice the width pays.
    """

    def generate(context, builder, signature, args):
        features = getattr(context.codegen(), "_tm_features", "")
        if _CALM in features.split(","):
            set.add(builder.function.attributes, _WIDE)  # llvmlite itself knows those without value
        return context.get_dummy_value()

    return types.void(), generate


@inner
def clamp(value, last):
    """Return a whole number moved into [0, last]."""
    return min(max(value, 0), last)


@inner
def byte(value):
    """Return an int32 clamped, as uint8."""
    return np.uint8(min(max(value, _I(0)), _I(255)))


@inner
def copy_row(pixels, start, stride, src_w, left, right, line):
    """Copy the columns [left, right) of a row; those outside the image repeat its edges.

    Taps then lie side by side, and may be read up to SLACK bytes beyond the first.

    Parameters
    ----------
    pixels : uint8[n]
    start, stride : int         first byte of the row, bytes from pixel to pixel
    src_w, left, right : int
    line : uint8[m]             m >= (right - left) * stride + SLACK
    """
    for x in range(left, min(right, 0)):
        for c in range(stride):
            line[(x - left) * stride + c] = pixels[start + c]
    first, last = clamp(left, src_w), clamp(right, src_w)
    source = pixels[start + first * stride : start + last * stride]
    target = line[(first - left) * stride :]
    for j in range(source.size):
        target[j] = source[j]
    for x in range(max(left, src_w), right):
        for c in range(stride):
            line[(x - left) * stride + c] = pixels[start + (src_w - 1) * stride + c]
