"""The swaps of a shuffle, compiled: the one step of it that NumPy has no word for."""

from __future__ import annotations

import numpy as np

from gpuio.kernels.jit import kernel

__all__ = ["swap_all"]


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
