"""Numbers in text: the rows of CSV and libSVM files, read as C's strtof and strtoll read them.

A decimal number is gathered as an integer of up to 19 digits and scaled by a power of ten in
float64, which is off by less than 2^-50 of the value. Rounding that to float32 gives strtof's
result unless the float64 lies within `_DOUBT` of the middle between two float32. Those fields, some
in ten million, and hexadecimal, subnormal and overflowing ones are left to the caller: they are
listed as *odd* and read exactly there.

Invariant: nothing is read outside a row.
"""

from __future__ import annotations

import numpy as np
from numba import types as t

from gpuio.kernels.jit import inner, kernel

__all__ = ["find_rows", "read_floats", "read_ints", "read_pairs"]

_TEXT = t.Array(t.uint8, 1, "C", readonly=True)
_I64, _F32, _ROWS, _FLOATS = t.int64[::1], t.float32[::1], t.int64[:, ::1], t.float32[:, ::1]

_NONE, _DONE, _ODD = 0, 1, 2

_POWER = np.array([float(f"1e{k}") for k in range(71)])  # each the float64 nearest to its power
_MIDDLE = np.uint64(0x10000000)  # of the 29 bits that float64 has more than float32
_LOW29 = np.uint64(0x1FFFFFFF)
_DOUBT = np.uint64(16)  # units in the last place of float64; the error is below 4
_SMALLEST = 1.2e-38  # a little above float32's smallest normal number
_LARGEST = 3.4e38  # a little below its largest
_MOST_W = np.uint64(999_999_999_999_999_999)  # one more digit still fits 64 bits

_LF, _CR, _SPACE, _TAB, _HASH, _COLON = 10, 13, 32, 9, 35, 58


@inner
def _is_blank(c):
    return c == 32 or (9 <= c <= 12 and c != _LF)


@inner
def _is_break(c):
    return c in (_LF, _CR)


@inner
def _is_digit(c):
    return 48 <= c <= 57


@inner
def _word(text, p, end, a, b, c):
    """Tell whether three letters stand at p, in either case."""
    return end - p >= 3 and text[p] | 32 == a and text[p + 1] | 32 == b and text[p + 2] | 32 == c


@kernel(t.int64(_TEXT, t.int64, _I64, _I64, t.boolean))
def find_rows(text, base, state, starts, skip_comments):
    """Find where rows begin: lines that are not empty.

    Parameters
    ----------
    text : uint8[n]                 a block of the file
    base : int                      its first byte's offset in the file
    state : int64[2]                carried from block to block: [0] is 0 at a line's beginning or
                                    in its leading blanks, 1 in a line that was listed, 2 in one
                                    that was skipped; [1] is the line's offset
    starts : int64[m]               gets the offsets; m >= n / 2 + 1
    skip_comments : bool            leave out lines that are blank or begin with #
    """
    count = 0
    mode, begin = state[0], state[1]
    for i in range(text.shape[0]):
        c = text[i]
        if _is_break(c):
            mode, begin = 0, base + i + 1
        elif mode == 0:
            if not skip_comments or not (_is_blank(c) or c == _HASH):
                starts[count] = begin
                count += 1
                mode = 1
            elif c == _HASH:
                mode = 2
    state[0], state[1] = mode, begin
    return count


@inner
def _decimal(text, p, end):
    """Read a decimal number at p: (status, value, its end); the sign was read before."""
    w = np.uint64(0)
    exponent = 0
    digits = False
    exact = True
    while p < end and _is_digit(text[p]):
        digits = True
        if w <= _MOST_W:
            w = w * np.uint64(10) + np.uint64(text[p] - 48)
        else:
            exponent += 1
            exact = False
        p += 1
    if p < end and text[p] == 46:
        q = p + 1
        while q < end and _is_digit(text[q]):
            digits = True
            if w <= _MOST_W:
                w = w * np.uint64(10) + np.uint64(text[q] - 48)
                exponent -= 1
            else:
                exact = False
            q += 1
        p = q
    if not digits:
        return _NONE, 0.0, p
    if p < end and text[p] | 32 == 101:
        q = p + 1
        minus = q < end and text[q] == 45
        if q < end and (text[q] == 45 or text[q] == 43):
            q += 1
        if q < end and _is_digit(text[q]):
            scale = 0
            while q < end and _is_digit(text[q]):
                scale = min(scale * 10 + (text[q] - 48), 1 << 40)
                q += 1
            exponent += -scale if minus else scale
            p = q
    if w == 0 or exponent < -70:  # below 1e19 * 1e-70, which is 0 in float32
        return _DONE, 0.0, p
    if exponent > 60:
        return _DONE, np.inf, p
    value = np.float64(w)
    if exponent >= 0:
        value *= _POWER[exponent]
    else:
        value /= _POWER[-exponent]
    if value < _SMALLEST or value > _LARGEST:
        return _ODD, 0.0, p
    bits = np.float64(value).view(np.uint64) & _LOW29
    off = bits - _MIDDLE if bits > _MIDDLE else _MIDDLE - bits
    if off <= _DOUBT and not (exact and exponent == 0 and w < np.uint64(1) << np.uint64(53)):
        return _ODD, 0.0, p
    return _DONE, value, p


