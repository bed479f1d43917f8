"""A JPEG's Huffman codes as the standard has them: one symbol after the other.

Kernels that use this module name it as a source, and `jpeg_bits`. Source: ITU-T T.81, sections C
and F.2.2; libjpeg-turbo 3.0, jdhuff.c.
"""

from __future__ import annotations

from gpuio.kernels.addresses import read_byte
from gpuio.kernels.cpu.jpeg_bits import item, put, top
from gpuio.kernels.jit import inner

__all__ = ["COUNT", "FIRST", "LAST", "SYMBOLS", "bytes_of", "fill_symbols", "number", "symbol"]

LAST = 1 << 12  # of a symbol: the block ends behind it

# int32 each
COUNT = 0  # of codes of each length
_HIGHEST = 20  # code of each length, -1 for none
_SHIFT = 40  # from a code of a length to its symbol
FIRST = 60  # of each: number of bits | steps << 5 | LAST
SYMBOLS = FIRST + 256


@inner
def bytes_of(place):
    """Return how many bytes a table's lengths and symbols take.

    Parameters
    ----------
    place : int             address of sixteen lengths, and the symbols
    """
    size = 16
    for k in range(16):
        size += read_byte(place, k)
    return size


@inner
def fill_symbols(symbols, place, which):
    """Read a table, AC (0) or DC (1); return False where libjpeg refuses it.

    Parameters
    ----------
    symbols : int           address of int32[SYMBOLS]
    place : int             address of sixteen lengths, and the symbols
    which : {0, 1}
    """
    code, k = 0, 0
    for length in range(1, 17):
        put(symbols, _SHIFT + length, k - code)
        count = read_byte(place, length - 1)
        put(symbols, COUNT + length, count)
        for _ in range(count):
            found = read_byte(place, 16 + k)
            bits, steps = found & 15, (found >> 4) + 1
            if which == 1 and found > 15:
                return False
            if which == 0 and bits == 0 and steps != 16:
                steps = 1 | LAST >> 5  # an end of block
            put(symbols, FIRST + k, bits | steps << 5)
            code += 1
            k += 1
        if count > 0 and code >= 1 << length:  # no code is all ones
            return False
        put(symbols, _HIGHEST + length, code - 1 if count > 0 else -1)
        code <<= 1
    return True


@inner
def symbol(symbols, bits):
    """Return the next symbol: bits of its code, 0 for none; of the number behind it; steps; LAST.

    Parameters
    ----------
    symbols : int       address of int32[SYMBOLS]
    bits : int          the next bits, the first one highest
    """
    length = 1
    while length < 17 and top(bits, length) > item(symbols, _HIGHEST + length):
        length += 1
    if length > 16:
        return 0, 0, 0, 0
    found = item(symbols, FIRST + top(bits, length) + item(symbols, _SHIFT + length))
    return length, found & 31, found >> 5 & 127, found & LAST


@inner
def number(bits, size):
    """Return the signed number that the next `size` bits, 0 to 15, stand for."""
    if size == 0:
        return 0
    value = top(bits, size)
    if value < 1 << (size - 1):
        value -= (1 << size) - 1
    return value
