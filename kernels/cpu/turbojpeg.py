"""Decode a region of a JPEG with TurboJPEG, at its place in memory of the whole image's size.

It can be imported only after the library's functions were registered with LLVM, which
gpuio.decode.turbojpeg does: code that was loaded without them jumps to nowhere. So nothing else is
in this file, and a cache of compiled code that was filled with the library is of use without it.

What is not a plain JPEG is refused: OpenCV has the last word on it.

Invariant: what becomes of an image does not depend on the images that its thread decoded before.
"""

from __future__ import annotations

import llvmlite.binding
import numpy as np
from numba import types

from gpuio.kernels.cpu.share import DECODE, MARGIN, WARNED, rows_decoded
from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.pointers import view

__all__ = ["DECODED", "REFUSED", "decode"]

DECODED, REFUSED = 0, 1  # and WARNED

_WIDTH, _HEIGHT, _COLOURS, _PROGRESSIVE = 5, 6, 8, 12  # TJPARAM_*
_YCBCR_OR_LESS = 2  # TJCS_RGB 0, TJCS_YCbCr 1, TJCS_GRAY 2; CMYK and YCCK are 3 and 4
_BGR, _GRAY = 1, 6  # TJPF_*
_WARNING = 0  # TJERR_WARNING

if llvmlite.binding.address_of_symbol("gpuio_tj3Decompress8") is None:
    raise ImportError("TurboJPEG's functions are not registered: gpuio.decode.turbojpeg does it")

_i32, _i64, _u64 = types.int32, types.intp, types.uint64
_header = types.ExternalFunction("gpuio_tj3DecompressHeader", _i32(_i64, _i64, _u64))
# structs by value: tjscalingfactor, two ints, is a 64-bit register, tjregion, four of them, is two
_set_scale = types.ExternalFunction("gpuio_tj3SetScalingFactor", _i32(_i64, _u64))
_set_region = types.ExternalFunction("gpuio_tj3SetCroppingRegion", _i32(_i64, _u64, _u64))
_decompress = types.ExternalFunction(
    "gpuio_tj3Decompress8", _i32(_i64, _i64, _u64, _i64, _i32, _i32)
)
_get = types.ExternalFunction("gpuio_tj3Get", _i32(_i64, _i32))
_error_code = types.ExternalFunction("gpuio_tj3GetErrorCode", _i32(_i64))

_bytes_at = view(types.uint8)


@inner
def _pair(low, high):
    """Return two 32-bit numbers in one register."""
    return np.uint64(low) | (np.uint64(high) << np.uint64(32))


@inner
def _refused(handle):
    """Say why the library's last call failed: WARNED, or REFUSED for all else."""
    return WARNED if _error_code(handle) == _WARNING else REFUSED


@inner
def _headers(blob, height, width):
    """Return how well a JPEG's headers can be trusted, as the library will walk through them.

    A decompressor keeps the tables of the image before; one of its own would not have them. Where
    this walk goes from segment to segment to the scan, the library's does, or it fails.

    Returns
    -------
    int     0: not all tables that its one scan uses are there; 1: they are; 2: and its one frame
            header is that of a plain image of height x width: it need not be read before decoding
    """
    at, end = 2, blob.size
    have_q, have_h, need_q = 0, 0, 0
    frames, plain = 0, True
    while at + 4 <= end:
        marker = blob[at + 1]
        if blob[at] != 0xFF or marker == 0 or marker == 0xD8 or marker == 0xD9:
            return 0
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # no length
            at += 2
            continue
        p, stop = at + 4, at + 2 + (np.int64(blob[at + 2]) << 8) + blob[at + 3]
        if stop < p or stop > end:
            return 0
        if marker == 0xDB:
            while p < stop:
                have_q |= 1 << (blob[p] & 15)
                p += 129 if blob[p] > 15 else 65
        elif marker == 0xC4:
            while p + 17 <= stop:
                have_h |= 1 << (blob[p] & 31)
                count = np.int64(17)
                for k in range(1, 17):
                    count += blob[p + k]
                p += count
        elif marker == 0xC0 or marker == 0xC1:
            frames += 1
            plain = plain and stop - at >= 10 and blob[at + 4] == 8
            plain = plain and (blob[at + 9] == 1 or blob[at + 9] == 3)
            plain = plain and (np.int64(blob[at + 5]) << 8 | blob[at + 6]) == height
            plain = plain and (np.int64(blob[at + 7]) << 8 | blob[at + 8]) == width
            for place in range(at + 12, stop, 3):
                need_q |= 1 << (blob[place] & 15)
        elif marker == 0xDA:
            need_h = 0
            for k in range(blob[p]):
                place = p + 2 + 2 * k
                if place >= stop:
                    return 0
                need_h |= 1 << (blob[place] >> 4) | 1 << (16 + (blob[place] & 15))
            if need_q & ~have_q != 0 or need_h & ~have_h != 0:
                return 0
            return 2 if plain and frames == 1 else 1
        at = stop
    return 0


