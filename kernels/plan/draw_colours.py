"""Draw jitter of brightness, contrast and saturation, shifts in HLS, and PCA noise into a plan.

Source: MXNet 1.9.1, src/io/image_aug_default.cc.
"""

from __future__ import annotations

import numpy as np

from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.plan.draw_steps import COLOURS
from gpuio.kernels.plan.random_bits import between, normal3, whole

__all__ = ["draw_colours"]

_ZERO, _ONE, _TWO, _FIVE = np.float32(0), np.float32(1), np.float32(2), np.float32(5)


@inner
def _gain(state, reach):
    """Return 1 plus a number in [-reach, reach)."""
    return np.float32(1.0 + np.float64(between(state, np.float32(-reach), reach)))


@inner
def _shift(state, reach):
    """Return a whole number in [-reach, reach], more often outward than inward."""
    first = between(state, _ZERO, _ONE)
    mixed = np.float32(first + np.float32(4) * between(state, _ZERO, _ONE))
    mixed = np.float32(mixed / _FIVE)
    span = np.float32(reach)
    return np.int32(np.float32(mixed * span * _TWO - span))


@kernel(COLOURS, "random_bits", "sizes", "settings", "layout", "draw_steps")
def draw_colours(state, settings, plan, i, axes):
    """Plan jitter, HLS and PCA.

    Parameters
    ----------
    state : uint32[STATE_WORDS]     the row's stream; advanced
    settings : SETTINGS[1]
    plan : PLAN[B]                  row `i` is filled
    axes : float32[3, 3]            colour axes of the PCA noise, rows R, G, B
    """
    s, row = settings[0], plan[i]
    if s.jitter_on:
        row.jitter = 1
        row.jitter_gain[0] = _gain(state, s.brightness)
        row.jitter_gain[1] = _gain(state, s.contrast)
        row.jitter_gain[2] = _gain(state, s.saturation)
        for i in range(3):
            row.jitter_order[i] = i
        for i in range(1, 3):
            j = whole(state, 0, np.int64(i))
            held = row.jitter_order[i]
            row.jitter_order[i] = row.jitter_order[j]
            row.jitter_order[j] = held
    if s.hls_on:
        row.hls_on = 1
        row.hls[0] = _shift(state, s.random_h)
        row.hls[2] = _shift(state, s.random_s)
        row.hls[1] = _shift(state, s.random_l)
    if s.pca_noise > _ZERO:
        row.pca_on = 1
        r, g, b = normal3(state, s.pca_noise)
        for c in range(3):
            shift = np.float32(np.float32(axes[c, 0] * r) + np.float32(axes[c, 1] * g))
            row.pca[2 - c] = np.float32(shift + np.float32(axes[c, 2] * b))
