"""A window sharpened or smoothed. Compiled when a plan first asks for it.

Source of the arithmetic: Pillow, ImageFilter.SMOOTH and Image.blend.
"""

from __future__ import annotations

import numpy as np
from numba import types

from gpuio.kernels.jit import kernel

__all__ = ["sharpen"]

_I = np.int32
_f = np.float32


@kernel(types.void(types.uint8[:, :, ::1], types.float32, types.uint8[:, :, ::1]))
def sharpen(window, factor, out):
    """Blend a window with its smoothed self: 0 is smoothed, 1 the same, more is sharpened.

    Parameters
    ----------
    window : uint8[height, width, 4]
    factor : float
    out : uint8[height, width, 4]   a copy of `window`; of all but its outermost pixels B, G and R
                                    are written
    """
    height, width = window.shape[:2]
    source, made = window.reshape(height, 4 * width), out.reshape(height, 4 * width)
    for y in range(1, height - 1):
        above, here, below, to = source[y - 1], source[y], source[y + 1], made[y]
        for i in range(4, 4 * width - 4):
            total = _I(above[i - 4]) + _I(above[i]) + _I(above[i + 4])
            total += _I(here[i - 4]) + _I(5) * _I(here[i]) + _I(here[i + 4])
            total += _I(below[i - 4]) + _I(below[i]) + _I(below[i + 4])
            # (2 * total + 13) // 26, a thirteenth rounded: the same for every sum of 13 bytes
            smooth = _I(_I(_I(_I(2) * _I(total) + _I(13)) * _I(40330)) >> _I(20))
            value = _f(smooth) + factor * _f(_I(_I(here[i]) - smooth))
            value = min(max(value, _f(0)), _f(255))
            to[i] = to[i] if i & 3 == 3 else np.uint8(_I(value))
