"""Blocks of a JPEG's coefficients to pixels, to the bit as libjpeg's accurate integer transform.

That is two passes of sums of whole numbers, each rounded once, so the order within a sum is free.
A block's columns are done side by side, then its rows; a sum has the products of two neighbours at
a time, for which x86 has one instruction. Coefficients lie as that wants them, see `lanes_of`.

Numbers that libjpeg-turbo's vector code would cut off at 16 bits, or its tables elsewhere, are
reported; no picture has them. Written in portable IR, as `vector`, and for its reasons.

Kernels that use this module name it as a source, and `vector`. Source: libjpeg-turbo 3.0,
jidctint.c.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.cpu.vector import lanes, mask

__all__ = ["SEEN", "flat_block", "is_beyond", "places_of", "whole_block"]

SEEN = 2 * 32  # bytes of what blocks had, see `whole_block`

_int = types.int64
_I64 = ir.IntType(64)
_ORDER = (0, 4, 2, 6, 1, 3, 5, 7)  # of columns, and of rows in pairs: even ones, odd ones
_FIRST_SHIFT, _SECOND_SHIFT = 11, 18  # behind the columns, and behind the rows
_LARGEST = 2896  # sum of a column's sizes: that of a picture's is below, all sums have 32 bits then
_WORDS, _SHORTS = lanes(32, 8), lanes(16, 16)


def places_of(row, column):
    """Return where a coefficient lies in a block, int16 each: pairs of rows, column by column."""
    row, column = (np.argsort(_ORDER)[one] for one in (row, column))
    return row // 2 * 16 + 2 * column + row % 2


def _odd(row):
    """Return what each odd coefficient counts in an odd sum, 8192 being 1, as jidctint.c has it."""
    found = []
    for k in (1, 3, 5, 7):
        r1, r3, r5, r7 = (int(k == one) for one in (1, 3, 5, 7))
        z5 = 9633 * (r1 + r3 + r5 + r7)
        z1, z2 = -7373 * (r7 + r1), -20995 * (r5 + r3)
        z3, z4 = -16069 * (r7 + r3) + z5, -3196 * (r5 + r1) + z5
        sums = (
            12299 * r1 + z1 + z4,
            25172 * r3 + z2 + z3,
            16819 * r5 + z2 + z4,
            2446 * r7 + z1 + z3,
        )
        found.append(sums[row])
    return found


def _all(kind, value):
    return ir.Constant(kind, [value] * kind.count)


def _place(builder, address, kind, index=0):
    """Return a pointer to vector `index` at an address."""
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [_I64(index)])


def _pair(builder, pairs, one, other):
    """Return ``one * first + other * second`` of each pair of 16 bits."""
    wide = lanes(32, 16)
    product = builder.mul(builder.sext(pairs, wide), ir.Constant(wide, [one, other] * 8))
    parts = (builder.shuffle_vector(product, product, mask(*range(k, 16, 2))) for k in (0, 1))
    return builder.add(*parts)


def _pass(builder, pairs, shift, more):
    """Transform eight lanes of eight numbers in pairs; return eight vectors, `more` added."""
    start = _all(_WORDS, (1 << (shift - 1)) + (more << shift))
    low1 = builder.add(_pair(builder, pairs[0], 8192, -8192), start)
    upper = builder.and_(builder.bitcast(pairs[0], _WORDS), _all(_WORDS, -65536))
    # twice the other: x86 would make products of two equal powers of 2 in another, slower way
    low0 = builder.add(low1, builder.ashr(upper, _all(_WORDS, 2)))
    low3 = _pair(builder, pairs[1], 4433 + 6270, 4433)
    low2 = _pair(builder, pairs[1], 4433, 4433 - 15137)
    even = [
        builder.add(low0, low3),
        builder.add(low1, low2),
        builder.sub(low1, low2),
        builder.sub(low0, low3),
    ]
    upper, lower = [], []
    for row in range(4):
        r1, r3, r5, r7 = _odd(row)
        odd = builder.add(_pair(builder, pairs[2], r1, r3), _pair(builder, pairs[3], r5, r7))
        upper.append(builder.ashr(builder.add(even[row], odd), _all(_WORDS, shift)))
        lower.append(builder.ashr(builder.sub(even[row], odd), _all(_WORDS, shift)))
    return upper + lower[::-1]


def _turned(builder, rows):
    """Return rows of numbers as pairs of them, lane by lane of the rows."""
    two = []
    for k in range(4):
        both = builder.shuffle_vector(rows[k], rows[k + 4], mask(*range(16)))
        two.append(builder.bitcast(builder.trunc(both, _SHORTS), _WORDS))
    low, high = (0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)
    parts = [
        builder.shuffle_vector(two[k], two[k + 1], mask(*half))
        for half in (low, high)
        for k in (0, 2)
    ]
    low, high = (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)
    turned = [
        builder.shuffle_vector(parts[k], parts[k + 1], mask(*half))
        for k in (0, 2)
        for half in (low, high)
    ]
    return [builder.bitcast(one, _SHORTS) for one in turned]


def _call(builder, name, *vectors):
    """Return what an intrinsic of LLVM's makes of vectors of 16 bits."""
    kind = vectors[0].type
    args = [*vectors, ir.IntType(1)(0)] if name == "abs" else list(vectors)
    form = ir.FunctionType(kind, [one.type for one in args])
    name = f"llvm.{name}.v{kind.count}i{kind.element.width}"
    return builder.call(builder.module.declare_intrinsic(name, fnty=form), args)


