"""The last step as detection has it: ``(p - mean) / std * scale``, each rounded.

A division is another float32 than a product with the inverse. Compiled when it is first asked for.
"""

from __future__ import annotations

import numpy as np
from numba import types

from gpuio.kernels.cpu.lanes import lane
from gpuio.kernels.jit import kernel

__all__ = ["finish_ratio"]

_U = np.uint32


@kernel(
    types.void(
        types.uint32[::1],
        types.float32[:, :, ::1],
        types.boolean,
        types.float32[:, ::1],
        types.boolean,
        types.float32[::1],
        *(types.int64,) * 6,
    ),
    "lanes",
)
def finish_ratio(window, mean, wide, terms, mirror, out, C, H, W, by_c, by_y, by_x):
    """Write ``(p - mean) / std * scale``.

    Parameters
    ----------
    window : uint32[H * W]      B, G, R, A or gray from the lowest byte on
    mean : float32[C, H, W] or [C, 1, 1]
    wide : bool                 `mean` is an image, read at the place before the flip
    terms : float32[2, C]       std and scale of each output channel
    mirror : bool               the window has been flipped
    out : float32[C * H * W]
    C, H, W, by_c, by_y, by_x : int
                                sizes, and strides in elements
    """
    for y in range(H):
        source = window[y * W : (y + 1) * W]
        for c in range(C):
            bits = _U(8 * (2 - c) if C >= 3 and c < 3 else 8 * c)
            std, scale = terms[0, c], terms[1, c]
            start = c * by_c + y * by_y
            if not wide and by_x == 1:
                less, line = mean[c, 0, 0], out[start : start + W]
                for x in range(W):
                    line[x] = (np.float32(lane(source[x], bits)) - less) / std * scale
                continue
            for x in range(W):
                less = mean[c, 0, 0]
                if wide:
                    less = mean[c, y, W - 1 - x if mirror else x]
                out[start + x * by_x] = (np.float32(lane(source[x], bits)) - less) / std * scale
