"""The entropy-coded bytes of a JPEG: copied without their stuffing, and looked at bit by bit.

What is looked at lies in memory of the decoder's own, so that no look can leave an image. Memory is
handed on by address: arrays would be counted at every call.

Kernels that use this module name it as a source. Source: ITU-T T.81, section B.1.1.5.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.addresses import read_byte
from gpuio.kernels.cpu.vector import lanes
from gpuio.kernels.jit import inner
from gpuio.kernels.memory import copy

__all__ = ["is_at", "item", "look_further", "put", "put_byte", "refill", "top", "unstuff"]

_int = types.int64
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_BLOCK = 32  # bytes that are copied at a time


def _at(builder, base, index, kind):
    """Return a pointer to item `index` of memory at an address."""
    return builder.gep(builder.inttoptr(base, kind.as_pointer()), [index])


@intrinsic
def item(typing, base, index):
    """Return an int32, as int64."""

    def generate(context, builder, signature, args):
        return builder.sext(builder.load(_at(builder, *args, _I32)), _I64)

    return _int(_int, _int), generate


@intrinsic
def put(typing, base, index, value):
    """Write an int64 as int32."""

    def generate(context, builder, signature, args):
        place = _at(builder, args[0], args[1], _I32)
        builder.store(builder.trunc(args[2], _I32), place)
        return context.get_dummy_value()

    return types.void(_int, _int, _int), generate


@intrinsic
def put_byte(typing, base, index, value):
    """Write an int64 as a byte."""

    def generate(context, builder, signature, args):
        place = _at(builder, args[0], args[1], ir.IntType(8))
        builder.store(builder.trunc(args[2], ir.IntType(8)), place)
        return context.get_dummy_value()

    return types.void(_int, _int, _int), generate


@intrinsic
def top(typing, bits, count):
    """Return the first `count` of 64 bits, 1 to 63."""

    def generate(context, builder, signature, args):
        return builder.lshr(args[0], builder.sub(_I64(64), args[1]))

    return _int(_int, _int), generate


@intrinsic
def _eight_behind(typing, base, count):
    """Return the eight bytes at an address, the first one highest, behind `count` zeros."""

    def generate(context, builder, signature, args):
        place = builder.inttoptr(args[0], _I64.as_pointer())
        return builder.lshr(builder.bswap(builder.load(place, align=1)), args[1])

    return _int(_int, _int), generate


@intrinsic
def _copy_block(typing, source, to):
    """Copy 32 bytes; return how many of them stand before the first 0xFF."""

    def generate(context, builder, signature, args):
        kind = lanes(8, _BLOCK)
        source, to = (builder.inttoptr(place, kind.as_pointer()) for place in args)
        block = builder.load(source, align=1)
        builder.store(block, to, align=1)
        found = builder.icmp_unsigned("==", block, ir.Constant(kind, [0xFF] * _BLOCK))
        found = builder.zext(builder.bitcast(found, _I32), _I64)
        found = builder.or_(found, _I64(1 << _BLOCK))
        return builder.cttz(found, ir.IntType(1)(1))

    return _int(_int, _int), generate


@inner
def refill(p, bits, count):
    """Take whole bytes until 56 bits or more are there.

    Parameters
    ----------
    p : int             address of the next byte; eight are read
    bits : int          the next bits, the first one highest
    count : int         how many of them there are, 0 to 63

    Returns
    -------
    p, bits, count
    """
    bits |= _eight_behind(p, count)
    return p + ((63 - count) >> 3), bits, count | 56


@inner
def unstuff(p, end, to, limit):
    """Copy bytes, 0xFF 0x00 as 0xFF, up to a marker.

    Parameters
    ----------
    p, end : int        addresses: of the first byte, and behind the last one that may be read
    to, limit : int     addresses: where they go, and how far; 32 bytes more are written

    Returns
    -------
    p, to : int         addresses behind what was copied
    more : bool         neither a marker nor the end stands at `p`
    """
    while to < limit:
        if p + _BLOCK <= end:
            count = _copy_block(p, to)
            p += count
            to += count
            if count == _BLOCK:
                continue
        elif p >= end:
            return p, to, False
        elif read_byte(p, 0) != 0xFF:
            put_byte(to, 0, read_byte(p, 0))
            p += 1
            to += 1
            continue
        if p + 1 >= end or read_byte(p, 1) != 0:
            return p, to, False
        put_byte(to, 0, 0xFF)
        p += 2
        to += 1
    return p, to, True


@inner
def look_further(first, limit, p, end, q, last):
    """Copy more of an image's bytes behind those that are left, which go to the front.

    Parameters
    ----------
    first, limit : int      addresses: of the memory, and how far it is filled, as of `unstuff`
    p, end : int            addresses: of the image's next byte, and behind its last one
    q, last : int           addresses in the memory: of the next byte, and behind the last one

    Returns
    -------
    p, q, last
    more : bool             neither a marker nor the image's end stands at `p`
    """
    copy(first, q, max(last - q, 0))
    last -= q - first
    p, last, more = unstuff(p, end, last, limit)
    return p, first, last, more


@inner
def is_at(p, end, q, last, more, count, marker):
    """Say whether a marker follows where the blocks end, but for less than a byte's bits.

    Parameters
    ----------
    p, end, q, last, more   as of `look_further`
    count : int             of the bits that are left of those before `q`
    marker : int            its second byte
    """
    spare = 8 * (last - q) + count
    if more or spare < 0 or spare >= 8 or p + 1 >= end:
        return False
    return read_byte(p, 0) == 0xFF and read_byte(p, 1) == marker