@inner
def _float(text, p, end):
    """Read a number at p as strtof does: (status, float32, its end)."""
    start = p
    minus = p < end and text[p] == 45
    if p < end and (text[p] == 45 or text[p] == 43):
        p += 1
    sign = np.float32(-1.0) if minus else np.float32(1.0)
    if p < end and text[p] > 57:
        if _word(text, p, end, 110, 97, 110):
            return _DONE, np.float32(np.nan), p + 3
        if _word(text, p, end, 105, 110, 102):
            return _DONE, sign * np.float32(np.inf), p + 3
        return _NONE, np.float32(0.0), start
    if end - p > 2 and text[p] == 48 and text[p + 1] | 32 == 120:
        return _ODD, np.float32(0.0), p + 2
    status, value, q = _decimal(text, p, end)
    return status, sign * np.float32(value), q


@kernel(t.void(_TEXT, _I64, t.uint8, _I64, _FLOATS, _I64, _ROWS))
def read_floats(text, starts, delimiter, skip, out, found, odd):
    """Read rows of numbers.

    Parameters
    ----------
    text : uint8[n]
    starts : int64[rows]            where rows begin in `text`; a row ends at a line break
    delimiter : uint8
    skip : int64[2]                 columns to leave out, -1 for none
    out : float32[rows, columns]    gets the numbers; a field without one counts as none
    found : int64[rows]             gets how many numbers a row has, which may be more than columns
    odd : int64[m, 3]               gets (row, column, offset in text) of the fields to be read
                                    exactly, odd[0, 0] of them from odd[1] on; m = out.size + 1
    """
    odds = 0
    for row in range(starts.shape[0]):
        p, end = starts[row], text.shape[0]
        column = count = 0
        while p < end and not _is_break(text[p]):
            while p < end and _is_blank(text[p]) and text[p] != delimiter:
                p += 1
            status, value, q = _float(text, p, end)
            if status != _NONE and column != skip[0] and column != skip[1]:
                if count < out.shape[1]:
                    out[row, count] = value
                    if status == _ODD:
                        odds += 1
                        odd[odds, 0], odd[odds, 1], odd[odds, 2] = row, count, p
                count += 1
            p = max(p, q)
            while p < end and text[p] != delimiter and not _is_break(text[p]):
                p += 1
            if p < end and text[p] == delimiter:
                p += 1
            column += 1
        found[row] = count
    odd[0, 0] = odds


@inner
def _int(text, p, end):
    """Read a whole number at p as strtoll with base 0 does: (is there one, int64)."""
    minus = p < end and text[p] == 45
    if p < end and (text[p] == 45 or text[p] == 43):
        p += 1
    base = np.uint64(10)
    if p < end and text[p] == 48:
        base = np.uint64(8)
        if end - p > 2 and text[p + 1] | 32 == 120 and _digit(text[p + 2]) < 16:
            base = np.uint64(16)
            p += 2
    limit = np.uint64(1 << 63) if minus else np.uint64((1 << 63) - 1)
    value = np.uint64(0)
    any_digit = False
    while p < end and np.uint64(_digit(text[p])) < base:
        digit = np.uint64(_digit(text[p]))
        any_digit = True
        value = limit if value > (limit - digit) // base else value * base + digit
        p += 1
    return any_digit, -np.int64(value) if minus else np.int64(value)


