"""Tap tables: which source pixels a resized pixel is made of, and with what weight.

Made on the host with NumPy. The bilinear kernel works its own out in place, with the same
arithmetic; the others take these.
Source: OpenCV, modules/imgproc/src/resize.cpp (INTER_RESIZE_COEF_BITS, interpolateCubic,
interpolateLanczos4, computeResizeAreaTab).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.kernels.plan.layout import AREA, BILINEAR, CUBIC, LANCZOS4

__all__ = ["area_taps", "fraction_weights", "rounded_values", "taps", "triangle_taps"]

_f = np.float32
_SIN45 = math.sqrt(0.5)
# sine and cosine factors of the eight taps, which lie 45 degrees apart
_TURN = np.array(
    [
        (1, 0),
        (-_SIN45, -_SIN45),
        (0, 1),
        (_SIN45, -_SIN45),
        (-1, 0),
        (_SIN45, _SIN45),
        (0, -1),
        (-_SIN45, _SIN45),
    ]
)


@functools.lru_cache(maxsize=64)
def taps(
    dst: int, src: int, method: int, *, clamp: bool
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the taps of one axis of a resize, as OpenCV's uint8 path has them.

    Parameters
    ----------
    dst, src : int                  length after and before, pixels, both >= 1
    method : {1, 2, 3, 4}           bilinear, bicubic, area (when it enlarges), Lanczos
    clamp : bool                    move bilinear taps into the image (columns) or not (rows)

    Returns
    -------
    index : int32[dst, k]           source pixels, not yet clamped to [0, src)
    weight : int32[dst, k]          fixed point, 11 bits

    Raises
    ------
    ValueError                      if `method` is not one of the four
    """
    if method not in (BILINEAR, CUBIC, AREA, LANCZOS4):
        raise ValueError(f"method {method}: expected 1, 2, 3 or 4; nearest has no taps")
    d = np.arange(dst)
    if method == AREA:
        left = np.floor(d * (1 / (dst / src))).astype(np.int32)
        fraction = ((d + 1) - (left + 1) * (dst / src)).astype(_f)
        fraction = np.where(fraction <= 0, _f(0), fraction - np.floor(fraction))
    else:
        position = ((d + 0.5) * (1 / (dst / src)) - 0.5).astype(_f)
        left = np.floor(position).astype(np.int32)
        fraction = position - left.astype(_f)
    if method in (BILINEAR, AREA) and clamp:
        outside = (left < 0) | (left >= src - 1)
        fraction = np.where(outside, _f(0), fraction)
        left = np.clip(left, 0, src - 1)
    weight = _weights(fraction, method)
    k = weight.shape[1]
    index = left[:, None] - (k // 2 - 1) + np.arange(k, dtype=np.int32)
    return index, np.rint(weight * _f(2048)).astype(np.int32)


def rounded_values(width: Any, channels: int, method: int) -> Any:
    """Return how many values of a row, from the left, are summed along y in float32.

    OpenCV's bicubic works in float32 on eight values at a time and in integers on what is left of
    a row; the other methods are integers throughout. Left to right is the order of OpenCV 3.4
    (MXNet 1.9.1); later ones add from the right, 3e-6 of values differ by 1.
    """
    return width * channels // 8 * 8 if method == CUBIC else 0


def _weights(fraction: npt.NDArray[np.float32], method: int) -> npt.NDArray[np.float32]:
    """Return float32[n, k], the weights of k taps at fractions of a pixel."""
    if method == CUBIC:
        return _cubic(fraction)
    if method == LANCZOS4:
        return _lanczos4(fraction)
    return np.stack([1 - fraction, fraction], 1)


def fraction_weights(method: int) -> npt.NDArray[np.float32]:
    """Return float32[32, k], the weights at every 1/32 of a pixel; `method` is not nearest."""
    return _weights(np.arange(32, dtype=_f) / _f(32), method)


def _cubic(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the four weights of Keys' cubic with a = -0.75; float32."""
    a, one = _f(-0.75), _f(1)
    y, z = x + one, one - x
    w0 = ((a * y - _f(5) * a) * y + _f(8) * a) * y - _f(4) * a
    w1 = ((a + _f(2)) * x - (a + _f(3))) * x * x + one
    w2 = ((a + _f(2)) * z - (a + _f(3))) * z * z + one
    return np.stack([w0, w1, w2, one - w0 - w1 - w2], 1)


def _lanczos4(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the eight weights of a Lanczos window, normalised to sum to one; float32."""
    angle = -(x + _f(3)).astype(np.float64) * math.pi * 0.25
    sine, cosine = np.sin(angle)[:, None], np.cos(angle)[:, None]
    distance = (x + _f(3))[:, None] - np.arange(8, dtype=_f)
    nowhere = np.abs(distance) < 1e-6
    y = -np.where(nowhere, _f(1), distance).astype(np.float64) * math.pi * 0.25
    weight = ((_TURN[:, 0] * sine + _TURN[:, 1] * cosine) / (y * y)).astype(_f)
    weight = np.where(nowhere, _f(1e30), weight)
    total = np.zeros(len(x), _f)
    for k in range(8):
        total += weight[:, k]
    normalised: npt.NDArray[np.float32] = weight * (_f(1) / total)[:, None]
    return normalised


@functools.lru_cache(maxsize=64)
def area_taps(
    dst: int, src: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return the source pixels that each pixel of a shrunk axis covers.

    Parameters
    ----------
    dst, src : int                  1 <= dst <= src, pixels

    Returns
    -------
    to : int32[n]                   destination pixel, ascending
    source : int32[n]               a source pixel under it, ascending
    share : float32[n]              its part of the destination pixel
    """
    scale = 1 / (dst / src)
    start = np.arange(dst) * scale
    stop, cell = start + scale, np.minimum(scale, src - start)
    last = np.minimum(np.floor(stop), src - 1)
    first = np.minimum(np.ceil(start), last)
    head, tail = first - start > 1e-3, stop - last > 1e-3  # parts of pixels at either end
    count = (head + (last - first) + tail).astype(np.int64)
    end = np.cumsum(count)
    to = np.repeat(np.arange(dst), count)
    source = (first - head)[to] + np.arange(end[-1]) - (end - count)[to]
    share = (1 / cell)[to]
    share[(end - 1)[tail]] = (np.minimum(np.minimum(stop - last, 1), cell) / cell)[tail]
    share[(end - count)[head]] = ((first - start) / cell)[head]
    return to.astype(np.int32), source.astype(np.int32), share.astype(_f)


@functools.lru_cache(maxsize=64)
def triangle_taps(
    dst: int, src: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the taps of one axis of Pillow's bilinear resize.

    The filter is a triangle of support 1 in pixels of the larger grid: it widens as the image
    shrinks, so that every source pixel takes part.

    Parameters
    ----------
    dst, src : int                  length after and before, pixels, both >= 1

    Returns
    -------
    first : int32[dst]              first source pixel of each pixel
    count : int32[dst]              how many there are, all of them inside the image
    weight : int32[dst, k]          fixed point, 22 bits, halves rounded up; zero from `count` on

    Notes
    -----
    Filtered are the rows, then the columns; each result is ``(sum + 2^21) >> 22``, a byte. Pillow
    13 takes the columns first where that is less work, and is then up to one level away. Source:
    Pillow, src/libImaging/Resample.c (precompute_coeffs, normalize_coeffs_8bpc).
    """
    scale = src / dst
    support = max(scale, 1.0)
    centre = (np.arange(dst) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    stop = np.minimum((centre + support + 0.5).astype(np.int64), src)
    count = stop - first
    tap = np.arange(count.max())
    distance = np.abs((tap + first[:, None] - centre[:, None] + 0.5) * (1.0 / support))
    weight = np.where((distance < 1) & (tap < count[:, None]), 1 - distance, 0.0)
    total = np.zeros(dst)
    for k in tap:  # from the first to the last, as it rounds
        total += weight[:, k]
    share = weight / np.where(total == 0, 1, total)[:, None]
    fixed = (0.5 + share * (1 << 22)).astype(np.int32)
    return first.astype(np.int32), count.astype(np.int32), fixed
