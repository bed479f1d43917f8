"""The last step: bytes of a window to values of a batch, one function a width of the output.

float32 and 8-bit values are computed, not looked up: a subtraction, a product and a sum in float32,
each rounded, vectorise where a gather of 256 entries does not. They equal
`gpuio.kernels.tables.normalisation` bit for bit.

Every function takes the output flat with the strides of a channel, a row and a pixel in elements,
so that NCHW and NHWC are one function.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

from gpuio.kernels.jit import kernel
from gpuio.kernels.lanes import lane

__all__ = ["finish_8", "finish_16", "finish_32", "finish_centred"]

_int = types.int64
_window = types.uint32[::1]
_shape = (_int,) * 6  # C, H, W, channel stride, row stride, pixel stride


@numba.njit
def _bits(channels, c):
    """Return where an output channel (R, G, B, A or gray) stands in a window's pixel, in bits."""
    return np.uint32(8 * (2 - c) if channels >= 3 and c < 3 else 8 * c)


@kernel(types.void(_window, types.float32[:, ::1], types.float32[::1], *_shape))
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
        for c in range(C):
            bits, mean, factor, shift = _bits(C, c), terms[0, c], terms[1, c], terms[2, c]
            start = c * by_c + y * by_y
            if by_x == 1:
                line = out[start : start + W]
                for x in range(W):
                    line[x] = (np.float32(lane(source[x], bits)) - mean) * factor + shift
            else:
                for x in range(W):
                    p = np.float32(lane(source[x], bits))
                    out[start + x * by_x] = (p - mean) * factor + shift


@kernel(types.void(_window, types.uint16[:, ::1], types.uint16[::1], *_shape))
def finish_16(window, table, out, C, H, W, by_c, by_y, by_x):
    """Write ``table[c, p]`` (uint16[C, 256], bit patterns of float16 or bfloat16)."""
    for y in range(H):
        source = window[y * W : (y + 1) * W]
        for c in range(C):
            bits, entries = _bits(C, c), table[c]
            start = c * by_c + y * by_y
            for x in range(W):
                out[start + x * by_x] = entries[np.uint32(lane(source[x], bits))]


@kernel(types.void(_window, types.int32[::1], _int, _int, types.uint8[::1], *_shape))
def finish_8(window, mean, low, high, out, C, H, W, by_c, by_y, by_x):
    """Write ``clamp(p - mean, low, high)``, all whole numbers, as the byte of an int8 or uint8."""
    low, high = np.int32(low), np.int32(high)
    for y in range(H):
        source = window[y * W : (y + 1) * W]
        for c in range(C):
            bits, less = _bits(C, c), mean[c]
            start = c * by_c + y * by_y
            if by_x == 1:
                line = out[start : start + W]
                for x in range(W):
                    p = np.int32(lane(source[x], bits) - less)
                    line[x] = np.uint8(min(max(p, low), high))
            else:
                for x in range(W):
                    p = np.int32(lane(source[x], bits) - less)
                    out[start + x * by_x] = np.uint8(min(max(p, low), high))


@kernel(
    types.void(
        _window,
        types.float32[:, :, ::1],
        types.float32[:, ::1],
        types.boolean,
        types.float32[::1],
        *_shape,
    )
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
            bits, factor, shift = _bits(C, c), terms[1, c], terms[2, c]
            start = c * by_c + y * by_y
            for x in range(W):
                p = np.float32(lane(source[x], bits))
                less = mean[c, y, W - 1 - x if mirror else x]
                out[start + x * by_x] = (p - less) * factor + shift
