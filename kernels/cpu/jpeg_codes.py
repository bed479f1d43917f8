"""Huffman tables that answer several of a JPEG's symbols with one look, and one symbol alone.

A look of 12 bits answers as many symbols as begin and end their codes in it, the numbers behind
the last one may reach further. For a block of which only the mean is wanted that is how many
bits and coefficients to pass; for the others, one coefficient.

A table's memory, `CODES` int32 each, is made anew only where an image brings other codes than the
one before: most writers use the same ones.

Kernels that use this module name it as a source, and `jpeg_bits`. Source: ITU-T T.81, sections C
and F.2.2; libjpeg-turbo 3.0, jdhuff.c.
"""

from __future__ import annotations

from gpuio.kernels.addresses import read_byte
from gpuio.kernels.cpu.jpeg_bits import item, put, top
from gpuio.kernels.jit import inner

__all__ = ["BITS", "CODES", "DC", "LAST", "LONG", "MEANS", "VALUES", "keep_codes", "symbol"]

BITS = 12  # of a look
LONG = 127  # steps of an answer that is none: a longer code is there, or not one
LAST = 1 << 12  # of an answer: the block ends behind it
MEANS, VALUES = 1, 2  # what a look passes many coefficients for, and what it answers each for

_SIZE = 1 << BITS
DC = _SIZE  # looks at a block's first symbol stand behind those at the others
# an answer: bits | steps << 5 | LAST | value << 16
_END = _SIZE * 2  # of each, AC and DC: last code of each length, -1 for none
_SHIFT = _END + 2 * 20  # from a code of a length to its symbol
_SYMBOL = _SHIFT + 2 * 20  # of each symbol: number of bits | steps << 5; LAST
_ONE = _SYMBOL + 2 * 256  # of each look: its first symbol: length | symbol << 5; 0: too long
_KEY = _ONE + 2 * _SIZE  # what all was made of: MEANS or VALUES, bytes of DC, bytes of AC
CODES = _KEY + 2 * 272 + 32


@inner
def _is_same(codes, kind, dc, ac, dc_size, ac_size):
    """Say whether a table was made of the same bytes."""
    if item(codes, _KEY) != kind:
        return False
    at = _KEY + 1
    for k in range(dc_size):
        if item(codes, at + k) != read_byte(dc, k):
            return False
    at += dc_size
    same = True
    for k in range(ac_size):
        same = same and item(codes, at + k) == read_byte(ac, k)
    return same


@inner
def _bytes_of(place):
    """Return how many bytes a table's lengths and symbols take."""
    size = 16
    for k in range(16):
        size += read_byte(place, k)
    return size


@inner
def _fill_symbols(codes, place, which):
    """Read a table, AC (0) or DC (1); return False where libjpeg refuses it."""
    code, k = 0, 0
    one = _ONE + _SIZE * which
    for at in range(_SIZE):
        put(codes, one + at, 0)
    for length in range(1, 17):
        put(codes, _SHIFT + 20 * which + length, k - code)
        count = read_byte(place, length - 1)
        for _ in range(count):
            found = read_byte(place, 16 + k)
            bits, steps = found & 15, (found >> 4) + 1
            if which == 1 and found > 15:
                return False
            if which == 0 and bits == 0 and steps != 16:
                steps = 1 | LAST >> 5  # an end of block
            put(codes, _SYMBOL + 256 * which + k, bits | steps << 5)
            if length <= BITS and (code + 1) << (BITS - length) <= _SIZE:
                first = one + (code << (BITS - length))
                for at in range(1 << (BITS - length)):
                    put(codes, first + at, length | (bits | steps << 5) << 5)
            code += 1
            k += 1
        if count > 0 and code >= 1 << length:  # no code is all ones
            return False
        put(codes, _END + 20 * which + length, code - 1 if count > 0 else -1)
        code <<= 1
    return True


@inner
def _pass_many(codes, look, used, steps):
    """Return bits and steps of a look behind the symbols that took `used` bits; LAST with them."""
    last = 0
    while used < BITS and last == 0:
        one = item(codes, _ONE + (look << used & (_SIZE - 1)))
        length = one & 31
        if length == 0 or length > BITS - used or steps + (one >> 10 & 127) > 64:
            break
        used += length + (one >> 5 & 31)
        steps += one >> 10 & 127
        last = one >> 5 & LAST
    return used, steps, last


@inner
def _fill_looks(codes, kind):
    """Make a table's answers of its symbols."""
    for look in range(_SIZE):
        if kind == MEANS:
            used, steps, last = _pass_many(codes, look, 0, 0)
            put(codes, look, used | steps << 5 | last if used > 0 else LONG << 5)
        else:
            put(codes, look, _valued(codes, look, 0))
        answer = _valued(codes, look, 1)
        if answer != LONG << 5:
            used, steps, last = answer & 31, 1, 0
            if kind == MEANS:
                used, steps, last = _pass_many(codes, look, used, steps)
            elif used < BITS:
                one = item(codes, _ONE + (look << used & (_SIZE - 1)))
                if one >> 5 & LAST and one & 31 <= BITS - used:
                    used += one & 31
                    steps, last = 2, LAST
            answer = used | steps << 5 | last | answer >> 16 << 16
        put(codes, DC + look, answer)


@inner
def _valued(codes, look, which):
    """Return the answer for a look's first symbol and the number behind it."""
    one = item(codes, _ONE + _SIZE * which + look)
    length, bits = one & 31, one >> 5 & 31
    if length == 0 or length + bits > BITS:
        return LONG << 5
    value = 0
    if bits > 0:
        value = look >> (BITS - length - bits) & ((1 << bits) - 1)
        if value < 1 << (bits - 1):
            value -= (1 << bits) - 1
    return (length + bits) | (one >> 10 & 127) << 5 | (one >> 5 & LAST) | value << 16


@inner
def keep_codes(codes, kind, dc, ac):
    """Make a table of the bytes at two addresses; False where libjpeg refuses them.

    Parameters
    ----------
    codes : int             address of int32[CODES], zeros at first
    kind : {MEANS, VALUES}
    dc, ac : int            addresses: sixteen lengths, and the symbols, all in the image
    """
    dc_size, ac_size = _bytes_of(dc), _bytes_of(ac)
    if _is_same(codes, kind, dc, ac, dc_size, ac_size):
        return True
    put(codes, _KEY, 0)
    for which in range(2):
        if not _fill_symbols(codes, ac if which == 0 else dc, which):
            return False
    _fill_looks(codes, kind)
    at = _KEY + 1
    for k in range(dc_size):
        put(codes, at + k, read_byte(dc, k))
    at += dc_size
    for k in range(ac_size):
        put(codes, at + k, read_byte(ac, k))
    put(codes, _KEY, kind)
    return True


@inner
def symbol(codes, which, bits):
    """Return the next symbol: bits of its code, 0 for none; of the number behind it; steps; LAST.

    Parameters
    ----------
    codes : int         address of the table
    which : {0, 1}      AC or DC
    bits : int          the next bits, the first one highest
    """
    length = 1
    while length < 17 and top(bits, length) > item(codes, _END + 20 * which + length):
        length += 1
    if length > 16:
        return 0, 0, 0, 0
    place = top(bits, length) + item(codes, _SHIFT + 20 * which + length)
    found = item(codes, _SYMBOL + 256 * which + place)
    return length, found & 31, found >> 5 & 127, found & LAST
