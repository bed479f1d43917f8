"""The lines of an index, digits TAB digits LF, read in one loop: see `recordio.index_entries`.

A number is read eight digits at a time, as one word whose lowest byte is the first digit.
"""

from __future__ import annotations

import numpy as np
from numba import types as t

from gpuio.kernels.addresses import read_byte, read_u64
from gpuio.kernels.jit import inner, kernel

__all__ = ["parse_lines"]

_TEXT = t.Array(t.uint8, 1, "C", readonly=True)

_word, _int = t.uint64, t.int64
_ZEROS = np.uint64(0x3030303030303030)
_ABOVE_NINE = np.uint64(0x7676767676767676)  # added to a byte above 9 it sets the highest bit
_HIGHEST = np.uint64(0x8080808080808080)
_PAIRS, _FOURS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)
_MOST = 16  # digits of a number: two words


@inner
def _odd(word):
    """Return a word whose bytes have their highest bit up to the first byte that is no digit.

    It is set in that byte and in none before it. Bytes behind may be taken for any.
    """
    return ((word + _ABOVE_NINE) | word) & _HIGHEST


@inner
def _value(word, digits):
    """Return the number that the first digits of a word, less `_ZEROS`, are: 1 to 8 of them."""
    word = word << np.uint64(64 - 8 * digits)
    word = (word * np.uint64(10) + (word >> np.uint64(8))) & _PAIRS
    word = (word * np.uint64(100) + (word >> np.uint64(16))) & _FOURS
    return _int((word * np.uint64(10000) + (word >> np.uint64(32))) & np.uint64(0xFFFFFFFF))


@inner
def _number(base, at, digits):
    """Return the number that so many bytes are, 1 to 16; -1 if one of them is no digit."""
    high = max(digits - 8, 0)
    word = read_u64(base, at + high) ^ _ZEROS
    if _odd(word) & (_HIGHEST >> np.uint64(64 - 8 * (digits - high))) != 0:
        return _int(-1)
    value = _value(word, digits - high)
    if high > 0:
        word = read_u64(base, at) ^ _ZEROS
        if _odd(word) & (_HIGHEST >> np.uint64(64 - 8 * high)) != 0:
            return _int(-1)
        value += _value(word, high) * 100_000_000
    return value


@inner
def _slowly(base, at):
    """Return the number that begins at a place, and the place behind its digits."""
    value = _int(0)
    while 48 <= read_byte(base, at) <= 57:  # what ends a text is no digit
        value = value * 10 + (read_byte(base, at) - 48)
        at += 1
    return value, at


@inner
def _line(base, at, tab, end):
    """Return key and offset of a line whose TAB and LF are at these places; or two of -1."""
    if read_byte(base, tab) != 9 or read_byte(base, end) != 10:
        return _int(-1), _int(-1)
    return _number(base, at, tab - at), _number(base, tab + 1, end - tab - 1)


@kernel(t.UniTuple(t.int64, 2)(_TEXT, t.int64, t.int64[::1], t.int64[::1]), "addresses")
def parse_lines(text, following, keys, offsets):
    """Read the numbers of whole lines, of 1 to 16 digits each.

    Parameters
    ----------
    text : uint8[n]             ends with LF
    following : int             the key that the first line has if each is one more than the last
    keys : int64[m], or [0]     gets the keys; where it is empty, nobody wants them as long as each
                                is one more
    offsets : int64[m]          gets the offsets; m >= (n + 3) / 4

    Returns
    -------
    int                         how many lines there are; -1 where one is of another form
    int                         how many of them, from the first on, have keys of which each is one
                                more; where nobody has room for keys reading ends at the next line
    """
    base, size, at = _int(text.ctypes.data), _int(text.size), _int(0)
    count = same = _int(0)
    while at < size:
        key, tab = _slowly(base, at)
        if read_byte(base, tab) != 9 or tab == at or tab - at > _MOST:
            return _int(-1), same
        offset, end = _slowly(base, tab + 1)
        if read_byte(base, end) != 10 or end == tab + 1 or end - tab > _MOST + 1:
            return _int(-1), same
        # lines as long as this one are read without looking where they end; words may not be read
        # behind the text
        width, wide = end + 1 - at, tab - at
        for _ in range(max(size - end - 8, 0) // width + 1):
            if same == count and key == following + count:
                same += 1
            elif keys.size == 0:
                return count + 1, same
            if keys.size > 0:
                keys[count] = key
            offsets[count] = offset
            count += 1
            at += width
            if at + width + 8 > size:
                break
            key, offset = _line(base, at, at + wide, at + width - 1)
            if key < 0 or offset < 0:
                break
    return count, same
