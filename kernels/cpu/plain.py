"""Decode a plain JPEG at its full size.

What an image has in common with the one before is not made again: tables of codes, or all that
stands before its entropy-coded data; of a small image a library spends most of its time there. Two
coefficients are answered with one look, where libjpeg takes two steps for each. The pixels are
libjpeg's, to the bit. Whatever is not plain, or not sound as far as it is read, too large, or to be
made smaller, goes to the decoder behind this one, if there is one.

Memory: that of the planes of the largest image, and 0.2 MB, per thread.

Invariant: what becomes of an image does not depend on the images that its thread decoded before.
"""

from __future__ import annotations

import numpy as np
from numba import types

from gpuio.kernels.addresses import read_byte
from gpuio.kernels.cpu.jpeg_bits import is_at, item, look_further, put, put_byte, refill
from gpuio.kernels.cpu.jpeg_colours import coloured
from gpuio.kernels.cpu.jpeg_front import TABLES, codes_at, find_front, natural_order, quanta_at
from gpuio.kernels.cpu.jpeg_transform import SEEN, flat_block, is_beyond, places_of, whole_block
from gpuio.kernels.cpu.jpeg_values import (
    NARROW,
    VALUES,
    WIDE,
    keep_values,
    pair_values,
    put_short,
    read_values,
)
from gpuio.kernels.cpu.share import DECODE, MARGIN, rows_decoded
from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.memory import clear, copy, same
from gpuio.kernels.pointers import caller, view

__all__ = ["PlainDecoder", "decode"]

DECODED, REFUSED = 0, 1
_END = np.int64(0xD9)  # marker
_STATE = np.dtype(
    [
        ("own", np.int64),  # address of this thread's memory
        ("then", np.int64),  # address of the DECODE behind this one; 0: none
        ("handle", np.int64),  # of that one
        ("planes", np.int64),  # bytes behind the rest of that memory
        ("max_pixels", np.int64),
        ("decoded", np.int64),  # images so far
    ]
)

# places in a thread's memory: int32 each
_START = 2 * VALUES  # what the front that is kept said, see `find_front`; 0: none is
_QUANTA = _START + 8  # of each component, in zigzag order
_PLACES = _QUANTA + 3 * 64  # of a coefficient in a block; and of none
_FOUND = _PLACES + 68
_MEANS = _FOUND + TABLES  # of each component's block before
_SCRATCH = _MEANS + 4
# and bytes
_HEAD = (4 * (_SCRATCH + 4096) + 63) // 64 * 64  # the front that is kept
_LONGEST_HEAD = 1024
_SHORTS = _HEAD + _LONGEST_HEAD  # quanta again, where the coefficients of a block are
_BLOCK = _SHORTS + 3 * 128
_SEEN = _BLOCK + 192
_GRAY = _SEEN + SEEN  # 32 values of 128
_LINE = _GRAY + 64  # 32 pixels B G R
_BYTES = _LINE + 128  # what is looked at
_FILL = 8_192  # bytes of it at most
_UNIT = 2_048  # more than a unit takes: 6 blocks of 64 times 31 bits
_PLANES = _BYTES + _FILL + 2 * _UNIT
_LONG = 20_000  # bytes of an image for which tables of two coefficients are made at first sight
_SPARSE = 3  # pixels for each byte, from which on most codes are short
_SIDE = 16  # bytes before and behind a row of chroma
_SLACK = 128  # bytes that a look at a row may reach behind it

_decode, _bytes_at, _state_at = caller(DECODE), view(types.uint8), view(types.int64)


