"""The short way: bytes of a crop of an image, neither resized nor coloured, straight to float32.

Of wide enough images of three channels, channel by channel: faces, and small sets whole.
"""

from __future__ import annotations

from numba import types

from gpuio.kernels.cpu.lanes import VALUES, fence, write_image
from gpuio.kernels.jit import kernel

__all__ = ["image_32"]

_int = types.int64


@kernel(
    types.void(
        types.uint8[::1], _int, _int, types.boolean, types.float32[:, ::1], types.boolean,
        types.float32[::1], _int, _int,
    ),
    "lanes",
)  # fmt: skip
def image_32(image, base, pitch, mirror, terms, past, out, H, W):
    """Write what `finish_32` writes of the window that is a crop of an image.

    Parameters
    ----------
    image : uint8[n]            B G R
    base, pitch : int           first byte of the crop, and bytes from row to row
    mirror : bool
    terms : float32[3, 3 or more]
    past : bool                 as of `finish_32`
    out : float32[3 * H * W]    at the beginning of a cache line
    H, W : int                  W is a multiple of 16
    """
    for y in range(H):
        for x in range(0, W, VALUES):
            to = y * W + (W - VALUES - x if mirror else x)
            write_image(past, mirror, image, base + y * pitch + 3 * x, out, to, H * W, terms)
    if past:
        fence()
