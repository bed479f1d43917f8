"""Blocks of a sequential JPEG, all of their coefficients: up to two with one look at the bits.

A look answers the coefficient that the next bits stand for and the one behind it, where both are
short, or that and the block's end. What is longer is read code by code.

A component's tables, `VALUES` int32, are made anew only where an image brings other codes than
the one before; that of two coefficients, which takes longest, when they are used again or much.

Damage is said, not repaired. Kernels that use this module name it as a source, `jpeg_bits` and
`jpeg_symbols`. Source: ITU-T T.81, section F.2.2; libjpeg-turbo 3.0, jdhuff.c.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.cpu.jpeg_bits import item, put, refill, top
from gpuio.kernels.cpu.jpeg_symbols import (
    COUNT,
    FIRST,
    SYMBOLS,
    bytes_of,
    fill_symbols,
    number,
    symbol,
)
from gpuio.kernels.jit import inner
from gpuio.kernels.memory import copy, same

__all__ = [
    "HIGHEST",
    "NARROW",
    "VALUES",
    "WIDE",
    "keep_values",
    "pair_values",
    "put_short",
    "read_values",
]

HIGHEST = 1 << 14  # a coefficient that is read code by code lies within [-HIGHEST, HIGHEST)
_RANGE_BITS = HIGHEST.bit_length()

NARROW, WIDE, _DC_BITS = 11, 12, 10  # bits of a look: see `keep_values`
_LOOKS, _DC_LOOKS = 1 << WIDE, 1 << _DC_BITS
# an answer, AC: bits | zeros passed << 6 | steps to the second value << 10 | second value << 16 |
# value << 24; DC: bits | value << 16. No bits: the code's length << 16 | the value's << 24, or none
# of them where a longer code is there, or not one
_END = 63  # steps to the second value: the block ends behind the first, or a longer code is there
_NONE = 15  # zeros passed: there is no value, the block ends
_LARGEST_SIZE = 7  # of a value that an answer has room for

_DC = _LOOKS
_CODES = _DC + _DC_LOOKS  # symbols of AC, DC
_PAIRED = _CODES + 2 * SYMBOLS  # whether answers have two values:
_DONE, _NOT_YET, _NEW = range(3)
_SIZES = _PAIRED + 1  # bytes of what all was made of, DC << 16 | AC, 0: of nothing
_KEY = _SIZES + 1  # the bytes
_WIDTH = _KEY + 2 * 272 // 4  # bits of a look
VALUES = (_WIDTH + 1 + 15) // 16 * 16


@intrinsic
def put_short(typing, base, index, value):
    """Write an int64 as int16."""

    def generate(context, builder, signature, args):
        kind = ir.IntType(16)
        place = builder.gep(builder.inttoptr(args[0], kind.as_pointer()), [args[1]])
        builder.store(builder.trunc(args[2], kind), place)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@inner
def _fill(codes, to, count, answer):
    """Write an answer as often as codes begin with it; return where the next one goes."""
    for k in range(to, to + count):
        put(codes, k, answer)
    return to + count


@inner
def _fill_looks(codes, which):
    """Make the answers of one symbol each: AC (0) or DC (1)."""
    bits, place = item(codes, _WIDTH), _CODES
    to, end = 0, 1 << bits
    if which == 1:
        bits, to, end, place = _DC_BITS, _DC, _DC + _DC_LOOKS, _CODES + SYMBOLS
    long = 0 if which == 1 else _END << 10
    k = 0
    for length in range(1, bits + 1):
        spare = bits - length
        count = item(codes, place + COUNT + length)
        for _ in range(count):
            found = item(codes, place + FIRST + k)
            size, steps, last = found & 31, found >> 5 & 127, found >> 12
            k += 1
            if which == 0 and last != 0:
                to = _fill(codes, to, 1 << spare, length | _NONE << 6 | _END << 10)
            elif size > spare or (
                which == 0 and (size == 0 or size > _LARGEST_SIZE or steps > _NONE)
            ):
                answer = long | length << 16 | size << 24
                if which == 0:
                    answer |= (steps - 1) << 6
                to = _fill(codes, to, 1 << spare, answer)
            else:
                for value in range(1 << size):
                    signed = value
                    if size > 0 and value < 1 << (size - 1):
                        signed -= (1 << size) - 1
                    answer = length + size
                    answer |= signed << 16 if which == 1 else (steps - 1) << 6 | signed << 24
                    to = _fill(codes, to, 1 << (spare - size), answer)
    _fill(codes, to, end - to, long)


@inner
def pair_values(codes, spare):
    """Make a component's tables answer two coefficients with one look, when called again.

    Parameters
    ----------
    codes : int             address of tables that `keep_values` made
    spare : int             address of int32[4096]
    """
    if item(codes, _PAIRED) != _NOT_YET:
        put(codes, _PAIRED, min(item(codes, _PAIRED), _NOT_YET))
        return
    put(codes, _PAIRED, _DONE)
    width = item(codes, _WIDTH)
    looks = 1 << width
    copy(spare, codes, 4 * looks)
    for look in range(looks):
        one = item(spare, look)
        used, further = one & 63, one >> 10 & 63
        two = item(spare, look << used & (looks - 1))
        more = two & 63
        if further != 0 or more == 0 or used + more > width:
            continue
        answer = (one + more) | _END << 10
        if two >> 10 & 63 != _END:
            answer = (one + more) | ((two >> 6 & 15) + 1) << 10 | (two >> 24 & 255) << 16
        put(codes, look, answer)


@inner
def keep_values(codes, dc, ac, width):
    """Make a component's tables of the bytes at two addresses; False where libjpeg refuses them.

    Parameters
    ----------
    codes : int             address of int32[VALUES], zeros at first
    dc, ac : int            addresses: sixteen lengths, and the symbols, all in the image
    width : int             bits of a look, where tables are made: NARROW, of which tables are made
                            sooner and stay in the first cache; WIDE, where most codes are short and
                            two of them fit
    """
    sizes = bytes_of(dc) << 16 | bytes_of(ac)
    dc_size, ac_size, key = sizes >> 16, sizes & 0xFFFF, codes + 4 * _KEY
    if item(codes, _SIZES) == sizes and same(key, dc, dc_size) and same(key + dc_size, ac, ac_size):
        return True
    put(codes, _SIZES, 0)
    put(codes, _WIDTH, width)
    for which in range(2):
        place = dc if which == 1 else ac
        if not fill_symbols(codes + 4 * (_CODES + SYMBOLS * which), place, which):
            return False
        _fill_looks(codes, which)
    copy(key, dc, dc_size)
    copy(key + dc_size, ac, ac_size)
    put(codes, _SIZES, sizes)
    put(codes, _PAIRED, _NEW)
    return True


@inner
def read_values(p, bits, count, codes, mean, quanta, places, to):
    """Read a block of coefficients, as they are coded.

    Parameters
    ----------
    p, bits, count      as `refill` returns them
    codes : int         address of a component's tables
    mean : int          of the component's block before, as it is coded
    quanta : int        address of int32[64], in zigzag order
    places : int        address of int32[65]: where each is written, and what is none
    to : int            address of the block, int16, zeros before

    Returns
    -------
    p, bits, count
    mean : int
    number : int        of coefficients up to the last one; 1: there is the mean alone
    bad : int           0, or not 0 where a code is none, a block has too many coefficients, or
                        one of them is too large
    """
    width = item(codes, _WIDTH)
    answer = item(codes, _DC + top(bits, _DC_BITS))
    p, bits, count = refill(p, bits, count)
    used, change = answer & 63, answer >> 16
    if used == 0:
        length, size = change & 255, answer >> 24
        if length == 0:
            length, size, _, _ = symbol(codes + 4 * (_CODES + SYMBOLS), bits)
        if length == 0:
            return p, bits, count, mean, 1, 1
        used, change = length + size, number(bits << length, size)
    mean += change
    bad = mean * item(quanta, 0) + HIGHEST
    put_short(to, item(places, 0), mean)
    bits <<= used
    count -= used
    k = 1
    while k < 64:
        answer = item(codes, top(bits, width))
        p, bits, count = refill(p, bits, count)
        passed, used = answer >> 6 & 15, answer & 63
        first = k + passed
        last = first + (answer >> 10 & 63)
        if last > 63:
            if used != 0 and answer >> 10 & 63 == _END and (passed == _NONE or first < 63):
                at = 64 if passed == _NONE else first
                put_short(to, item(places, at), answer >> 24)
                k = k if passed == _NONE else first + 1
                return p, bits << used, count - used, mean, k, bad >> _RANGE_BITS
            length, size, steps, end = answer >> 16 & 255, answer >> 24, passed + 1, 0
            if used != 0 or length == 0:
                length, size, steps, end = symbol(codes + 4 * _CODES, bits)
            bits <<= length
            count -= length
            if end != 0:
                break
            k += steps
            if length == 0 or k > 64:
                return p, bits, count, mean, k, 1
            if size > 0:
                value = number(bits, size)
                bad |= value * item(quanta, k - 1) + HIGHEST
                put_short(to, item(places, k - 1), value)
                bits <<= size
                count -= size
            p, bits, count = refill(p, bits, count)
            continue
        bits <<= used
        count -= used
        put_short(to, item(places, last), answer << 40 >> 56)
        put_short(to, item(places, first), answer >> 24)
        k = last + 1
    return p, bits, count, mean, k, bad >> _RANGE_BITS
