"""The luminance table of JPEGs, by which their quality is told, read at their addresses.

This is what `gpuio.tools.quality` reads in Python, for images that `jpeg` has found in order.

Invariant: nothing is read outside an image.
"""

from __future__ import annotations

from numba import types

from gpuio.kernels.addresses import read_byte
from gpuio.kernels.jit import inner, kernel

__all__ = ["HEAD", "luminance_tables"]

HEAD = 65536  # bytes: tables behind them are not looked for


@inner
def _table_at(data, at, stop, out):
    """Copy table 0 of the tables in the bytes [at, stop); return whether there is one."""
    while at < stop:
        first = read_byte(data, at)
        size = 128 if first >> 4 else 64
        if at + 1 + size > stop:
            return False
        if first & 15 == 0:
            for k in range(64):
                if size == 64:
                    out[k] = read_byte(data, at + 1 + k)
                else:
                    out[k] = read_byte(data, at + 1 + 2 * k) << 8 | read_byte(data, at + 2 + 2 * k)
            return True
        at += 1 + size
    return False


@inner
def _luminance(data, size, out):
    """Copy the first table 0 in front of the image's first scan; return whether there is one."""
    at, end = 2, min(size, HEAD)
    while at + 4 <= end:
        marker = read_byte(data, at + 1)
        if read_byte(data, at) != 0xFF or marker == 0x00 or marker == 0xFF:
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # nothing belongs to them
            at += 2
        elif marker == 0xDA:
            return False
        else:
            length = read_byte(data, at + 2) << 8 | read_byte(data, at + 3)
            stop = min(at + 2 + length, end)
            if marker == 0xDB and _table_at(data, at + 4, stop, out):
                return True
            at += 2 + max(length, 2)
    return False


_i64s = types.int64[::1]


@kernel(types.void(_i64s, _i64s, types.uint16[:, ::1], types.boolean[::1]), "addresses")
def luminance_tables(addresses, sizes, out, found):
    """Copy the luminance table of images.

    Parameters
    ----------
    addresses, sizes : int64[n]     of JPEGs that `jpeg.read_jpeg` has found in order
    out : uint16[n, 64]             gets the tables, in zigzag order
    found : bool[n]                 gets whether there is one
    """
    for i in range(addresses.size):
        found[i] = _luminance(addresses[i], sizes[i], out[i])
