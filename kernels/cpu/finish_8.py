"""The last step: bytes of a window to uint8 or int8."""

from __future__ import annotations

import numpy as np
from numba import types

from gpuio.kernels.cpu.lanes import bits_of, lane
from gpuio.kernels.jit import kernel

__all__ = ["finish_8"]

_U = np.uint32
_int = types.int64
_window = types.uint32[::1]
_shape = (_int,) * 6  # C, H, W, channel stride, row stride, pixel stride


@kernel(types.void(_window, types.int32[::1], _int, _int, types.uint8[::1], *_shape), "lanes")
def finish_8(window, mean, low, high, out, C, H, W, by_c, by_y, by_x):
    """Write ``clamp(p - mean, low, high)``, all whole numbers, as the byte of an int8 or uint8."""
    low, high = np.int32(low), np.int32(high)
    for y in range(H):
        source = window[y * W : (y + 1) * W]
        if by_x == 3:
            line = out[y * by_y : y * by_y + 3 * W]
            for x in range(W):
                r = np.int32(lane(source[x], _U(16)) - mean[0])
                g = np.int32(lane(source[x], _U(8)) - mean[1])
                b = np.int32(lane(source[x], _U(0)) - mean[2])
                line[3 * x] = np.uint8(min(max(r, low), high))
                line[3 * x + 1] = np.uint8(min(max(g, low), high))
                line[3 * x + 2] = np.uint8(min(max(b, low), high))
            continue
        for c in range(C):
            bits, less = bits_of(C, c), mean[c]
            start = c * by_c + y * by_y
            line = out[start : start + (W - 1) * by_x + 1]
            if by_x == 1:
                for x in range(W):
                    p = np.int32(lane(source[x], bits) - less)
                    line[x] = np.uint8(min(max(p, low), high))
            else:
                for x in range(W):
                    p = np.int32(lane(source[x], bits) - less)
                    line[x * by_x] = np.uint8(min(max(p, low), high))
