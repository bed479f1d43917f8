"""The swaps of a shuffle, compiled: the one step of it that NumPy has no word for."""

from __future__ import annotations

from gpuio.kernels.jit import kernel

__all__ = ["swap_all"]


@kernel("void(int32[::1], uint32[::1])")
def swap_all(values, others):
    """Swap ``values[i]`` with ``values[others[i - 1]]`` for i = 1 .. n-1, in place."""
    for i in range(1, values.shape[0]):
        j = others[i - 1]
        held = values[i]
        values[i] = values[j]
        values[j] = held
