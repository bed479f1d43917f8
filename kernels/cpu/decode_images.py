"""Decode whole images, each to an address of its own, in one call without the GIL.

The decoder is called by address: this is compiled once, whatever library decodes.
"""

from __future__ import annotations

from numba import types

from gpuio.kernels.cpu.share import DECODE, HEADERS, plain_sampling
from gpuio.kernels.jit import kernel
from gpuio.kernels.pointers import caller

__all__ = ["decode_images"]

_int, _ints = types.int64, types.int64[::1]
_decode = caller(DECODE)


@kernel(
    types.void(
        _int, _int, _int, _ints, _ints, HEADERS, _ints, _ints, _ints, _ints, types.uint8[::1]
    ),
    "../pointers",
    "share",
)
def decode_images(
    function, handle, channels, blobs, lengths, headers, scales, heights, widths, places, left
):
    """Decode whole images.

    Parameters
    ----------
    function : int              address of a DECODE
    handle : int                of this thread's decoder
    channels : {1, 3}           gray, or B G R
    blobs : int64[n]            addresses of the encoded images
    lengths : int64[n]          bytes of each
    headers : HEADER[n]         what they say of themselves
    scales : int64[n]           each is decoded at 1 / scale: 1, 2, 4, 8
    heights, widths : int64[n]  what there is room for: an image of another size is left
    places : int64[n]           addresses of uint8[height, width, channels]
    left : uint8[n]             receives 0 where an image was decoded; else its place holds
                                anything, and WARNED says that the decoder warns of its data
    """
    for i in range(blobs.size):
        header, height, width = headers[i], heights[i], widths[i]
        code = _decode(
            function,
            (
                handle, blobs[i], lengths[i], height, width, channels,
                plain_sampling(header), _int(0), _int(0), _int(0), _int(0), width, scales[i],
                places[i],
            ),
        )  # fmt: skip
        left[i] = code
