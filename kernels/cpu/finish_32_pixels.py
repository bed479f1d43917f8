"""The last step: bytes of a window to float32, pixel by pixel."""

# ruff: noqa: ARG001 -- strides are those of pixels, side by side

from __future__ import annotations

import numpy as np
from numba import types

from gpuio.kernels.cpu.lanes import VALUES, bits_of, fence, lane, to_line, write_pixels
from gpuio.kernels.jit import kernel

__all__ = ["finish_32_pixels"]

_int = types.int64
_window = types.uint32[::1]
_shape = (_int,) * 6  # C, H, W, channel stride, row stride, pixel stride


@kernel(
    types.void(_window, types.float32[:, ::1], types.boolean, types.float32[::1], *_shape), "lanes"
)
def finish_32_pixels(window, terms, past, out, C, H, W, by_c, by_y, by_x):
    """Write what `finish_32` does for strides 1, C * W and C: of three channels much sooner."""
    n = H * W
    first = last = 0
    if C == 3:  # three cache lines at a time
        first = min(n, 11 * to_line(out) % VALUES)  # 11 * 3 is 1 in 16: one begins at that pixel
        last = first + (n - first) // VALUES * VALUES
        for x in range(first, last, VALUES):
            write_pixels(past, window, out, x, terms)
    for k in range(n - last + first):
        x = k if k < first else k - first + last
        for c in range(C):
            value = np.float32(lane(window[x], bits_of(C, c)))
            out[C * x + c] = (value - terms[0, c]) * terms[1, c] + terms[2, c]
    if past:
        fence()
