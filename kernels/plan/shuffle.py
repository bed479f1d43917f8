"""A shuffle, compiled: its swaps, its draws and swaps in one, and draws that are passed over."""

from __future__ import annotations

import numpy as np
from numba import types

from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.pointers import scratch

__all__ = ["draw_and_swap", "skip_draws", "swap_all"]

_WORDS = 624  # of a state of mt19937

_AT_ONCE = (
    256  # numbers drawn before they are swapped: their places are then looked up side by side
)

_room, _others = scratch(types.uint32, _WORDS), scratch(types.int64, _AT_ONCE)


@kernel("void(int32[::1], uint32[::1], int64[::1])")
def swap_all(values, others, lengths):
    """Shuffle runs of values in place: see `gpuio.order.rng.shuffle`."""
    first, drawn = 0, 0
    for run in range(lengths.shape[0]):
        for i in range(first + 1, first + lengths[run]):
            j = first + np.int64(others[drawn])
            drawn += 1
            held = values[i]
            values[i] = values[j]
            values[j] = held
        first += lengths[run]


@inner
def _mixed(word, after, far):
    """Return the word that takes a word's place, from it, the one after it and the far one."""
    mixed = (word & np.uint32(0x80000000)) | (after & np.uint32(0x7FFFFFFF))
    odd = np.uint32(0) - (mixed & np.uint32(1))
    return far ^ (mixed >> np.uint32(1)) ^ (odd & np.uint32(0x9908B0DF))


@inner
def _twist(words):
    """Make the next 624 words of mt19937."""
    for i in range(227):
        words[i] = _mixed(words[i], words[i + 1], words[i + 397])
    for i in range(227, 623):
        words[i] = _mixed(words[i], words[i + 1], words[i - 227])
    words[623] = _mixed(words[623], words[0], words[396])


@inner
def _temper(words, out):
    """Make the words that are handed out of the 624 of a state."""
    for i in range(624):
        word = words[i]
        word ^= word >> np.uint32(11)
        word ^= (word << np.uint32(7)) & np.uint32(0x9D2C5680)
        word ^= (word << np.uint32(15)) & np.uint32(0xEFC60000)
        out[i] = word ^ (word >> np.uint32(18))


@kernel("int64(uint32[::1], int64, int32[::1], int64[::1])", "../pointers")
def draw_and_swap(words, at, values, lengths):
    """Draw what shuffles runs of values and shuffle them, in place.

    Parameters
    ----------
    words, at               as `skip_draws` has them
    values : int32[n]       changed
    lengths : int64[runs]   of the runs, each >= 1, n in all

    Returns
    -------
    int                     the next word's index
    """
    out, others = _room(), _others()
    _temper(words, out)
    first = 0
    for run in range(lengths.shape[0]):
        place, length = np.int64(1), lengths[run]
        while place < length:
            begin, count = first + place, min(length - place, _AT_ONCE)
            for k in range(count):
                # float64 divides whole numbers below 2^32 to the right floor, and sooner
                scale = np.uint32(np.float64(0xFFFFFFFF) / np.float64(place + 1))
                limit = np.uint32(scale * np.uint32(place + 1))
                while True:
                    if at >= 624:
                        _twist(words)
                        _temper(words, out)
                        at = 0
                    at += 1
                    if out[at - 1] < limit:
                        break
                others[k] = first + np.int64(np.float64(out[at - 1]) / np.float64(scale))
                place += 1
            for k in range(count):
                i, j = begin + k, others[k]
                held = values[i]
                values[i] = values[j]
                values[j] = held
        first += length
    return at


@kernel("int64(uint32[::1], int64, uint32[::1], int64)", "../pointers")
def skip_draws(words, at, limits, passes):
    """Move mt19937 behind some passes of draws, without making numbers of them.

    Parameters
    ----------
    words : uint32[624]     the generator's state; changed
    at : int                the next word's index, 0 .. 624
    limits : uint32[n]      of each draw of a pass: a word below it is taken, others are drawn anew
    passes : int

    Returns
    -------
    int                     the next word's index
    """
    out = _room()
    _temper(words, out)
    for _ in range(passes):
        for i in range(limits.shape[0]):
            while True:
                if at >= 624:
                    _twist(words)
                    _temper(words, out)
                    at = 0
                at += 1
                if out[at - 1] < limits[i]:
                    break
    return at
