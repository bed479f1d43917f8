"""Words for LLVM that Numba lacks: loads of many bytes, and sums of neighbouring taps.

Portable IR, written with llvmlite; x86 has an instruction for most lines. Kernels that use these
name this module as a source, so that a change here compiles them anew.
"""

from __future__ import annotations

from llvmlite import ir

__all__ = ["lanes", "load", "mask", "pointer", "two_taps"]


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
