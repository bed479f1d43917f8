"""Decode a plain JPEG at an eighth of its size: each block is one pixel, and most of it is passed.

A decoder of its own for this one case. libjpeg reads, stores and clears all coefficients of a
block, of which the pixel needs the first; here the others are passed, several at a look. The pixels
are libjpeg's, to the bit. Whatever is not plain, or not sound as far as it is read, and all other
scales, go to the decoder behind this one, if there is one.

Memory: half a mebibyte per thread, whatever the image.

Invariant: what becomes of an image does not depend on the images that its thread decoded before.
"""

from __future__ import annotations

import numpy as np
from numba import types

from gpuio.kernels.addresses import read_byte
from gpuio.kernels.cpu.jpeg_bits import is_at, item, look_further, put, put_byte, refill
from gpuio.kernels.cpu.jpeg_blocks import pass_blocks, read_block
from gpuio.kernels.cpu.jpeg_codes import CODES
from gpuio.kernels.cpu.jpeg_front import FRONT, PLACES, QUANTA, places, read_front
from gpuio.kernels.cpu.jpeg_pixels import (
    DOUBLED,
    ONE_ROW,
    PIXELS,
    TWO_ROWS,
    colours,
    mean_pixels,
    small_block,
)
from gpuio.kernels.cpu.share import DECODE, MARGIN, rows_decoded
from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.pointers import caller, view

__all__ = ["SCALE", "EighthDecoder", "decode"]

SCALE = 8
DECODED, REFUSED = 0, 1
_STATE = np.dtype(
    [
        ("own", np.int64),  # address of this thread's memory
        ("then", np.int64),  # address of the DECODE behind this one; 0: none
        ("handle", np.int64),  # of that one
        ("max_pixels", np.int64),
        ("decoded", np.int64),  # images so far
    ]
)

# places in a thread's memory, bytes
_WIDE = 8_192 + 64  # pixels of a row, and more than one look writes
_MEANS = 4 * FRONT  # int32, of a row of units: Y of up to 2 x 2 blocks each, Cb, Cr
_MEANS_B = _MEANS + 4 * 2 * _WIDE
_MEANS_R = _MEANS_B + 4 * _WIDE
_BLOCK = _MEANS_R + 4 * _WIDE  # int32[48]
_Y = _BLOCK + 4 * 48  # two rows of pixels, as the next
_B = _Y + 2 * _WIDE
_R = _B + 2 * _WIDE
_LINE = _R + 2 * _WIDE  # 16 pixels B G R
_BYTES = _LINE + 64  # what is looked at
_FILL = 16_384  # bytes of it at most
_UNIT = 2_048  # more than a unit takes: 6 blocks of 64 times 31 bits
_SIZE = _BYTES + _FILL + 2 * _UNIT

_decode, _bytes_at, _state_at = caller(DECODE), view(types.uint8), view(types.int64)


