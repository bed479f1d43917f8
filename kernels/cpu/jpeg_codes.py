"""Huffman tables that answer several of a JPEG's symbols with one look, and one symbol alone.

A look of 12 bits answers as many symbols as begin and end their codes in it, the numbers behind
the last one may reach further. For a block of which only the mean is wanted that is how many
bits and coefficients to pass; for the others, one coefficient.

A table's memory, `CODES` int32 each, is made anew only where an image brings other codes than the
one before: most writers use the same ones.

Kernels that use this module name it as a source, `jpeg_bits` and `jpeg_symbols`.
"""

from __future__ import annotations

from gpuio.kernels.addresses import read_byte
from gpuio.kernels.cpu.jpeg_bits import item, put
from gpuio.kernels.cpu.jpeg_symbols import COUNT, FIRST, LAST, SYMBOLS, bytes_of, fill_symbols
from gpuio.kernels.jit import inner

__all__ = ["BITS", "CODES", "DC", "LONG", "MEANS", "VALUES", "keep_codes", "symbols_of"]

BITS = 12  # of a look
LONG = 127  # steps of an answer that is none: a longer code is there, or not one
MEANS, VALUES = 1, 2  # what a look passes many coefficients for, and what it answers each for

_SIZE = 1 << BITS
DC = _SIZE  # looks at a block's first symbol stand behind those at the others
# an answer: bits | steps << 5 | LAST, the block ends | value << 16
_CODES = _SIZE * 2  # symbols of AC, DC
_ONE = _CODES + 2 * SYMBOLS  # of each look: its first symbol: length | symbol << 5; 0: too long
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
def symbols_of(codes, which):
    """Return the address of a table's symbols, AC (0) or DC (1)."""
    return codes + 4 * (_CODES + SYMBOLS * which)


@inner
def _fill_ones(codes, which):
    """Note the first symbol of each look, AC (0) or DC (1)."""
    symbols = symbols_of(codes, which)
    to, k = _ONE + _SIZE * which, 0
    end = to + _SIZE
    for length in range(1, BITS + 1):
        for _ in range(item(symbols, COUNT + length)):
            found = item(symbols, FIRST + k)
            k += 1
            for _ in range(1 << (BITS - length)):
                put(codes, to, length | found << 5)
                to += 1
    for at in range(to, end):
        put(codes, at, 0)


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
    dc_size, ac_size = bytes_of(dc), bytes_of(ac)
    if _is_same(codes, kind, dc, ac, dc_size, ac_size):
        return True
    put(codes, _KEY, 0)
    for which in range(2):
        if not fill_symbols(symbols_of(codes, which), ac if which == 0 else dc, which):
            return False
        _fill_ones(codes, which)
    _fill_looks(codes, kind)
    at = _KEY + 1
    for k in range(dc_size):
        put(codes, at + k, read_byte(dc, k))
    at += dc_size
    for k in range(ac_size):
        put(codes, at + k, read_byte(ac, k))
    put(codes, _KEY, kind)
    return True
