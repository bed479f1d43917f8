"""Decode images, or what is read of them, each to an address of its own, without the GIL.

The decoder is called by address: this is compiled once, whatever library decodes.
"""

from __future__ import annotations

import numba
from numba import types

from gpuio.kernels.cpu.share import DECODE, HEADERS, plain_sampling, region, rows_decoded
from gpuio.kernels.image_region import REGION
from gpuio.kernels.jit import kernel
from gpuio.kernels.plan.layout import PLAN
from gpuio.kernels.pointers import caller, view

__all__ = ["decode_images", "find_regions"]

_int, _ints = types.int64, types.int64[::1]
_regions = numba.from_dtype(REGION)[::1]
_decode, _bytes_at = caller(DECODE), view(types.uint8)


@kernel(
    types.void(numba.from_dtype(PLAN)[::1], _ints, _ints, HEADERS, _ints, _int, _int, _regions),
    "../pointers",
    "share",
)
def find_regions(rows, blobs, lengths, headers, scales, height, width, regions):
    """Find what the plans of images read of them, and which rows a decoder writes for it.

    Parameters
    ----------
    rows : PLAN[n]
    blobs, lengths, headers, scales
                                as of `decode_images`
    height, width : int         of the output
    regions : REGION[n]         receives the regions
    """
    for i in range(rows.size):
        header, tall = headers[i], _int(rows[i].src_h)
        top, stop, left, right = region(rows[i], height, width)
        sampling = plain_sampling(header)
        first, last = _int(0), tall
        if sampling != 0 and lengths[i] >= 4:
            first, last = rows_decoded(
                _bytes_at(blobs[i], lengths[i]), sampling, _int(header.shortens), top, stop,
                scales[i], _int(header.height), tall,
            )  # fmt: skip
        found = regions[i]
        found.top, found.stop, found.left, found.right = top, stop, left, right
        found.first, found.last = first, last


@kernel(
    types.void(
        *(_int, _int, _int, _ints, _ints, HEADERS, _ints),
        *(_ints, _ints, _regions, _ints, types.uint8[::1]),
    ),
    "../pointers",
    "share",
)
def decode_images(
    function, handle, channels, blobs, lengths, headers, scales, heights, widths, regions, places,
    left,
):  # fmt: skip
    """Decode what is read of images.

    Parameters
    ----------
    function : int              address of a DECODE
    handle : int                of this thread's decoder
    channels : {1, 3}           gray, or B G R
    blobs : int64[n]            addresses of the encoded images
    lengths : int64[n]          bytes of each
    headers : HEADER[n]         what they say of themselves
    scales : int64[n]           each is decoded at 1 / scale: 1, 2, 4, 8
    heights, widths : int64[n]  sizes that there is room for: an image of another size is left
    regions : REGION[n]         from `find_regions`
    places : int64[n]           where uint8[last - first, width, channels] begins; what is not read
                                of these rows receives anything
    left : uint8[n]             receives 0 where an image was decoded; else its place holds
                                anything, and WARNED says that the decoder warns of its data
    """
    for i in range(blobs.size):
        header, height, width, read = headers[i], heights[i], widths[i], regions[i]
        code = _decode(
            function,
            (
                handle, blobs[i], lengths[i], height, width, channels, plain_sampling(header),
                _int(header.shortens), read.top, read.stop, read.left, read.right, scales[i],
                places[i] - read.first * width * channels,
            ),
        )  # fmt: skip
        left[i] = code
