"""Draw an affine warp into a row of a plan.

Source: MXNet 1.9.1, src/io/image_aug_default.cc.
"""

from __future__ import annotations

import math

import numpy as np

from gpuio.kernels.jit import kernel
from gpuio.kernels.plan.draw_steps import AFFINE
from gpuio.kernels.plan.layout import AREA, BILINEAR
from gpuio.kernels.plan.random_bits import between, whole
from gpuio.kernels.plan.settings import CROP_RESIZED
from gpuio.kernels.plan.sizes import grown, opencv_code

__all__ = ["draw_affine"]

_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)


@kernel(AFFINE, "random_bits", "sizes", "settings", "layout", "draw_steps")
def draw_affine(state, settings, plan, i, angles, h, w):
    """Shear, rotate, scale and stretch in one warp, stored as OpenCV inverts it.

    Parameters
    ----------
    state : uint32[STATE_WORDS]     the row's stream; advanced
    settings : SETTINGS[1]
    plan : PLAN[B]                  row `i` is filled
    i, h, w : int                   the row, and the size of its image before
    angles : int32[A]               rotate_list

    Returns
    -------
    h, w                            of the image after; (-fault, 0)
    """
    s, row = settings[0], plan[i]
    shear = np.float32(between(state, _ZERO, _ONE) * s.max_shear_ratio * _TWO - s.max_shear_ratio)
    angle = whole(state, np.int64(-s.max_rotate_angle), np.int64(s.max_rotate_angle))
    if s.rotate > 0:
        angle = np.int64(s.rotate)
    if len(angles) > 0:
        angle = np.int64(angles[whole(state, 0, len(angles) - 1)])
    cos = np.float32(math.cos(angle / 180.0 * math.pi))
    sin = np.float32(math.sin(angle / 180.0 * math.pi))
    scale, ratio = _ONE, _ONE
    if s.crop != CROP_RESIZED:
        scale = between(state, s.min_random_scale, s.max_random_scale)
        ratio = between(state, s.min_aspect_ratio, s.max_aspect_ratio)
    high = np.float32(_TWO * scale / (_ONE + ratio))
    wide = np.float32(ratio * high)
    new_w = max(s.min_img_size, min(s.max_img_size, np.float32(scale * np.float32(w))))
    new_h = max(s.min_img_size, min(s.max_img_size, np.float32(scale * np.float32(h))))
    m0 = np.float32(high * cos - np.float32(shear * sin) * wide)
    m1 = np.float32(high * sin + np.float32(shear * cos) * wide)
    m3, m4 = np.float32(-sin * wide), np.float32(cos * wide)
    m2 = np.float32((new_w - (m0 * np.float32(w) + m1 * np.float32(h))) / _TWO)
    m5 = np.float32((new_h - (m3 * np.float32(w) + m4 * np.float32(h))) / _TWO)
    out_h, out_w = np.int64(min(new_h, np.float32(1e9))), np.int64(min(new_w, np.float32(1e9)))
    inter = opencv_code(state, s.inter_method, h, w, out_h, out_w)
    row.warp_inter = BILINEAR if inter == AREA else inter  # as warpAffine takes it
    d0, d1, d2 = np.float64(m0), np.float64(m1), np.float64(m2)  # float() stays float32 here
    d3, d4, d5 = np.float64(m3), np.float64(m4), np.float64(m5)
    det = d0 * d4 - d1 * d3
    det = 1.0 / det if det != 0.0 else 0.0
    i0, i1, i3, i4 = d4 * det, d1 * -det, d3 * -det, d0 * det
    row.warp[0], row.warp[1], row.warp[2] = i0, i1, -i0 * d2 - i1 * d5
    row.warp[3], row.warp[4], row.warp[5] = i3, i4, -i3 * d2 - i4 * d5
    h, w = grown(s, out_h, out_w)
    row.warp_h, row.warp_w = max(h, 0), w
    return h, w
