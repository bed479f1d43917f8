"""What rows of a share need before they are made: one look at each, no array for each question."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numba import types

from gpuio.kernels.image_header import HEADER
from gpuio.kernels.jit import kernel
from gpuio.kernels.plan.layout import PLAN

__all__ = ["Needs", "look_at"]

_LONGEST_SIDE = 65_535  # pixels of a JPEG; what is longer is another kind of image, and is left

_ints = types.int64[::1]


class Needs(NamedTuple):
    """What some rows need.

    Attributes
    ----------
    widest : int        src_w of the widest, 65,535 at most
    most : int          pixels of the largest that is a JPEG's size
    colours : int       1 if some have colour steps, else 0
    crop : int          1 if the first is neither resized nor cut to another size than wanted
    scaled : int        1 if some are decoded at less than their size
    smaller : int       1 if some are made smaller when they are decoded
    """

    widest: int
    most: int
    colours: int
    crop: int
    scaled: int
    smaller: int


@kernel(
    types.UniTuple(types.int64, 6)(
        numba.from_dtype(PLAN)[::1],
        numba.from_dtype(HEADER)[::1],
        _ints,
        _ints,
        _ints,
        types.int64,
        types.int64,
    )
)
def look_at(rows, headers, lengths, known, scales, height, width):
    """Return what rows need, a Needs as a plain tuple.

    Parameters
    ----------
    rows : PLAN[n]
    headers : HEADER[n]         of the encoded images
    lengths : int64[n]          bytes of the encoded images; those of 0 and less have none
    known : int64[n]            addresses of images that were decoded before; 0: none
    scales : int64[n]           each is decoded at 1 / scale
    height, width : int         of the output
    """
    zero, one = np.int64(0), np.int64(1)
    widest, most, colours, crop, scaled, smaller = zero, zero, zero, zero, zero, zero
    for i in range(rows.size):
        row = rows[i]
        src_h, src_w = np.int64(row.src_h), np.int64(row.src_w)
        widest = max(widest, min(src_w, _LONGEST_SIDE))
        if src_h <= _LONGEST_SIDE and src_w <= _LONGEST_SIDE:
            most = max(most, src_h * src_w)
        if row.jitter != 0 or row.hls_on != 0 or row.pca_on != 0:
            colours = one
        header = headers[i]
        shrinks = src_h < header.height or src_w < header.width
        if scales[i] > 1:
            scaled = one
        elif shrinks and lengths[i] > 0 and known[i] == 0:
            smaller = one
    if rows.size > 0:
        row = rows[0]
        whole = row.resize_h == 0 or row.resize_h == row.src_h
        if whole and row.crop_h == height and row.crop_w == width:
            crop = one
    return widest, most, colours, crop, scaled, smaller
