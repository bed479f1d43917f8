"""Bytes counted and mapped, each channel by itself. Compiled when a plan first asks for it."""

from __future__ import annotations

from numba import types

from gpuio.kernels.jit import kernel

__all__ = ["count_levels", "map_levels"]


@kernel(types.void(types.uint8[:, ::1], types.int64[:, ::1]))
def count_levels(pixels, counts):
    """Add to each byte of B, G and R how many pixels have it.

    Parameters
    ----------
    pixels : uint8[n, 4]
    counts : int64[3, 256]
    """
    for i in range(len(pixels)):
        for c in range(3):
            counts[c, pixels[i, c]] += 1


@kernel(types.void(types.uint8[:, ::1], types.uint8[:, ::1]))
def map_levels(pixels, tables):
    """Replace B, G and R by their values in a table of each, in place.

    Parameters
    ----------
    pixels : uint8[n, 4]
    tables : uint8[3, 256]
    """
    for i in range(len(pixels)):
        for c in range(3):
            pixels[i, c] = tables[c, pixels[i, c]]
