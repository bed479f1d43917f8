"""A permutation without an array, compiled: a Feistel network, walked until inside of a range."""

from __future__ import annotations

import numpy as np

from gpuio.kernels.jit import inner, kernel

__all__ = ["walk"]


@inner
def _mixed(word, key):
    """Mix 32 bits with a key, by xor, multiplication and shifts."""
    low = np.uint64(0xFFFFFFFF)
    word = ((word ^ key) * np.uint64(0x9E3779B1)) & low
    word ^= word >> np.uint64(15)
    word = (word * np.uint64(0x85EBCA77)) & low
    return word ^ (word >> np.uint64(13))


@kernel("void(int64[::1], uint64[::1], int64, int64, boolean, int64[::1])")
def walk(values, keys, half, count, forward, out):
    """Send each value through the network until it is below `count`.

    Parameters
    ----------
    values : int64[n]       0 .. count-1
    keys : uint64[rounds]   32 bits each
    half : int              bits of one half, 1 .. 32; the network permutes 2^(2 half) numbers
    count : int             at most so many
    forward : bool          False: backwards, from a number to the value that it came from
    out : int64[n]          filled
    """
    shift, end = np.uint64(half), np.uint64(count)
    mask = (np.uint64(1) << shift) - np.uint64(1)
    rounds = keys.shape[0]
    for i in range(values.shape[0]):
        value = np.uint64(values[i])
        while True:
            left, right = value >> shift, value & mask
            for k in range(rounds):
                if forward:
                    left, right = right, left ^ (_mixed(right, keys[k]) & mask)
                else:
                    key = keys[rounds - 1 - k]
                    left, right = right ^ (_mixed(left, key) & mask), left
            value = (left << shift) | right
            if value < end:
                break
        out[i] = np.int64(value)