@inner
def _read_front(own, data, size):
    """Read a front that is not the one that is kept, and keep it; False as of `_keep_front`."""
    put(own, _START, 0)
    tables = own + 4 * _FOUND
    start, height, width, sampling, interval, frame, scan = find_front(data, size, tables)
    if start == 0:
        return False
    parts = 1 if sampling < 0x100 else 2
    width_of_look = WIDE if _SPARSE * size < height * width else NARROW
    for part in range(parts):
        dc, ac = codes_at(data, tables, scan, part)
        if dc == 0 or ac == 0:
            return False
        if not keep_values(own + 4 * VALUES * part, data + dc, data + ac, width_of_look):
            return False
    for c in range(2 * parts - 1):
        at = quanta_at(data, size, tables, frame, c)
        if at == 0:
            return False
        for k in range(64):
            quantum = read_byte(data, at + k)
            put(own, _QUANTA + 64 * c + k, quantum)
            put_short(own + _SHORTS + 128 * c, item(own, _PLACES + k), quantum)
    length = min(start, _LONGEST_HEAD)
    copy(own + _HEAD, data, length)
    if length < start:
        put(own, _HEAD // 4, 0)  # no image begins so
    put(own, _START, start)
    put(own, _START + 1, height)
    put(own, _START + 2, width)
    put(own, _START + 3, sampling)
    put(own, _START + 4, interval)
    return True


@inner
def _keep_front(own, data, size):
    """Read what stands before the entropy-coded data; False where it is not plain and sound."""
    start = item(own, _START)
    kept = 0 < start <= min(size, _LONGEST_HEAD) and same(own + _HEAD, data, start)
    if not kept and not _read_front(own, data, size):
        return False
    for part in range(2):
        for _ in range(2 if size > _LONG else 1):
            pair_values(own + 4 * VALUES * part, own + 4 * _SCRATCH)
    return True


@inner
def _read(own, data, size, luma, blue, pitch, narrow, units, colours):
    """Decode blocks to planes; True if it was done.

    Bytes are looked at in memory of our own: `q` is the next one, `last` is behind the last, `p` is
    the next one of the image, and `more` says that neither a marker nor the end stands there.
    """
    sampling, interval = item(own, _START + 3), item(own, _START + 4)
    lumas, chroma = 1, 0
    wide, high = 1, 1
    if sampling > 0xFF:
        wide, high = sampling >> 20, sampling >> 16 & 15
        lumas, chroma = wide * high, 2
    across = (item(own, _START + 2) + 8 * wide - 1) // (8 * wide)
    down = (item(own, _START + 1) + 8 * high - 1) // (8 * high)
    from_y, rows, from_x, to_x = units
    red = blue + 8 * down * narrow
    clear(own + _SEEN, SEEN)
    clear(own + _BLOCK, 192)
    clear(own + 4 * _MEANS, 12)
    first = own + _BYTES
    p, end = data + item(own, _START), data + size
    q = last = first
    p, q, last, more = look_further(first, first + _FILL, p, end, q, last)
    bits, count = np.int64(0), np.int64(0)
    q, bits, count = refill(q, bits, count)
    until, turn, bad = interval, 0, 0
    for unit_y in range(rows):
        for unit_x in range(across):
            if interval != 0:
                if until == 0:
                    if more:
                        p, q, last, more = look_further(first, first + _FILL, p, end, q, last)
                    if not is_at(p, end, q, last, more, count, 0xD0 + turn):
                        return False
                    q = last = first
                    p, q, last, more = look_further(first, first + _FILL, p + 2, end, q, last)
                    bits, count = np.int64(0), np.int64(0)
                    q, bits, count = refill(q, bits, count)
                    clear(own + 4 * _MEANS, 12)
                    until, turn = interval, turn + 1 & 7
                until -= 1
            if last - q < _UNIT:
                if more:
                    p, q, last, more = look_further(first, first + _FILL, p, end, q, last)
                elif q > last + 8:
                    return False
            seen_here = unit_y >= from_y and from_x <= unit_x < to_x
            for block in range(lumas + chroma):
                if block < lumas:
                    c, codes, step = 0, own, pitch
                    to = luma + (unit_y * high + (block >> 1)) * 8 * pitch
                    to += (unit_x * wide + (block & 1)) * 8
                else:
                    c, codes, step = block - lumas + 1, own + 4 * VALUES, narrow
                    to = blue if c == 1 else red
                    to += unit_y * 8 * narrow + unit_x * 8
                quanta = own + 4 * (_QUANTA + 64 * c)
                q, bits, count, mean, some, wrong = read_values(
                    q, bits, count, codes, item(own, _MEANS + c), quanta, own + 4 * _PLACES,
                    own + _BLOCK,
                )  # fmt: skip
                if wrong != 0:
                    return False
                put(own, _MEANS + c, mean)
                if not seen_here or (c != 0 and not colours):
                    clear(own + _BLOCK, 128)
                elif some == 1:
                    value = mean * item(quanta, 0) + 4 >> 3
                    bad |= value + 512 >> 10
                    flat_block(min(max(value + 128, 0), 255), to, step)
                else:
                    whole_block(own + _BLOCK, own + _SHORTS + 128 * c, to, step, own + _SEEN)
    if bad != 0 or is_beyond(own + _SEEN):
        return False
    if rows == down:
        if more:
            p, q, last, more = look_further(first, first + _FILL, p, end, q, last)
        return is_at(p, end, q, last, more, count, _END)
    return 8 * (last - q) + count >= 0


@inner
def _decoded(own, room, data, size, channels, first, last, left, right, rows, pixels):
    """Decode the image whose front is kept; True if it was done."""
    height, width = item(own, _START + 1), item(own, _START + 2)
    sampling = item(own, _START + 3)
    wide, high = 1, 1
    if sampling > 0xFF:
        wide, high = sampling >> 20, sampling >> 16 & 15
    if wide == 2 and width < 5:
        return False  # two values of chroma are not made wider like others
    across, down = (width + 8 * wide - 1) // (8 * wide), (height + 8 * high - 1) // (8 * high)
    pitch, narrow = 8 * wide * across + 32, 8 * across + 2 * _SIDE
    luma = own + _PLANES
    blue = luma + 8 * high * down * pitch + _SIDE
    red = blue + 8 * down * narrow
    if red + 8 * down * narrow + _SLACK > luma + room:
        return False
    units = (
        max(first - MARGIN, 0) // (8 * high),
        rows,
        max(left - MARGIN, 0) // (8 * wide),
        min((right + MARGIN) // (8 * wide) + 1, across),
    )
    colours = sampling > 0xFF and channels == 3
    if not _read(own, data, size, luma, blue, pitch, narrow, units, colours):
        return False
    if channels == 1:
        for y in range(first, last):
            copy(pixels + y * width + left, luma + y * pitch + left, right - left)
        return True
    even, odd, each = 8, 7, wide  # pixels to a value of chroma
    if not colours:
        blue = red = own + _GRAY
        narrow, each = 0, 1 << 20
    elif wide == 2:
        end = (width + 1) // 2
        for c in range(2):
            plane = blue if c == 0 else red
            for y in range(8 * rows):
                row = plane + y * narrow
                put_byte(row, -1, read_byte(row, 0))
                put_byte(row, end, read_byte(row, end - 1))
        if high == 1:
            even, odd = 4, 8
    lowest = (height + high - 1) // high - 1
    for y in range(first, last):
        near = y // high
        far = near
        if high == 2:
            far = min(max(near + 2 * (y & 1) - 1, 0), lowest)
        for x in range(left, right, 32):
            to = pixels + 3 * (y * width + x)
            whole = x + 32 <= width or (left == 0 and y * width + x + 32 <= last * width)
            if not whole:
                to = own + _LINE
            at, other = near * narrow + x // each, far * narrow + x // each
            coloured(
                wide, luma + y * pitch + x, blue + at, blue + other, red + at, red + other,
                even, odd, to,
            )  # fmt: skip
            if not whole:
                copy(pixels + 3 * (y * width + x), to, 3 * min(width - x, 32))
    return True


@kernel(
    DECODE,
    "../pointers",
    "../addresses",
    "../memory",
    "vector",
    "jpeg_bits",
    "jpeg_symbols",
    "jpeg_codes",
    "jpeg_front",
    "jpeg_values",
    "jpeg_transform",
    "jpeg_colours",
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
    handle : int            address of this thread's PlainDecoder
    """
    state = _state_at(handle, 6)
    if (
        scale == 1
        and sampling != 0
        and length >= 4
        and height * width <= state[4]
        and (channels == 1 or channels == 3)
    ):
        own = state[0]
        if (
            _keep_front(own, address, length)
            and item(own, _START + 1) == height
            and item(own, _START + 2) == width
            and item(own, _START + 3) == sampling
        ):
            blob = _bytes_at(address, length)
            first, last = rows_decoded(blob, sampling, early, top, stop, scale, height, height)
            tall = 16 if sampling == 0x221111 else 8
            rows = (height + tall - 1) // tall
            if last < height:
                rows = min(rows, (last + tall - 1) // tall + 1)  # one more than libjpeg looks at
            x, end = max(0, left - MARGIN) & -2, min(width, right + MARGIN)
            if _decoded(
                own, state[3], address, length, channels, first, last, x, end, rows, pixels
            ):
                state[5] += 1
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


class PlainDecoder:
    """One thread's decoder.

    Parameters
    ----------
    then : int          address of the DECODE behind it; 0: there is none, and what it does not
                        decode is refused
    handle : int        of that one
    max_pixels : int    of an image that it decodes, where there is room: see `fit`

    Attributes
    ----------
    address : int       what `decode` takes as its handle
    """

    def __init__(self, then: int = 0, handle: int = 0, max_pixels: int = 65_536) -> None:
        self._state = np.zeros(1, _STATE)
        self._state["then"], self._state["handle"] = then, handle
        self._state["max_pixels"] = max_pixels
        self.address: int = self._state.ctypes.data
        self._pixels = 0
        self._own = np.zeros(_PLANES, np.uint8)
        places = np.append(places_of(*natural_order()), 64).astype(np.int32)
        self._own[4 * _PLACES : 4 * (_PLACES + 65)] = places.view(np.uint8)
        self._own[_GRAY : _GRAY + 32] = 128
        self.fit(min(max_pixels, 65_536))

    def fit(self, pixels: int) -> None:
        """Make room for an image of so many pixels, where there is any; of larger ones the decoder
        behind this one is asked. What is not written to takes no memory.
        """
        if pixels <= self._pixels:
            return
        room = 4 * pixels + 65_536
        try:
            memory = np.zeros(64 + _PLANES + room, np.uint8)
        except MemoryError:
            return
        self._pixels = pixels
        start = -memory.ctypes.data % 64
        memory[start : start + _PLANES] = self._own[:_PLANES]
        self._own = memory[start:]
        self._state["own"], self._state["planes"] = self._own.ctypes.data, room

    @property
    def decoded(self) -> int:
        """How many images it has decoded itself."""
        return int(self._state["decoded"][0])
