"""The first words of many records' own streams at once."""

from __future__ import annotations

from numba import types

from gpuio.kernels.jit import kernel
from gpuio.kernels.plan.random_bits import STATE_WORDS, philox_word, seed_philox
from gpuio.kernels.pointers import scratch

__all__ = ["philox_words"]

_room = scratch(types.uint32, STATE_WORDS)


@kernel(
    types.void(types.int64, types.int64[::1], types.int64[::1], types.uint32[:, ::1]),
    "random_bits",
    "../pointers",
)
def philox_words(seed, pass_index, record, out):
    """Write words of each record's stream in a pass, from its first one on.

    Parameters
    ----------
    seed : int64                    the key, two's complement
    pass_index, record : int64[B]   pass, modulo 2^32, and global position
    out : uint32[B, words]          filled
    """
    state = _room()
    for i in range(out.shape[0]):
        seed_philox(state, seed, pass_index[i], record[i])
        for j in range(out.shape[1]):
            out[i, j] = philox_word(state)
