"""The affine warp, as OpenCV 3.4 makes it: coordinates in 1/32 pixel, weights in 15 bits.

Compiled when a plan first asks for one. Source: OpenCV 3.4, modules/imgproc/src/imgwarp.cpp
(WarpAffineInvoker, initInterTab2D, remapBilinear, remapBicubic, remapLanczos4).
"""

from __future__ import annotations

import functools

import numpy as np
from numba import types

from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.layout import AREA, CUBIC, LANCZOS4, NEAREST
from gpuio.kernels.taps import fraction_weights

__all__ = ["warp", "warp_weights"]

_I = np.int32
_int = types.int64
_bytes = types.uint8[::1]


@functools.cache
def warp_weights(method):
    """Return the weights of every fraction of a pixel.

    Parameters
    ----------
    method : {0, 1, 2, 3, 4}    area is bilinear here

    Returns
    -------
    int16[1024, k * k]          at fraction ``32 * y + x`` (1/32 pixel); a row sums to 32768, but
                                that a lone weight of 1 is 32767; empty rows for nearest
    """
    if method == NEAREST:
        return np.zeros((1024, 0), np.int16)
    line = fraction_weights(1 if method == AREA else method)
    k = line.shape[1]
    product = line[:, None, :, None] * line[None, :, None, :]  # y, x, row, column
    weight = np.clip(np.rint(product * np.float32(32768)), -32768, 32767).astype(np.int32)
    weight = weight.reshape(1024, k, k)
    if method in (CUBIC, LANCZOS4):
        _balance(weight, k // 2)
    return np.ascontiguousarray(weight.reshape(1024, k * k).astype(np.int16))


def _balance(weight, middle):
    """Make each table sum to 32768 by its largest or smallest weight of the four after `middle`."""
    for table in weight:
        excess = int(table.sum()) - 32768
        if excess == 0:
            continue
        low = high = (middle, middle)
        for row in (middle, middle + 1):
            for column in (middle, middle + 1):
                if table[row, column] < table[low]:
                    low = row, column
                elif table[row, column] > table[high]:
                    high = row, column
        table[high if excess < 0 else low] -= excess


@inner
def _short(value):
    return min(max(value, -32768), 32767)


@kernel(
    types.void(
        _bytes, _int, _int, _int, types.float64[::1], types.int16[:, ::1], _int, _int, _int, _int,
        types.boolean, _int, _int, _bytes,
    )
)  # fmt: skip
def warp(pixels, channels, src_h, src_w, matrix, weight, k, fill, y0, x0, mirror, h, w, out):
    """Make a window of a warped image.

    Parameters
    ----------
    pixels : uint8[src_h * src_w * channels]
    matrix : float64[6]         destination to source
    weight : int16[1024, k * k]
    k : {1, 2, 4, 8}            taps along an axis; 1 is nearest
    fill : int                  value of taps outside the image, in B, G, R or gray; alpha is 0
    y0, x0 : int                the window's corner in the warped image
    mirror : bool               flip the window
    h, w : int                  of the window
    out : uint8[h * w * 4]
    """
    out[:] = 0
    half = 512 if k == 1 else 16
    before = k // 2 - 1 if k > 1 else 0
    for y in range(h):
        dy = float(y0 + y)
        row_x = np.int64(np.rint((matrix[1] * dy + matrix[2]) * 1024.0)) + half
        row_y = np.int64(np.rint((matrix[4] * dy + matrix[5]) * 1024.0)) + half
        for x in range(w):
            dx = float(x0 + (w - 1 - x if mirror else x))
            X = row_x + np.int64(np.rint(matrix[0] * dx * 1024.0))
            Y = row_y + np.int64(np.rint(matrix[3] * dx * 1024.0))
            left, top = _short(X >> 10) - before, _short(Y >> 10) - before
            entry = weight[((Y >> 5) & 31) * 32 + ((X >> 5) & 31)]
            whole = left >= 0 and top >= 0 and left + k <= src_w and top + k <= src_h
            to = 4 * (w * y + x)
            if whole and k == 2:
                upper = channels * (top * src_w + left)
                lower = upper + channels * src_w
                w0, w1, w2, w3 = _I(entry[0]), _I(entry[1]), _I(entry[2]), _I(entry[3])
                for c in range(channels):
                    total = _I(_I(pixels[upper + c]) * w0 + _I(pixels[upper + channels + c]) * w1)
                    total = _I(total + _I(_I(pixels[lower + c]) * w2))
                    total = _I(total + _I(_I(pixels[lower + channels + c]) * w3))
                    out[to + c] = _I(total + _I(1 << 14)) >> _I(15)
                continue
            for c in range(channels):
                outside = 0 if c == 3 else fill
                total = _I(1 << 14)
                for v in range(k):
                    for u in range(k):
                        value = _I(outside)
                        if whole or (0 <= left + u < src_w and 0 <= top + v < src_h):
                            value = _I(pixels[channels * ((top + v) * src_w + left + u) + c])
                        if k == 1:
                            out[to + c] = value
                        else:
                            total = _I(total + _I(value * _I(entry[v * k + u])))
                if k > 1:
                    out[to + c] = min(max(total >> _I(15), _I(0)), _I(255))