@intrinsic
def whole_block(typing, block, quanta, to, pitch, seen):
    """Make the pixels of a block, and leave zeros in it.

    Parameters
    ----------
    block, quanta : int     addresses of int16[64], where `places_of` says; a product of two has 16
                            bits
    to, pitch : int         address of eight bytes, and how many behind them the next go
    seen : int              address of SEEN bytes, zeros at first: what the blocks had, see
                            `is_beyond`
    """

    def generate(context, builder, signature, args):
        block, quanta, to, pitch, seen = args
        pairs, sizes = [], None
        for k in range(4):
            place = _place(builder, block, _SHORTS, k)
            value = builder.load(place, align=2)
            quantum = builder.load(_place(builder, quanta, _SHORTS, k), align=2)
            builder.store(_all(_SHORTS, 0), place, align=2)
            value = builder.mul(value, quantum)
            pairs.append(value)
            size = _call(builder, "abs", value)
            sizes = size if sizes is None else _call(builder, "uadd.sat", sizes, size)
        sizes = builder.bitcast(sizes, _WORDS)
        sizes = builder.add(
            builder.and_(sizes, _all(_WORDS, 0xFFFF)), builder.lshr(sizes, _all(_WORDS, 16))
        )
        place = _place(builder, seen, _WORDS, 0)
        builder.store(_call(builder, "umax", builder.load(place, align=4), sizes), place, align=4)
        rows = _pass(builder, pairs, _FIRST_SHIFT, 0)
        columns = _pass(builder, _turned(builder, rows), _SECOND_SHIFT, 128)
        twos, bits = [], None
        for k in (0, 1, 4, 5):  # columns k, and k + 2 in the upper 16 bits
            two = builder.or_(
                builder.and_(columns[k], _all(_WORDS, 0xFFFF)),
                builder.shl(columns[k + 2], _all(_WORDS, 16)),
            )
            two = builder.bitcast(two, _SHORTS)
            moved = builder.add(two, _all(_SHORTS, 384))
            bits = moved if bits is None else builder.or_(bits, moved)
            two = _call(builder, "smax", two, _all(_SHORTS, 0))
            twos.append(_call(builder, "smin", two, _all(_SHORTS, 255)))
        place = _place(builder, seen, _SHORTS, 1)
        builder.store(builder.or_(builder.load(place, align=2), bits), place, align=2)
        low, high = (
            builder.bitcast(
                builder.or_(twos[k], builder.shl(twos[k + 1], _all(_SHORTS, 8))), _WORDS
            )
            for k in (0, 2)
        )
        for index, rows in (
            ((0, 8, 1, 9, 4, 12, 5, 13), (0, 1, 4, 5)),
            ((2, 10, 3, 11, 6, 14, 7, 15), (2, 3, 6, 7)),
        ):
            both = builder.shuffle_vector(low, high, mask(*index))
            both = builder.bitcast(both, lanes(64, 4))
            for k, row in enumerate(rows):
                place = builder.add(to, builder.mul(pitch, _I64(row)))
                one = builder.extract_element(both, ir.IntType(32)(k))
                builder.store(one, _place(builder, place, _I64), align=1)
        return context.get_dummy_value()

    return types.void(_int, _int, _int, _int, _int), generate


@intrinsic
def is_beyond(typing, seen):
    """Return whether a block had numbers that no picture has."""

    def generate(context, builder, signature, args):
        sizes = builder.load(_place(builder, args[0], _WORDS, 0), align=4)
        bits = builder.load(_place(builder, args[0], _SHORTS, 1), align=2)
        bits = builder.bitcast(builder.and_(bits, _all(_SHORTS, -1024)), _WORDS)
        large = builder.icmp_unsigned(">", sizes, _all(_WORDS, _LARGEST))
        wrong = builder.or_(large, builder.icmp_unsigned("!=", bits, _all(_WORDS, 0)))
        return builder.icmp_unsigned("!=", builder.bitcast(wrong, ir.IntType(8)), ir.IntType(8)(0))

    return types.boolean(_int), generate


@intrinsic
def flat_block(typing, value, to, pitch):
    """Write a pixel 64 times, as eight rows of eight."""

    def generate(context, builder, signature, args):
        value, to, pitch = args
        eight = builder.mul(value, _I64(0x0101010101010101))
        for row in range(8):
            place = builder.add(to, builder.mul(pitch, _I64(row)))
            builder.store(eight, _place(builder, place, _I64), align=1)
        return context.get_dummy_value()

    return types.void(_int, _int, _int), generate
