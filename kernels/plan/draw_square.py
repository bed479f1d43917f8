"""Draw a square window of random size into a row of a plan.

Source: MXNet 1.9.1, src/io/image_aug_default.cc.
"""

from __future__ import annotations

import numpy as np

from gpuio.kernels.jit import kernel
from gpuio.kernels.plan.draw_steps import CROP
from gpuio.kernels.plan.random_bits import whole
from gpuio.kernels.plan.settings import TOO_SMALL
from gpuio.kernels.plan.sizes import interpolation, window

__all__ = ["draw_square"]


@kernel(CROP, "random_bits", "sizes", "settings", "layout", "draw_steps")
def draw_square(state, settings, plan, i, h, w):
    """Take a square of random size.

    Parameters
    ----------
    state : uint32[STATE_WORDS]     the row's stream; advanced
    settings : SETTINGS[1]
    plan : PLAN[B]                  row `i` is filled
    i, h, w : int                   the row, and the size of its image

    Returns
    -------
    side, side                      of the window; (-fault, 0)
    """
    s, row = settings[0], plan[i]
    if h < s.max_crop_size or w < s.max_crop_size:
        return -TOO_SMALL, 0
    side = whole(state, np.int64(s.min_crop_size), np.int64(s.max_crop_size))
    y, x = h - side, w - side
    if s.rand_crop:
        y = whole(state, 0, np.int64(y))
        x = whole(state, 0, np.int64(x))
    else:
        y, x = y // 2, x // 2
    inter = interpolation(state, s, side, side, s.height, s.width)
    window(row, inter, y, x, side, side)
    return side, side
