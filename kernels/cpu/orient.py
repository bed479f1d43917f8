"""Moving pixels without touching them: EXIF orientation and a border."""

from __future__ import annotations

from numba import types

from gpuio.kernels.jit import kernel

__all__ = ["border", "orient"]

_int = types.int64
_bytes = types.uint8[::1]


@kernel(types.void(_bytes, _int, _int, _int, _int, _bytes))
def orient(pixels, channels, src_h, src_w, orientation, out):
    """Turn and flip an image upright.

    Parameters
    ----------
    pixels : uint8[src_h * src_w * channels]
    orientation : int           EXIF's 2 to 8; 5 to 8 swap height and width
    out : uint8[src_h * src_w * 4]
                                four bytes per pixel
    """
    swap = orientation >= 5
    h, w = (src_w, src_h) if swap else (src_h, src_w)
    flip_y = orientation in (3, 4, 7, 8)  # the source row counts from below
    flip_x = orientation in (2, 3, 6, 7)
    for y in range(h):
        for x in range(w):
            v, u = y, x
            if swap:
                v, u = (w - 1 - x if flip_x else x), (h - 1 - y if flip_y else y)
            else:
                v, u = (h - 1 - y if flip_y else y), (w - 1 - x if flip_x else x)
            for c in range(4):
                out[4 * (w * y + x) + c] = (
                    pixels[channels * (src_w * v + u) + c] if c < channels else 0
                )


@kernel(types.void(_bytes, _int, _int, _int, _int, _int, _int, _bytes))
def border(pixels, channels, src_h, src_w, pad, fill, lanes, out):
    """Put a border of `pad` pixels round an image.

    Parameters
    ----------
    pixels : uint8[src_h * src_w * channels]
    fill : int                  0 to 255; the border's alpha is 0
    lanes : int                 how many channels of the border are filled, 1 or 3
    out : uint8[(src_h + 2 pad) * (src_w + 2 pad) * 4]
    """
    h, w = src_h + 2 * pad, src_w + 2 * pad
    for y in range(h):
        for x in range(w):
            v, u = y - pad, x - pad
            inside = 0 <= v < src_h and 0 <= u < src_w
            for c in range(4):
                value = fill if c < lanes else 0
                if inside:
                    value = pixels[channels * (src_w * v + u) + c] if c < channels else 0
                out[4 * (w * y + x) + c] = value
