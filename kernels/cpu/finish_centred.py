"""The last step with a mean image."""

from __future__ import annotations

import numpy as np
from numba import types

from gpuio.kernels.cpu.lanes import bits_of, lane
from gpuio.kernels.jit import kernel

__all__ = ["finish_centred"]

_int = types.int64
_window = types.uint32[::1]
_shape = (_int,) * 6  # C, H, W, channel stride, row stride, pixel stride


@kernel(
    types.void(
        _window,
        types.float32[:, :, ::1],
        types.float32[:, ::1],
        types.boolean,
        types.float32[::1],
        *_shape,
    ),
    "lanes",
)
def finish_centred(window, mean, terms, mirror, out, C, H, W, by_c, by_y, by_x):
    """Write ``(p - mean[c, y, x]) * factor + shift``, x being the place before the flip.

    Parameters
    ----------
    mean : float32[C, H, W]     the mean image; row 0 of `terms` is not read
    mirror : bool               the window has been flipped
    window, terms, out, C, H, W, by_c, by_y, by_x : as in `finish_32`
    """
    for y in range(H):
        source = window[y * W : (y + 1) * W]
        for c in range(C):
            bits, factor, shift = bits_of(C, c), terms[1, c], terms[2, c]
            start = c * by_c + y * by_y
            for x in range(W):
                p = np.float32(lane(source[x], bits))
                less = mean[c, y, W - 1 - x if mirror else x]
                out[start + x * by_x] = (p - less) * factor + shift
