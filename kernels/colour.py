"""Steps on the colours of a finished window, in place, four bytes a pixel.

Compiled when a plan first asks for one. Source of the arithmetic: OpenCV 3.4, modules/imgproc/src/
color.cpp (RGB2Gray, RGB2HLS_f, HLS2RGB_f) and modules/core (convertTo, addWeighted).
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from gpuio.kernels.jit import inner, kernel

__all__ = ["jitter", "shift_hls", "shift_pca"]

_I = np.int32
_f = np.float32
_pixels = types.uint8[:, ::1]


@inner
def _gray(p):
    """Weigh B, G, R with the weights of R, G, B, as MXNet does; 14 bits."""
    return _I(4899 * _I(p[0]) + 9617 * _I(p[1]) + 1868 * _I(p[2]) + 8192) >> _I(14)


@inner
def _byte(value):
    """Round a float32 half to even and clamp it."""
    return np.uint8(min(max(np.rint(value), _f(0)), _f(255)))


@kernel(types.void(_pixels, types.int64, types.int32[::1], types.float32[::1]))
def jitter(pixels, channels, order, gain):
    """Change brightness (0), contrast (1) and saturation (2), in the order given.

    Parameters
    ----------
    pixels : uint8[n, 4]
    channels : {3, 4}           alpha takes part in brightness and contrast, as in MXNet
    order : int32[3]
    gain : float32[3]           of brightness, contrast, saturation
    """
    n = len(pixels)
    for step in order:
        alpha = gain[step]
        beta = _f(0)
        if step == 1:
            total = 0
            for i in range(n):
                total += _gray(pixels[i])
            beta = (_f(1) - alpha) * _f(total * (1.0 / n))
        rest = _f(1) - alpha
        for i in range(n):
            p = pixels[i]
            if step == 2:
                gray = _f(_gray(p)) * rest
                for c in range(3):
                    p[c] = _byte(gray + _f(p[c]) * alpha)
            else:
                for c in range(channels):
                    p[c] = _byte(_f(p[c]) * alpha + beta)


@inner
def _to_hls(b, g, r):
    """Return hue (0 to 180), lightness and saturation (0 to 1) of colours from 0 to 1.

    ``2 - (high + low)`` is OpenCV's vector loop; its scalar loop, which makes the last one to three
    pixels of a row, has ``2 - high - low`` and may round a saturation that ends in .5 otherwise.
    """
    high, low = max(r, g, b), min(r, g, b)
    spread = high - low
    lightness = (high + low) * _f(0.5)
    hue, saturation = _f(0), _f(0)
    if spread > _f(1.1920929e-07):
        bright = lightness >= _f(0.5)
        saturation = spread / (_f(2) - (high + low) if bright else high + low)
        spread = _f(60) / spread
        if high == r:
            hue = (g - b) * spread
        elif high == g:
            hue = (b - r) * spread + _f(120)
        else:
            hue = (r - g) * spread + _f(240)
        if hue < _f(0):
            hue += _f(360)
    return hue * _f(0.5), lightness, saturation


@inner
def _from_hls(hue, lightness, saturation):
    """Return b, g, r from 0 to 1."""
    if saturation == _f(0):
        return lightness, lightness, lightness
    if lightness <= _f(0.5):
        p2 = lightness * (_f(1) + saturation)
    else:
        p2 = lightness + saturation - lightness * saturation
    p1 = _f(2) * lightness - p2
    hue *= _f(6) / _f(180)
    if hue >= _f(6):
        hue -= _f(6)
    sector = _I(math.floor(hue))
    hue -= _f(sector)
    falling, rising = p1 + (p2 - p1) * (_f(1) - hue), p1 + (p2 - p1) * hue
    if sector == 0:
        return p1, rising, p2
    if sector == 1:
        return p1, p2, falling
    if sector == 2:
        return rising, p2, p1
    if sector == 3:
        return p2, falling, p1
    if sector == 4:
        return p2, p1, rising
    return falling, p1, p2


@kernel(types.void(_pixels, types.int32[::1]))
def shift_hls(pixels, shift):
    """Add to hue, lightness and saturation as bytes, clamped to 180, 255 and 255.

    Parameters
    ----------
    pixels : uint8[n, 4]        B, G, R
    shift : int32[3]            of hue (2 degrees each), lightness, saturation
    """
    unit = _f(1) / _f(255)
    for i in range(len(pixels)):
        p = pixels[i]
        h, l, s = _to_hls(_f(p[0]) * unit, _f(p[1]) * unit, _f(p[2]) * unit)
        hue = min(max(_I(_I(_byte(h)) + shift[0]), _I(0)), _I(180))
        light = min(max(_I(_I(_byte(l * _f(255))) + shift[1]), _I(0)), _I(255))
        satur = min(max(_I(_I(_byte(s * _f(255))) + shift[2]), _I(0)), _I(255))
        b, g, r = _from_hls(_f(hue), _f(light) * unit, _f(satur) * unit)
        p[0], p[1], p[2] = _byte(b * _f(255)), _byte(g * _f(255)), _byte(r * _f(255))


@kernel(types.void(_pixels, types.float32[::1]))
def shift_pca(pixels, shift):
    """Add float32[3] to B, G, R, cut towards zero and clamp; pixels : uint8[n, 4]."""
    for i in range(len(pixels)):
        p = pixels[i]
        for c in range(3):
            moved = min(max(_f(p[c]) + shift[c], _f(0)), _f(255))
            p[c] = np.uint8(moved)