@inner
def _pixels(own, sampling, across, coloured):
    """Make the pixels of a row of units; return 0, or not 0 where a mean is no pixel's."""
    bad, blocks = 0, across
    if sampling >= 0x200000:
        blocks = 4 * across if sampling & 0x020000 else 2 * across
    for k in range(2 * PIXELS):  # the last look may reach behind them
        put(own + _MEANS, blocks + k, 0)
    quantum = item(own, QUANTA)
    if sampling == 0x221111:
        for k in range(0, blocks, 2 * PIXELS):
            bad |= mean_pixels(TWO_ROWS, own + _MEANS + 4 * k, quantum, own + _Y + k // 2, _WIDE)
        return bad
    for k in range(0, blocks, PIXELS):
        bad |= mean_pixels(ONE_ROW, own + _MEANS + 4 * k, quantum, own + _Y + k, 0)
    if not coloured:
        return bad
    for c in range(2):
        means, to = own + _MEANS_B + 4 * c * _WIDE, own + _B + 2 * c * _WIDE
        quantum = item(own, QUANTA + 64 * (c + 1))
        for k in range(PIXELS):
            put(means, across + k, 0)
        if sampling == 0x211111:
            for k in range(0, across, PIXELS):
                bad |= mean_pixels(DOUBLED, means + 4 * k, quantum, to + 2 * k, 0)
        else:
            for k in range(0, across, PIXELS):
                bad |= mean_pixels(ONE_ROW, means + 4 * k, quantum, to + k, 0)
    return bad


@inner
def _write(own, row, to, channels, left, right, width):
    """Write the columns [left, right) of a row of pixels, and up to 15 behind them."""
    y = own + row * _WIDE
    y, blue, red = y + _Y, y + _B, y + _R
    if channels == 1:
        for x in range(left, right):
            put_byte(to, x, read_byte(y, x))
        return
    for x in range(left, right, PIXELS):
        if x + PIXELS <= width:
            colours(y + x, blue + x, red + x, to + 3 * x)
        else:
            colours(y + x, blue + x, red + x, own + _LINE)
            for k in range(3 * (width - x)):
                put_byte(to, 3 * x + k, read_byte(own + _LINE, k))


@inner
def _decoded(own, data, size, front, channels, first, last_row, left, right, width, rows, pixels):
    """Decode; True if it was done.

    Bytes are looked at in memory of our own: `q` is the next one, `last` is behind the last, `p` is
    the next one of the image, and `more` says that neither a marker nor the end stands there.
    """
    start, full_height, full_width, sampling, interval = front
    wide, high = 1, 1
    if sampling > 0xFF:
        wide, high = sampling >> 20, sampling >> 16 & 15
    across = (full_width + 8 * wide - 1) // (8 * wide)
    down = (full_height + 8 * high - 1) // (8 * high)
    coloured = sampling > 0xFF
    if not coloured:
        for k in range(2 * _WIDE):
            put_byte(own + _B, k, 128)
            put_byte(own + _R, k, 128)
    for k in range(48):
        put(own + _BLOCK, k, 0)
    p, end = data + start, data + size
    q = last = own + _BYTES
    p, q, last, more = look_further(own + _BYTES, own + _BYTES + _FILL, p, end, q, last)
    bits, count = np.int64(0), np.int64(0)
    q, bits, count = refill(q, bits, count)
    zero = np.int64(0)  # a constant 0 would be another type, and all compiled twice
    mean_y, mean_b, mean_r = zero, zero, zero
    until, turn, bad = interval, 0, 0
    codes = own + 4 * CODES
    for unit_y in range(rows):
        for unit_x in range(across):
            if interval != 0:
                if until == 0:
                    if more:
                        p, q, last, more = look_further(
                            own + _BYTES, own + _BYTES + _FILL, p, end, q, last
                        )
                    if not is_at(p, end, q, last, more, count, 0xD0 + turn):
                        return False
                    q = last = own + _BYTES
                    p, q, last, more = look_further(
                        own + _BYTES, own + _BYTES + _FILL, p + 2, end, q, last
                    )
                    bits, count = zero, zero
                    q, bits, count = refill(q, bits, count)
                    mean_y, mean_b, mean_r = zero, zero, zero
                    until, turn = interval, turn + 1 & 7
                until -= 1
            if last - q < _UNIT:
                if more:
                    p, q, last, more = look_further(
                        own + _BYTES, own + _BYTES + _FILL, p, end, q, last
                    )
                elif q > last + 8:
                    return False
            place = own + _MEANS + 4 * wide * high * unit_x
            q, bits, count, mean_y, wrong = pass_blocks(
                q, bits, count, own, mean_y, place, wide * high
            )
            if wrong != 0:
                return False
            if not coloured:
                continue
            if high == 1:
                q, bits, count, mean_b, wrong = pass_blocks(
                    q, bits, count, codes, mean_b, own + _MEANS_B + 4 * unit_x, np.int64(1)
                )
                if wrong != 0:
                    return False
                q, bits, count, mean_r, wrong = pass_blocks(
                    q, bits, count, codes, mean_r, own + _MEANS_R + 4 * unit_x, np.int64(1)
                )
                if wrong != 0:
                    return False
                continue
            for c in range(2):
                mean = mean_b if c == 0 else mean_r
                quanta = own + 4 * (QUANTA + 64 * (c + 1))
                q, bits, count, mean, some, wrong = read_block(
                    q, bits, count, codes, mean, quanta, own + 4 * PLACES, own + _BLOCK
                )
                if wrong != 0:
                    return False
                if c == 0:
                    mean_b = mean
                else:
                    mean_r = mean
                to = own + _B + 2 * c * _WIDE + 2 * unit_x
                if some != 0:
                    bad |= small_block(own + _BLOCK, to, _WIDE)
                else:
                    value = item(own + _BLOCK, 0) + 4 >> 3
                    bad |= value + 512 >> 10
                    value = min(max(value + 128, 0), 255)
                    put_byte(to, 0, value)
                    put_byte(to, 1, value)
                    put_byte(to, _WIDE, value)
                    put_byte(to, _WIDE + 1, value)
        bad |= _pixels(own, sampling, across, coloured)
        if bad != 0:
            return False
        for row in range(high):
            y = unit_y * high + row
            if first <= y < last_row:
                _write(own, row, pixels + y * width * channels, channels, left, right, width)
    if rows == down:
        if more:
            p, q, last, more = look_further(own + _BYTES, own + _BYTES + _FILL, p, end, q, last)
        return is_at(p, end, q, last, more, count, np.int64(0xD9))
    return 8 * (last - q) + count >= 0


@kernel(
    DECODE,
    "../pointers",
    "../addresses",
    "../memory",
    "vector",
    "jpeg_bits",
    "jpeg_blocks",
    "jpeg_symbols",
    "jpeg_codes",
    "jpeg_front",
    "jpeg_pixels",
    "share",
)
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
    """Decode what a window reads; parameters and result as of `turbojpeg.decode`.

    Parameters
    ----------
    handle : int            address of this thread's EighthDecoder
    """
    state = _state_at(handle, 5)
    if scale == SCALE and sampling != 0 and length >= 4 and (channels == 1 or channels == 3):
        own = state[0]
        front = read_front(address, length, own)
        start, full_height, full_width, found, _ = front
        if (
            start > 0
            and found == sampling
            and full_height * full_width <= state[3]
            and (full_height + SCALE - 1) // SCALE == height
            and (full_width + SCALE - 1) // SCALE == width
        ):
            blob = _bytes_at(address, length)
            first, last = rows_decoded(blob, sampling, early, top, stop, scale, full_height, height)
            high = 2 if found == 0x221111 else 1
            rows = (height + high - 1) // high
            if last < height:
                rows = min(rows, (last + high - 1) // high + 1)  # one more than libjpeg looks at
            x, end = max(0, left - MARGIN), min(width, right + MARGIN)
            if _decoded(
                own, address, length, front, channels, first, last, x, end, width, rows, pixels
            ):
                state[4] += 1
                return DECODED
    if state[1] == 0:
        return REFUSED
    return _decode(
        state[1],
        (
            state[2], address, length, height, width, channels, sampling, early, top, stop,
            left, right, scale, pixels,
        ),
    )  # fmt: skip


class EighthDecoder:
    """One thread's decoder.

    Parameters
    ----------
    then : int          address of the DECODE behind it; 0: there is none, and what it does not
                        decode is refused
    handle : int        of that one
    max_pixels : int    of an image of full size that it decodes

    Attributes
    ----------
    address : int       what `decode` takes as its handle
    """

    def __init__(self, then: int = 0, handle: int = 0, max_pixels: int = 2**31 - 1) -> None:
        self._own = np.zeros(_SIZE, np.uint8)
        self._own[4 * PLACES : 4 * (PLACES + 64)] = places().view(np.uint8)
        self._state = np.zeros(1, _STATE)
        self._state["own"], self._state["then"] = self._own.ctypes.data, then
        self._state["handle"], self._state["max_pixels"] = handle, max_pixels
        self.address: int = self._state.ctypes.data

    @property
    def decoded(self) -> int:
        """How many images it has decoded itself."""
        return int(self._state["decoded"][0])