@kernel(DECODE, "../pointers", "share")
def decode(
    handle,
    address,
    length,
    height,
    width,
    channels,
    sampling,
    early,
    top,
    stop,
    left,
    right,
    scale,
    pixels,
):
    """Decode what a window reads, at 1 / scale of the image's size.

    Parameters
    ----------
    handle : int            of this thread's decompressor
    address, length : int   of the encoded image
    height, width : int     what its header says, at 1 / scale, parts of a pixel rounded up
    channels : {1, 3}       gray, or B G R
    sampling : int          factors of its components, as HEADER has them; 0: it is not a sequential
                            JPEG of 8 bits, one or three components and one scan
    early : int             not 0: decoding may stop early (HEADER's `shortens`)
    top, stop : int         rows needed, [top, stop); stop 0: all from `top` on, and what is behind
                            them is looked at
    left, right : int       columns needed, [left, right)
    scale : {1, 2, 4, 8}    rows and columns are those of the result
    pixels : int            address of uint8[height, width, channels]; a little more than what is
                            needed is written, nothing else

    Returns
    -------
    int                     DECODED; WARNED: libjpeg warns of the image's data, which OpenCV decodes
                            all the same; REFUSED
    """
    if sampling == 0 or length < 4 or (channels != 1 and channels != 3):
        return REFUSED
    wide = 1
    for c in range(4):
        wide = max(wide, (sampling >> (8 * c + 4)) & 15)
    blob = _bytes_at(address, length)
    trusted = _headers(blob, height, width)
    if trusted == 0:
        return REFUSED
    size = np.uint64(length)
    y, bottom = np.int64(0), height
    if scale == 1:
        y, bottom = rows_decoded(blob, sampling, early, top, stop, scale, height, height)
    whole = y == 0 and bottom == height and left <= MARGIN and right + MARGIN >= width
    if whole and scale == 1 and trusted == 2:
        # all of an image needs no header beforehand: a small one costs a tenth less. A region does
        # (turbojpeg.h, tj3SetCroppingRegion: "unless it is TJUNCROPPED")
        if _set_scale(handle, _pair(1, 1)) != 0:
            return REFUSED
        if _set_region(handle, np.uint64(0), np.uint64(0)) != 0:
            return REFUSED
        kind = np.int32(_BGR if channels == 3 else _GRAY)
        if _decompress(handle, address, size, pixels, np.int32(width * channels), kind) != 0:
            return _refused(handle)
        return DECODED
    if _header(handle, address, size) != 0:
        code = _refused(handle)
        # the library would go on where it stopped, with the next image as well; a call that it
        # refuses for its arguments (no image, no memory) ends that and touches nothing
        _decompress(handle, _i64(0), np.uint64(0), _i64(0), np.int32(0), np.int32(_GRAY))
        return code
    full = np.int64(_get(handle, np.int32(_HEIGHT)))
    if (full + scale - 1) // scale != height:
        return REFUSED
    if (np.int64(_get(handle, np.int32(_WIDTH))) + scale - 1) // scale != width:
        return REFUSED
    colours = _get(handle, np.int32(_COLOURS))
    if colours < 0 or colours > _YCBCR_OR_LESS or _get(handle, np.int32(_PROGRESSIVE)) != 0:
        return REFUSED
    y, bottom = rows_decoded(blob, sampling, early, top, stop, scale, full, height)
    unit = (8 if sampling < 0x100 else 8 * wide) // scale
    x = max(0, left - MARGIN) // unit * unit
    w = min(width, right + MARGIN) - x
    if _set_scale(handle, _pair(1, scale)) != 0:
        return REFUSED
    if y == 0 and x == 0 and w == width and bottom == height:
        code = _set_region(handle, np.uint64(0), np.uint64(0))
    else:
        code = _set_region(handle, _pair(x, y), _pair(w, bottom - y))
    if code != 0:
        return REFUSED
    place = pixels + (y * width + x) * channels
    kind = np.int32(_BGR if channels == 3 else _GRAY)
    if _decompress(handle, address, size, place, np.int32(width * channels), kind) != 0:
        return _refused(handle)
    return DECODED
