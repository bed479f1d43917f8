"""The last step: bytes of a window to float32, channel by channel."""

from __future__ import annotations

import numpy as np
from numba import types

from gpuio.kernels.cpu.lanes import VALUES, bits_of, fence, lane, to_line, write_plane
from gpuio.kernels.jit import kernel

__all__ = ["finish_32"]

_int = types.int64
_window = types.uint32[::1]
_shape = (_int,) * 6  # C, H, W, channel stride, row stride, pixel stride


@kernel(
    types.void(_window, types.float32[:, ::1], types.boolean, types.float32[::1], *_shape), "lanes"
)
def finish_32(window, terms, past, out, C, H, W, by_c, by_y, by_x):
    """Write ``(p - mean) * factor + shift``.

    Parameters
    ----------
    window : uint32[H * W]      B, G, R, A or gray from the lowest byte on
    terms : float32[3, C]       mean, factor, shift of each output channel
    past : bool                 past the processor's caches: whoever reads the values reads memory
    out : float32[C * H * W]
    C, H, W, by_c, by_y, by_x : int
    """
    n = H * W
    for c in range(C):
        bits, mean, factor, shift = bits_of(C, c), terms[0, c], terms[1, c], terms[2, c]
        line = out[c * by_c :]
        first = last = 0
        if by_x == 1 and by_y == W:  # a cache line at a time
            first = min(n, to_line(line))
            last = first + (n - first) // VALUES * VALUES
            for x in range(first, last, VALUES):
                write_plane(past, window, line, x, bits, mean, factor, shift)
        for k in range(n - last + first):
            x = k if k < first else k - first + last
            value = (np.float32(lane(window[x], bits)) - mean) * factor + shift
            line[x // W * by_y + x % W * by_x] = value
    if past:
        fence()