@inner
def _digit(c):
    """Return a digit's value in base 16, or 99."""
    if 48 <= c <= 57:
        return c - 48
    if 97 <= c | 32 <= 102:
        return (c | 32) - 87
    return 99


@kernel(t.void(_TEXT, _I64, t.uint8, _I64, _ROWS, _I64))
def read_ints(text, starts, delimiter, skip, out, found):
    """Read rows of whole numbers; parameters as `read_floats`, out int64, saturated."""
    for row in range(starts.shape[0]):
        p, end = starts[row], text.shape[0]
        column = count = 0
        while p < end and not _is_break(text[p]):
            while p < end and _is_blank(text[p]) and text[p] != delimiter:
                p += 1
            there, value = _int(text, p, end)
            if there and column != skip[0] and column != skip[1]:
                if count < out.shape[1]:
                    out[row, count] = value
                count += 1
            while p < end and text[p] != delimiter and not _is_break(text[p]):
                p += 1
            if p < end and text[p] == delimiter:
                p += 1
            column += 1
        found[row] = count


@inner
def _past_blanks(text, p, end):
    while p < end and _is_blank(text[p]):
        p += 1
    return p


@inner
def _at_end(text, p, end):
    return p >= end or _is_break(text[p]) or text[p] == _HASH


@inner
def _past_number(text, p, end):
    """Return the end of a run without a blank, a colon or the line's end."""
    while not _at_end(text, p, end) and not _is_blank(text[p]) and text[p] != _COLON:
        p += 1
    return p


@kernel(t.int64(_TEXT, _I64, _F32, _I64, _I64, _F32, _ROWS))
def read_pairs(text, starts, labels, bounds, indices, values, odd):
    """Read rows of ``label[:weight] [qid:number] index[:value] ...``; the first bad one ends it.

    Parameters
    ----------
    text : uint8[n]
    starts : int64[rows]            where rows begin in `text`; a row ends at a line break or at #
    labels : float32[rows]          gets the labels
    bounds : int64[rows + 1]        gets where each row's entries begin, and the end
    indices : int64[n]              gets the indices
    values : float32[n]             gets the values; 1 where none is given
    odd : int64[n + 1, 2]           gets (entry, offset in text) of the numbers to be read exactly,
                                    -1 - row for a label; odd[0, 0] of them from odd[1] on

    Returns
    -------
    int                             -1, or the offset in `text` at which no number could be read
    """
    odds = entry = 0
    odd[0, 0] = 0
    for row in range(starts.shape[0]):
        end = text.shape[0]
        bounds[row] = entry
        p = _past_blanks(text, starts[row], end)
        status, label, q = _float(text, p, end)
        if status == _NONE:
            return p
        labels[row] = label
        if status == _ODD:
            odds += 1
            odd[odds, 0], odd[odds, 1] = -1 - row, p
            q = _past_number(text, p, end)
        p = _past_blanks(text, q, end)
        if p < end and text[p] == _COLON:  # a weight, which no batch holds
            p = _past_blanks(text, p + 1, end)
            status, _, q = _float(text, p, end)
            if status == _NONE:
                return p
            p = _past_blanks(text, _past_number(text, p, end), end)
        if end - p > 4 and _word(text, p, end, 113, 105, 100) and text[p + 3] == _COLON:
            p = _past_blanks(text, _past_number(text, p + 4, end), end)
        while not _at_end(text, p, end):
            if not _is_digit(text[p]):
                return p
            index = 0
            while p < end and _is_digit(text[p]):
                index = min(index * 10 + (text[p] - 48), 1 << 50)
                p += 1
            indices[entry] = index
            values[entry] = 1.0
            q = _past_blanks(text, p, end)
            if q < end and text[q] == _COLON:
                p = _past_blanks(text, q + 1, end)
                status, values[entry], q = _float(text, p, end)
                if status == _NONE:
                    return p
                if status == _ODD:
                    odds += 1
                    odd[odds, 0], odd[odds, 1] = entry, p
                    q = _past_number(text, p, end)
                p = q
            if not _at_end(text, p, end) and not _is_blank(text[p]):
                return p
            p = _past_blanks(text, p, end)
            entry += 1
    bounds[starts.shape[0]] = entry
    odd[0, 0] = odds
    return -1
