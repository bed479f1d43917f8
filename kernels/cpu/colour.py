"""Steps on the colours of a finished window, in place, four bytes per pixel.

A pixel is one uint32, B in its lowest byte, and choices are values, not jumps: so LLVM makes loops
over many pixels at once of them.

Compiled when a plan first asks for one. Source of the arithmetic: OpenCV 3.4, modules/imgproc/src/
color.cpp (RGB2Gray, RGB2HLS_f, HLS2RGB_f) and modules/core (convertTo, addWeighted).
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.cpu.vector import wide
from gpuio.kernels.jit import inner, kernel

__all__ = ["jitter", "shift_hls", "shift_pca"]

_I = np.int32
_f = np.float32
_window = types.uint32[::1]


@intrinsic
def channel(typing, pixel, c):
    """Return byte `c` (int32) of a uint32 pixel as int32, shifted in 32 bits (Numba's are 64)."""
    signature = types.int32(types.uint32, types.int32)

    def generate(context, builder, signature, args):
        i32 = ir.IntType(32)
        return builder.and_(builder.lshr(args[0], builder.shl(args[1], i32(3))), i32(255))

    return signature, generate


@intrinsic
def pack(typing, b, g, r, a):
    """Return four int32 of 0 to 255 as a uint32 pixel."""
    signature = types.uint32(types.int32, types.int32, types.int32, types.int32)

    def generate(context, builder, signature, args):
        i32, pixel = ir.IntType(32), args[0]
        for number, value in enumerate(args[1:], 1):
            pixel = builder.or_(pixel, builder.shl(value, i32(8 * number)))
        return pixel

    return signature, generate


@inner
def _split(pixel):
    """Return B, G, R, A as int32."""
    return (
        channel(pixel, _I(0)),
        channel(pixel, _I(1)),
        channel(pixel, _I(2)),
        channel(pixel, _I(3)),
    )


@inner
def _gray(b, g, r):
    """Weigh B, G, R with the weights of R, G, B, as MXNet does; 14 bits."""
    total = _I(_I(b * _I(4899)) + _I(g * _I(9617)))
    return _I(_I(total + _I(_I(r * _I(1868)) + _I(8192))) >> _I(14))


@inner
def _byte(value):
    """Round a float32 half to even and clamp it; int32."""
    return _I(min(max(np.rint(value), _f(0)), _f(255)))


@inner
def _gray_sum(window):
    """Return the sum of the gray values."""
    total = 0
    for start in range(0, window.size, 4096):
        part = _I(0)  # 32 bits hold so many
        some = window[start : start + 4096]
        for i in range(some.size):
            b, g, r, _ = _split(some[i])
            part = _I(part + _gray(b, g, r))
        total += part
    return total


@kernel(types.void(_window, types.int64, types.int32[::1], types.float32[::1]), "vector")
def jitter(window, channels, order, gain):
    """Change brightness (0), contrast (1) and saturation (2), in the order given.

    Parameters
    ----------
    window : uint32[n]
    channels : {3, 4}           alpha takes part in brightness and contrast, as in MXNet
    order : int32[m]
    gain : float32[3]           of brightness, contrast, saturation
    """
    wide()
    n = window.size
    for step in order:
        alpha = gain[step]
        rest = _f(1) - alpha
        if step == 2:
            for i in range(n):
                b, g, r, a = _split(window[i])
                gray = _f(_gray(b, g, r)) * rest
                window[i] = pack(
                    _byte(gray + _f(b) * alpha),
                    _byte(gray + _f(g) * alpha),
                    _byte(gray + _f(r) * alpha),
                    a,
                )
            continue
        beta = _f(0)
        if step == 1:
            beta = rest * _f(_gray_sum(window) * (1.0 / n))
        for i in range(n):
            b, g, r, a = _split(window[i])
            window[i] = pack(
                _byte(_f(b) * alpha + beta),
                _byte(_f(g) * alpha + beta),
                _byte(_f(r) * alpha + beta),
                _byte(_f(a) * alpha + beta) if channels == 4 else a,
            )


@inner
def _to_hls(b, g, r):
    """Return hue (0 to 180), lightness and saturation (0 to 1) of colours from 0 to 1.

    ``2 - (high + low)`` is OpenCV's vector loop; its scalar loop, which makes the last one to three
    pixels of a row, has ``2 - high - low`` and may round a saturation that ends in .5 otherwise.
    """
    high, low = max(r, g, b), min(r, g, b)
    spread, both = high - low, high + low
    lightness = both * _f(0.5)
    colourful = spread > _f(1.1920929e-07)
    below = _f(2) - both if lightness >= _f(0.5) else both
    saturation = spread / (below if colourful else _f(1))
    turn = _f(60) / (spread if colourful else _f(1))
    if high == r:
        ahead, start = g - b, _f(0)
    elif high == g:
        ahead, start = b - r, _f(120)
    else:
        ahead, start = r - g, _f(240)
    hue = ahead * turn + start
    hue = hue + _f(360) if hue < _f(0) else hue
    hue = hue * _f(0.5) if colourful else _f(0)
    return hue, lightness, saturation if colourful else _f(0)


@inner
def _from_hls(hue, lightness, saturation):
    """Return b, g, r from 0 to 1."""
    dark = lightness * (_f(1) + saturation)
    light = lightness + saturation - lightness * saturation
    p2 = dark if lightness <= _f(0.5) else light
    p1 = _f(2) * lightness - p2
    hue *= _f(6) / _f(180)
    hue = hue - _f(6) if hue >= _f(6) else hue
    sector = _I(hue)
    hue -= _f(sector)
    falling, rising = p1 + (p2 - p1) * (_f(1) - hue), p1 + (p2 - p1) * hue
    # by sector, blue is p1, p1, rising, p2, p2, falling; green and red are two and four ahead
    b = p1 if sector < _I(2) else (falling if sector == _I(5) else p2)
    b = rising if sector == _I(2) else b
    g = p2 if sector < _I(3) else (falling if sector == _I(3) else p1)
    g = rising if sector == _I(0) else g
    r = p1 if sector == _I(2) or sector == _I(3) else (falling if sector == _I(1) else p2)
    r = rising if sector == _I(4) else r
    if saturation == _f(0):
        return lightness, lightness, lightness
    return b, g, r


@inner
def _moved(value, by, most):
    return _f(min(max(_I(value + by), _I(0)), most))


@kernel(types.void(_window, types.int32[::1]), "vector")
def shift_hls(window, shift):
    """Add to hue, lightness and saturation as bytes, clamped to 180, 255 and 255.

    Parameters
    ----------
    window : uint32[n]          B, G, R from the lowest byte on
    shift : int32[3]            of hue (2 degrees each), lightness, saturation
    """
    wide()
    unit, full = _f(1) / _f(255), _f(255)
    hue_by, light_by, satur_by = shift[0], shift[1], shift[2]
    for i in range(window.size):
        b, g, r, a = _split(window[i])
        h, l, s = _to_hls(_f(b) * unit, _f(g) * unit, _f(r) * unit)
        h = _moved(_byte(h), hue_by, _I(180))
        l = _moved(_byte(l * full), light_by, _I(255)) * unit
        s = _moved(_byte(s * full), satur_by, _I(255)) * unit
        blue, green, red = _from_hls(h, l, s)
        window[i] = pack(_byte(blue * full), _byte(green * full), _byte(red * full), a)


@kernel(types.void(_window, types.float32[::1]))
def shift_pca(window, shift):
    """Add float32[3] to B, G, R, cut towards zero and clamp; window : uint32[n]."""
    blue, green, red = shift[0], shift[1], shift[2]
    for i in range(window.size):
        b, g, r, a = _split(window[i])
        b = _I(min(max(_f(b) + blue, _f(0)), _f(255)))
        g = _I(min(max(_f(g) + green, _f(0)), _f(255)))
        r = _I(min(max(_f(r) + red, _f(0)), _f(255)))
        window[i] = pack(b, g, r, a)
