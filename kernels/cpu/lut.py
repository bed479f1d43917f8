"""Bytes looked up in a table. Compiled when a plan first asks for it."""

from __future__ import annotations

from numba import types

from gpuio.kernels.jit import kernel

__all__ = ["look_up"]


@kernel(types.void(types.uint8[:, ::1], types.uint8[::1]))
def look_up(pixels, table):
    """Replace B, G and R by their values in a table, in place.

    Parameters
    ----------
    pixels : uint8[n, 4]
    table : uint8[256]
    """
    for i in range(len(pixels)):
        for c in range(3):
            pixels[i, c] = table[pixels[i, c]]
