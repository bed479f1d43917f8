"""Rows of a JPEG's components to pixels: chroma made wider, and colours, to the bit as libjpeg.

32 pixels at a time, those at even places beside those at odd ones until they are bytes. Chroma of
half a size is libjpeg's fancy upsampling: three parts of the nearer neighbour, one of the other.

Kernels that use this module name it as a source, and `vector`. Source: libjpeg-turbo 3.0,
jdsample.c, jdcolor.c.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.cpu.vector import lanes, mask

__all__ = ["coloured"]

_int = types.int64
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_N = 16  # pixels of each kind
_BYTES, _SHORTS, _WORDS = lanes(8, _N), lanes(16, _N), lanes(32, _N)


def _all(kind, value):
    return ir.Constant(kind, [value] * kind.count)


def _load(builder, address, kind, at=0):
    place = builder.inttoptr(builder.add(address, _I64(at)), kind.as_pointer())
    return builder.load(place, align=1)


def _two(builder, address):
    """Return 32 bytes as 16 at even places and 16 at odd ones."""
    both = _load(builder, address, _SHORTS)
    return builder.and_(both, _all(_SHORTS, 255)), builder.lshr(both, _all(_SHORTS, 8))


def _wider(builder, near, far, biases):
    """Return 16 values as 32, of which a neighbour has a part."""
    sums = []
    for at in (-1, 0, 1):
        one, other = (
            builder.zext(_load(builder, place, _BYTES, at), _SHORTS) for place in (near, far)
        )
        sums.append(builder.add(builder.mul(one, _all(_SHORTS, 3)), other))
    three = builder.mul(sums[1], _all(_SHORTS, 3))
    return [
        builder.lshr(builder.add(builder.add(three, other), bias), _all(_SHORTS, 4))
        for other, bias in zip((sums[0], sums[2]), biases, strict=True)
    ]


def _scaled(builder, value, factor):
    """Return (value * factor + 32768) >> 16, factor below 32768 either way."""
    twice = builder.sext(builder.add(value, value), _WORDS)
    high = builder.ashr(builder.mul(twice, _all(_WORDS, factor)), _all(_WORDS, 16))
    high = builder.add(builder.trunc(high, _SHORTS), _all(_SHORTS, 1))
    return builder.ashr(high, _all(_SHORTS, 1))


def _cut(builder, value):
    for name, limit in (("smax", 0), ("smin", 255)):
        form = ir.FunctionType(_SHORTS, [_SHORTS, _SHORTS])
        function = builder.module.declare_intrinsic(f"llvm.{name}.v{_N}i16", fnty=form)
        value = builder.call(function, [value, _all(_SHORTS, limit)])
    return value


def _sum(builder, one, other, factor, factor_of_other):
    """Return (one * factor + other * factor_of_other + 32768) >> 16, in 16 bits."""
    highs = []
    for half in (0, 4):  # of eight values each; x86 interleaves within 128 bits
        index = [k + j for k in (half, half + 8) for j in range(4)]
        both = builder.shuffle_vector(one, other, mask(*(k + n for k in index for n in (0, _N))))
        factors = ir.Constant(_WORDS, [factor, factor_of_other] * 8)
        product = builder.mul(builder.sext(both, _WORDS), factors)
        total = builder.add(
            *(builder.shuffle_vector(product, product, mask(*range(k, _N, 2))) for k in (0, 1))
        )
        total = builder.add(total, _all(total.type, 32768))
        highs.append(builder.bitcast(total, _SHORTS))
    index = [k + n + j for k in (1, 9) for n in (0, _N) for j in range(0, 8, 2)]
    return builder.shuffle_vector(*highs, mask(*index))


def _of_colours(builder, y, blue, red):
    """Return B, G and R of 16 pixels, as 16 bits."""
    blue, red = (builder.sub(one, _all(_SHORTS, 128)) for one in (blue, red))
    of_red = builder.add(red, _scaled(builder, red, 91881 - 65536))
    of_blue = builder.add(builder.add(blue, blue), _scaled(builder, blue, 116130 - 131072))
    green = builder.sub(_sum(builder, blue, red, -22554, 65536 - 46802), red)
    return [_cut(builder, builder.add(y, one)) for one in (of_blue, green, of_red)]


@intrinsic
def coloured(typing, wide, y, near_blue, far_blue, near_red, far_red, even, odd, to):
    """Write 32 pixels B G R.

    Parameters
    ----------
    wide : {1, 2}               pixels to a value of chroma, side by side
    y : int                     address of Y, 32 bytes
    near_blue, far_blue, near_red, far_red : int
                                addresses of Cb and Cr, 32 bytes each, or where `wide` is 2, 16, and
                                one more on both sides: of the row that is nearer, and of the other
                                one; where it is 1 the former alone counts
    even, odd : int             added to a sum of 16 parts: at even places, at odd ones
    to : int                    address of 96 bytes
    """

    def generate(context, builder, signature, args):
        wide, y, near_blue, far_blue, near_red, far_red, even, odd, to = args
        with builder.if_else(builder.icmp_signed("==", wide, _I64(2))) as (then, otherwise):
            with then:
                biases = []
                for bias in (even, odd):
                    none = ir.Constant(_SHORTS, ir.Undefined)
                    one = builder.insert_element(none, builder.trunc(bias, ir.IntType(16)), _I32(0))
                    biases.append(builder.shuffle_vector(one, none, mask(*[0] * _N)))
                halves = _wider(builder, near_blue, far_blue, biases)
                halves += _wider(builder, near_red, far_red, biases)
                from_halves = builder.block
            with otherwise:
                wholes = [*_two(builder, near_blue), *_two(builder, near_red)]
                from_wholes = builder.block
        chroma = []
        for half, whole in zip(halves, wholes, strict=True):
            chroma.append(builder.phi(_SHORTS))
            chroma[-1].add_incoming(half, from_halves)
            chroma[-1].add_incoming(whole, from_wholes)
        blue, red = chroma[:2], chroma[2:]
        pixels = [
            _of_colours(builder, *one) for one in zip(_two(builder, y), blue, red, strict=True)
        ]
        made = []
        for evens, odds in zip(*pixels, strict=True):
            both = builder.or_(evens, builder.shl(odds, _all(_SHORTS, 8)))
            made.append(builder.bitcast(both, lanes(8, 2 * _N)))
        for third in range(3):  # of what 16 pixels are, for both halves
            first, second = [], []
            for half in (0, _N):
                for k in range(_N):
                    pixel, c = divmod(_N * third + k, 3)
                    first.append(half + pixel + 2 * _N * c if c < 2 else half)
                    second.append(half + k if c < 2 else 2 * _N + half + pixel)
            some = builder.shuffle_vector(made[0], made[1], mask(*first))
            some = builder.shuffle_vector(some, made[2], mask(*second))
            for half in (0, 1):
                part = builder.shuffle_vector(some, some, mask(*range(_N * half, _N * (half + 1))))
                place = builder.add(to, _I64(_N * (3 * half + third)))
                builder.store(part, builder.inttoptr(place, _BYTES.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(*(_int,) * 9), generate
