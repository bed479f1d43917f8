"""The lines of an index, digits TAB digits LF, read in one loop: see `recordio.index_entries`."""

from __future__ import annotations

from numba import types as t

from gpuio.kernels.jit import kernel

__all__ = ["parse_lines"]

_TEXT = t.Array(t.uint8, 1, "C", readonly=True)


@kernel(t.int64(_TEXT, t.int64, t.int64[::1], t.int64[::1]))
def parse_lines(text, most, keys, offsets):
    """Read the numbers of whole lines.

    Parameters
    ----------
    text : uint8[n]             ends with LF
    most : int                  digits of a number, at most
    keys, offsets : int64[m]    get the numbers; m >= (n + 3) / 4

    Returns
    -------
    int                         how many lines there are; -1 where one is of another form
    """
    count = at = 0
    size = text.shape[0]
    while at < size:
        begin, key = at, 0
        while 48 <= text[at] <= 57:
            key = key * 10 + (text[at] - 48)
            at += 1
        if text[at] != 9 or at == begin or at - begin > most:
            return -1
        at += 1
        begin, offset = at, 0
        while 48 <= text[at] <= 57:
            offset = offset * 10 + (text[at] - 48)
            at += 1
        if text[at] != 10 or at == begin or at - begin > most:
            return -1
        at += 1
        keys[count] = key
        offsets[count] = offset
        count += 1
    return count
