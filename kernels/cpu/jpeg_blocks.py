"""Blocks of a sequential JPEG: the means of some, the coefficients of one.

At an eighth of the size a block is one pixel, its mean; what else it has is passed, several
coefficients at a look. Chroma of 4:2:0 has 2 x 2 pixels per block there, and is read in full.

Damage is said, not repaired. Kernels that use this module name it as a source, `jpeg_bits` and
`jpeg_codes`. Source: ITU-T T.81, section F.2.2; libjpeg-turbo 3.0, jdhuff.c.
"""

from __future__ import annotations

from gpuio.kernels.cpu.jpeg_bits import item, put, refill, top
from gpuio.kernels.cpu.jpeg_codes import BITS, DC, LONG, symbols_of
from gpuio.kernels.cpu.jpeg_symbols import LAST, number, symbol
from gpuio.kernels.jit import inner

__all__ = ["HIGHEST", "pass_blocks", "read_block"]

HIGHEST = 1 << 14  # a coefficient lies within [-HIGHEST, HIGHEST), else its sums may not fit
_DC_SHIFT, _LAST_SHIFT = DC.bit_length() - 1, LAST.bit_length() - 1
_RANGE_BITS = HIGHEST.bit_length()


@inner
def pass_blocks(p, bits, count, codes, mean, to, blocks):
    """Read blocks of a component: the mean of each, as it is coded, and nothing else.

    Looks at a block's first symbol and at its others take turns without a branch: where a block
    ends is what a processor cannot foresee.

    Parameters
    ----------
    p, bits, count      as `refill` returns them
    codes : int         address of a table of MEANS
    mean : int          of the block before
    to : int            address of int32[blocks]
    blocks : int        how many

    Returns
    -------
    p, bits, count
    mean : int          of the last block
    bad : int           0, or not 0 where a code is none, or a block has too many coefficients
    """
    k, first, block = 0, 1, 0
    while block < blocks:
        answer = item(codes, top(bits, BITS) | first << _DC_SHIFT)
        n = k + (answer >> 5 & 127)
        used = answer & 31
        if n > 64:
            length, size, steps, last = symbol(symbols_of(codes, first), bits)
            n = k + steps
            if length == 0 or n > 64:
                return p, bits, count, mean, 1
            used = length + size
            answer = last
            if first != 0:
                answer |= number(bits << length, size) << 16
        bits <<= used
        p, bits, count = refill(p, bits, count - used)
        mean += answer >> 16
        put(to, block, mean)
        first = (answer >> _LAST_SHIFT & 1) | n >> 6
        block += first
        k = n & (first - 1)
    return p, bits, count, mean, 0


@inner
def read_block(p, bits, count, codes, mean, quanta, places, to):
    """Read a block of coefficients, each times its quantum.

    Parameters
    ----------
    p, bits, count      as `refill` returns them
    codes : int         address of a table of VALUES
    mean : int          of the component's block before, as it is coded
    quanta : int        address of int32[64], in zigzag order
    places : int        address of int32[64]: where each is written
    to : int            address of the block, int32, zeros before

    Returns
    -------
    p, bits, count
    mean : int
    last : int          of the last coefficient, in zigzag order; 0: there is the mean alone
    bad : int           0, or not 0 where a code is none, a block has too many coefficients, or
                        one of them is too large
    """
    answer = item(codes, top(bits, BITS) | DC)
    used = answer & 31
    if answer >> 5 & 127 == LONG:
        length, size, _, answer = symbol(symbols_of(codes, 1), bits)
        if length == 0:
            return p, bits, count, mean, 0, 1
        used = length + size
        answer = number(bits << length, size) << 16
    mean += answer >> 16
    value = mean * item(quanta, 0)
    bad = value + HIGHEST
    put(to, item(places, 0), value)
    bits <<= used
    p, bits, count = refill(p, bits, count - used)
    k = 0
    while answer & LAST == 0:
        answer = item(codes, top(bits, BITS))
        n = k + (answer >> 5 & 127)
        used = answer & 31
        if n > 63:
            if answer >> 5 & 127 == LONG:
                length, size, steps, answer = symbol(symbols_of(codes, 0), bits)
                if length == 0:
                    return p, bits, count, mean, k, 1
                used = length + size
                n = k + steps
                answer |= number(bits << length, size) << 16
            if n > 63:
                return p, bits, count, mean, k, 1
        bits <<= used
        p, bits, count = refill(p, bits, count - used)
        if answer & LAST:
            break
        value = (answer >> 16) * item(quanta, n)
        bad |= value + HIGHEST
        put(to, item(places, n), value)
        k = n
        if n == 63:
            break
    return p, bits, count, mean, k, bad >> _RANGE_BITS
