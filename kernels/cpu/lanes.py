"""The bytes of a window's pixel, for the kernels that write values of it.

Every such kernel computes values, it does not look them up: a subtraction, a product and a sum in
float32, each rounded, vectorise where a gather of 256 entries does not. They equal
the tables of the tests' reference bit for bit. Each takes the output flat with the strides of
a channel, a row and a pixel in elements, so that NCHW and NHWC are one function, lies in a file of
its own, so that a job compiles the one it needs, and names this module as a source.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.jit import inner

__all__ = [
    "LINE",
    "VALUES",
    "bits_of",
    "fence",
    "lane",
    "to_line",
    "write_image",
    "write_pixels",
    "write_plane",
]

LINE = 64  # bytes of a cache line
VALUES = 16  # float32 in it
_I32 = ir.IntType(32)


def _spread(builder, value, kind):
    """Return a number in all lanes."""
    none = ir.Constant(kind, ir.Undefined)
    one = builder.insert_element(none, value, _I32(0))
    return builder.shuffle_vector(one, none, _mask([0] * kind.count))


def _mask(index):
    """Return which lanes a shuffle takes."""
    return ir.Constant(ir.VectorType(_I32, len(index)), list(index))


@intrinsic
def lane(typing, pixel, bits):
    """Return byte `bits / 8` of a uint32 pixel as int32, shifted in 32 bits (Numba's are 64)."""
    signature = types.int32(types.uint32, types.uint32)

    def generate(context, builder, signature, args):
        return builder.and_(builder.lshr(*args), ir.Constant(ir.IntType(32), 255))

    return signature, generate


def _valued(builder, pixel, terms):
    """Return the float32 of 16 bytes, <16 x i32>."""
    values = ir.VectorType(ir.FloatType(), VALUES)
    mean, factor, shift = (_spread(builder, term, values) for term in terms)
    value = builder.fsub(builder.sitofp(pixel, values), mean)
    return builder.fadd(builder.fmul(value, factor), shift)


def _values(builder, window, bits, terms):
    """Return the float32 of a channel of 16 pixels of a window."""
    pixels = ir.VectorType(_I32, VALUES)
    source = builder.bitcast(window, pixels.as_pointer())
    pixel = builder.lshr(builder.load(source, align=4), _spread(builder, bits, pixels))
    return _valued(builder, builder.and_(pixel, ir.Constant(pixels, [255] * VALUES)), terms)


def _terms(context, builder, kind, terms):
    """Return mean, factor and shift of each of three channels, of float32[3, 3 or more]."""
    given, place = context.make_array(kind)(context, builder, terms), ir.IntType(64)
    width = builder.extract_value(given.shape, 1)
    rows = [builder.mul(width, place(k)) for k in range(3)]
    return [
        [builder.load(builder.gep(given.data, [builder.add(row, place(c))])) for row in rows]
        for c in range(3)
    ]


def _store(builder, value, to, past):
    """Store a cache line of values; `past`, known as it runs: leave the caches as they are."""
    with builder.if_else(past) as (then, otherwise):
        with then:  # in halves: of two stores that are alike LLVM makes one, and forgets how
            for start in (0, VALUES // 2):
                half = range(start, start + VALUES // 2)
                some = builder.shuffle_vector(value, value, _mask(half))
                place = builder.gep(to, [ir.IntType(64)(start)])
                place = builder.bitcast(place, some.type.as_pointer())
                stored = builder.store(some, place, align=LINE // 2)
                stored.set_metadata("nontemporal", builder.module.add_metadata([_I32(1)]))
        with otherwise:
            builder.store(value, builder.bitcast(to, value.type.as_pointer()), align=LINE)


def _data(context, builder, kind, array):
    return context.make_array(kind)(context, builder, array).data


@intrinsic
def to_line(typing, line):
    """Return how many values of float32[n] lie before the first cache line that begins in it."""

    def generate(context, builder, signature, args):
        place = ir.IntType(64)
        data = builder.ptrtoint(_data(context, builder, signature.args[0], args[0]), place)
        return builder.lshr(builder.and_(builder.neg(data), place(LINE - 1)), place(2))

    return types.int64(line), generate


@intrinsic
def write_plane(typing, past, window, line, x, bits, mean, factor, shift):
    """Write ``(p - mean) * factor + shift`` of a channel of 16 pixels next to each other.

    Parameters
    ----------
    past : bool                 past the caches, which `fence` completes
    window : uint32[n]
    line : float32[n]
    x : int                     of the first pixel; a cache line begins at its value
    bits : uint32               where the channel stands in a pixel
    mean, factor, shift : float32
    """
    signature = types.void(past, window, line, x, bits, *(types.float32,) * 3)

    def generate(context, builder, signature, args):
        past, window, line, x, bits, *terms = args
        source = builder.gep(_data(context, builder, signature.args[1], window), [x])
        to = builder.gep(_data(context, builder, signature.args[2], line), [x])
        _store(builder, _values(builder, source, bits, terms), to, past)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def write_pixels(typing, past, window, line, x, terms):
    """Write R G B of 16 pixels next to each other, as `write_plane` a channel of them.

    Parameters
    ----------
    past, window, x             as of `write_plane`
    line : float32[3 * n]
    terms : float32[3, 3 or more]
                                mean, factor and shift of each channel
    """
    signature = types.void(past, window, line, x, terms)

    def generate(context, builder, signature, args):
        past, window, line, x, terms = args
        place = ir.IntType(64)
        source = builder.gep(_data(context, builder, signature.args[1], window), [x])
        to = builder.gep(
            _data(context, builder, signature.args[2], line), [builder.mul(x, place(3))]
        )
        red, green, blue = (
            _values(builder, source, _I32(16 - 8 * c), some)
            for c, some in enumerate(_terms(context, builder, signature.args[4], terms))
        )
        for third in range(3):
            first, second = [], []
            for k in range(VALUES):
                pixel, c = divmod(VALUES * third + k, 3)
                first.append(pixel + VALUES * c if c < 2 else 0)
                second.append(k if c < 2 else VALUES + pixel)
            some = builder.shuffle_vector(red, green, _mask(first))
            some = builder.shuffle_vector(some, blue, _mask(second))
            _store(builder, some, builder.gep(to, [place(VALUES * third)]), past)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def write_image(typing, past, mirror, image, at, out, x, plane, terms):
    """Write three channels of 16 pixels of an image as `write_plane` does of a window's.

    Parameters
    ----------
    past : bool
    mirror : bool               the last pixel first
    image : uint8[n]            B G R
    at : int                    of the first byte of the 48
    out : float32[3 * plane]    R, G, B
    x : int                     of the first value of R; a cache line begins there
    plane : int                 values of a channel, a multiple of 16
    terms : float32[3, 3 or more]
    """
    signature = types.void(past, mirror, image, at, out, x, plane, terms)

    def generate(context, builder, signature, args):
        past, mirror, image, at, out, x, plane, terms = args
        source = builder.gep(_data(context, builder, signature.args[2], image), [at])
        bytes_ = ir.VectorType(ir.IntType(8), VALUES)
        thirds = [
            builder.load(
                builder.bitcast(
                    builder.gep(source, [ir.IntType(64)(VALUES * k)]), bytes_.as_pointer()
                ),
                align=1,
            )
            for k in range(3)
        ]
        to = builder.gep(_data(context, builder, signature.args[4], out), [x])
        backwards = _mask(range(VALUES)[::-1])
        for c, some in enumerate(_terms(context, builder, signature.args[7], terms)):
            places = [3 * k + 2 - c for k in range(VALUES)]
            first = [place if place < 2 * VALUES else 0 for place in places]
            second = [k if place < 2 * VALUES else place - VALUES for k, place in enumerate(places)]
            pixel = builder.shuffle_vector(thirds[0], thirds[1], _mask(first))
            pixel = builder.shuffle_vector(pixel, thirds[2], _mask(second))
            flipped = builder.shuffle_vector(pixel, pixel, backwards)
            pixel = builder.select(mirror, flipped, pixel)
            pixel = builder.zext(pixel, ir.VectorType(_I32, VALUES))
            place = builder.gep(to, [builder.mul(plane, ir.IntType(64)(c))])
            _store(builder, _valued(builder, pixel, some), place, past)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def fence(typing):
    """Let everybody see what was written past the caches."""

    def generate(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@inner
def bits_of(channels, c):
    """Return where an output channel (R, G, B, A or gray) stands in a window's pixel, in bits."""
    return np.uint32(8 * (2 - c) if channels >= 3 and c < 3 else 8 * c)
