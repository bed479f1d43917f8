"""The last step: bytes of a window to float32."""

from __future__ import annotations

import numpy as np
from numba import types

from gpuio.kernels.cpu.lanes import bits_of, lane
from gpuio.kernels.jit import kernel

__all__ = ["finish_32"]

_U = np.uint32
_int = types.int64
_window = types.uint32[::1]
_shape = (_int,) * 6  # C, H, W, channel stride, row stride, pixel stride


@kernel(types.void(_window, types.float32[:, ::1], types.float32[::1], *_shape), "lanes")
def finish_32(window, terms, out, C, H, W, by_c, by_y, by_x):
    """Write ``(p - mean) * factor + shift``.

    Parameters
    ----------
    window : uint32[H * W]      B, G, R, A or gray from the lowest byte on
    terms : float32[3, C]       mean, factor, shift of each output channel
    out : float32[C * H * W]
    C, H, W, by_c, by_y, by_x : int
    """
    for y in range(H):
        source = window[y * W : (y + 1) * W]
        if by_x == 3:
            line = out[y * by_y : y * by_y + 3 * W]
            for x in range(W):  # three neighbours at once are stored as vectors
                r = np.float32(lane(source[x], _U(16)))
                g = np.float32(lane(source[x], _U(8)))
                b = np.float32(lane(source[x], _U(0)))
                line[3 * x] = (r - terms[0, 0]) * terms[1, 0] + terms[2, 0]
                line[3 * x + 1] = (g - terms[0, 1]) * terms[1, 1] + terms[2, 1]
                line[3 * x + 2] = (b - terms[0, 2]) * terms[1, 2] + terms[2, 2]
            continue
        for c in range(C):
            bits, mean, factor, shift = bits_of(C, c), terms[0, c], terms[1, c], terms[2, c]
            start = c * by_c + y * by_y
            line = out[start : start + (W - 1) * by_x + 1]
            if by_x == 1:
                for x in range(W):
                    line[x] = (np.float32(lane(source[x], bits)) - mean) * factor + shift
            else:
                for x in range(W):
                    line[x * by_x] = (np.float32(lane(source[x], bits)) - mean) * factor + shift
