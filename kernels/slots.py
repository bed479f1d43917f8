"""SLOT: a decoded image in a cache, and what its record and its header said of it.

A slot holds, one behind the other: a SLOT; the record's bytes in front of its image (framing,
header, labels), from byte `FRONT` on; and, from the next multiple of `ALIGN` on, the pixels,
uint8[height, width, channels]. So a record that was decoded once is neither read nor decoded again,
whatever the labels of the iterator that asks for it.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

from gpuio.kernels.addresses import read_byte
from gpuio.kernels.image_header import HEADER
from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.jpeg import JPEG
from gpuio.kernels.pointers import view

__all__ = [
    "ALIGN",
    "CLAIMED",
    "EMPTY",
    "FRONT",
    "READY",
    "REFUSED",
    "SLOT",
    "check_slots",
    "claim_rows",
    "find_slots",
    "note_slots",
    "settle_rows",
    "sizes",
    "sum_slots",
    "touch",
]

SLOT = np.dtype(
    [
        ("length", np.int64),  # bytes of the record as it is stored, framing included
        ("head", np.int64),  # bytes in front of its image
        ("pixels", np.int64),  # bytes of the pixels
        ("sum", np.uint64),  # of all the others and of what follows: see `sum_slots`
        ("row", np.int64),  # of the record table
        ("swapped", np.int64),  # the pixels are R G B, not B G R
        *((name, HEADER[name]) for name in HEADER.names or ()),
    ],
    align=True,
)
ALIGN = 64  # bytes
FRONT = -(-SLOT.itemsize // ALIGN) * ALIGN
_HEADER_AT = sum(
    SLOT[name].itemsize for name in ("length", "head", "pixels", "sum", "row", "swapped")
)
_HEADER_AT //= 4  # words: no field before it needs to be aligned
_WORDS = HEADER.itemsize // 4
_SUM, _ROW = 3, 4  # words of 8 bytes in front of them
PAGE = 4096  # bytes
EMPTY, CLAIMED, READY, REFUSED = range(4)  # states of a row of the table

_ints = types.int64[::1]
_bytes = types.uint8[::1]
_heads, _headers = types.int64[:, ::1], numba.from_dtype(HEADER)[:]
_longs_at, _words_at = view(types.int64), view(types.int32)
_sums_at, _bytes_at = view(types.uint64), view(types.uint8)


@inner
def _whole(size):
    """Return bytes rounded up to ALIGN."""
    return (size + ALIGN - 1) // ALIGN * ALIGN


@kernel(
    types.int64(types.int64, _ints, _bytes, _ints, _ints, _ints, _ints, _ints, _ints),
    "pointers",
)
def find_slots(base, offsets, states, apart, positions, slots, heads, lengths, pixels):
    """Find the slots of rows of a table.

    Parameters
    ----------
    base : int                  address that the offsets are counted from
    offsets : int64[N]          of each row's slot
    states : uint8[N]
    apart : int64[N] or [0]     addresses of the pixels where they do not lie in the slots
    positions : int64[n]        rows of the table; -1: none
    slots, heads, lengths, pixels : int64[n]
                                receive the addresses of slot and record, the bytes of the whole
                                record, and the address of the pixels; 0 where a row is not READY

    Returns
    -------
    int                         how many are READY
    """
    found = 0
    for i in range(positions.size):
        at = positions[i]
        slots[i] = heads[i] = lengths[i] = pixels[i] = 0
        if at < 0 or states[at] != READY:
            continue
        place = base + offsets[at]
        slot = _longs_at(place, types.int64(3))
        slots[i], heads[i], lengths[i] = place, place + FRONT, slot[0]
        pixels[i] = place + FRONT + _whole(slot[1]) if apart.size == 0 else apart[at]
        found += 1
    return found


@kernel(
    types.int64(
        _ints, _ints, _heads, _headers, types.float64, types.int64, _bytes, types.boolean, _ints
    ),
    "jpeg",
)
def claim_rows(positions, sizes, heads, headers, share, refused, states, take, rows):
    """List the rows that are to be kept and that nobody has; make them CLAIMED.

    A JPEG without its end is not kept: it is made to end, or refused, and either is counted.

    Parameters
    ----------
    positions : int64[n]        rows of the table; -1: none
    sizes : int64[n]            bytes of the decoded images; 0: none
    heads : int64[n, 3]         HEADS of `gpuio.cache.store`, field by field; address 0: not known
    headers : HEADER[n]
    share : float               of the table's rows that are kept, evenly spread; 1 or more: all
    refused : int               bytes of the smallest slot that there was no room for
    states : uint8[N]
    take : bool                 else `states` are not changed
    rows : int64[n]             receives the rows, of the n

    Returns
    -------
    int                         how many they are
    """
    found = 0
    for i in range(positions.size):
        at = positions[i]
        if at < 0 or at >= states.size or states[at] != EMPTY:
            continue
        if sizes[i] <= 0 or heads[i, 0] == 0:
            continue
        if headers[i].kind == JPEG and headers[i].ended == 0:
            continue
        if FRONT + _whole(heads[i, 1]) + _whole(sizes[i]) >= refused:
            continue
        if share < 1.0 and not np.floor((at + 1) * share) > np.floor(at * share):
            continue
        if take:
            states[at] = CLAIMED
        rows[found] = i
        found += 1
    return found


@kernel(
    types.void(_ints, _ints, _ints, _ints, _heads, types.int32[:, ::1]), "pointers", "addresses"
)
def note_slots(rows, slots, positions, sizes, heads, headers):
    """Write all of some slots but their pixels and their sums.

    Parameters
    ----------
    rows : int64[k]             of the n, to be written
    slots : int64[k]            their addresses
    positions : int64[n]        rows of the table
    sizes : int64[n]            bytes of the pixels
    heads : int64[n, 3]         addresses and bytes of what stands in front of the images, bytes of
                                the whole records
    headers : int32[n, fields]  HEADER, field by field
    """
    for k in range(rows.size):
        i, place = rows[k], slots[k]
        front = _longs_at(place, types.int64(FRONT // 8))
        for word in range(FRONT // 8):
            front[word] = 0
        front[0], front[1], front[2], front[_ROW] = heads[i, 2], heads[i, 1], sizes[i], positions[i]
        words = _words_at(place, types.int64(FRONT // 4))
        for word in range(_WORDS):
            words[_HEADER_AT + word] = headers[i, word]
        room = _whole(heads[i, 1])
        to = _bytes_at(place + FRONT, room)
        for byte in range(heads[i, 1]):
            to[byte] = read_byte(heads[i, 0], byte)
        for byte in range(heads[i, 1], room):
            to[byte] = 0


@kernel(types.void(_ints, _ints, types.boolean[::1], types.boolean, _bytes))
def settle_rows(rows, positions, kept, tried, states):
    """Say what became of claimed rows: READY, or REFUSED where they were tried, or EMPTY.

    Parameters
    ----------
    rows : int64[k]             of the n, that were claimed
    positions : int64[n]        rows of the table
    kept : bool[n]              whose pixels are complete
    tried : bool
    states : uint8[N]
    """
    for k in range(rows.size):
        i = rows[k]
        if positions[i] < states.size:
            states[positions[i]] = READY if kept[i] else REFUSED if tried else EMPTY


@inner
def _sum(place):
    """Return the sum of a slot; a page that is not in memory is read for it."""
    front = _longs_at(place, types.int64(3))
    words = FRONT + _whole(front[1]) + _whole(front[2])
    memory = _sums_at(place, words // 8)
    total, factor = np.uint64(0), np.uint64(0x9E3779B97F4A7C15)
    for k in range(words // 8):  # odd factors, one for each place: no word and no order is lost
        if k != _SUM:
            total += memory[k] * factor
        factor += np.uint64(2)
    return total


@kernel(types.void(_ints), "pointers")
def sum_slots(slots):
    """Write the sums of slots that are complete.

    Parameters
    ----------
    slots : int64[n]            addresses; 0: none
    """
    for i in range(slots.size):
        if slots[i] != 0:
            _sums_at(slots[i], types.int64(4))[_SUM] = _sum(slots[i])


@kernel(types.int64(_ints, _ints, _ints, _bytes), "pointers")
def check_slots(slots, rows, rooms, wrong):
    """Read slots, and compare them with their sums.

    Parameters
    ----------
    slots : int64[n]            addresses; 0: none
    rows : int64[n]             of the table, whose they are
    rooms : int64[n]            bytes that each may have at most
    wrong : uint8[n]            receives 1 where a slot is not what was written, else 0

    Returns
    -------
    int                         how many are wrong
    """
    found = 0
    for i in range(slots.size):
        wrong[i] = 0
        if slots[i] == 0:
            continue
        wrong[i] = 1
        if rooms[i] >= FRONT:
            front = _longs_at(slots[i], types.int64(5))
            head, pixels = front[1], front[2]
            good = front[_ROW] == rows[i] and 0 <= head <= rooms[i] and 0 <= pixels <= rooms[i]
            if good and FRONT + _whole(head) + _whole(pixels) <= rooms[i]:
                same = _sums_at(slots[i], types.int64(4))[_SUM] == _sum(slots[i])
                wrong[i] = 0 if same else 1
        found += wrong[i]
    return found


@kernel(types.int64[::1](_ints), "pointers", allocates=True)
def sizes(slots):
    """Return the bytes of the pixels of slots, int64[n], by their addresses."""
    found = np.empty(slots.size, np.int64)
    for i in range(slots.size):
        found[i] = _longs_at(slots[i], types.int64(3))[2]
    return found


@kernel(types.int64(_ints, _ints), "pointers")
def touch(places, sizes):
    """Read a byte of each page of pieces of memory, so that they are there when they are needed.

    Parameters
    ----------
    places, sizes : int64[n]    addresses and bytes; address 0: none

    Returns
    -------
    int                         a sum of what was read
    """
    total = types.int64(0)
    for i in range(places.size):
        if places[i] == 0 or sizes[i] <= 0:
            continue
        memory = _bytes_at(places[i], sizes[i])
        for k in range(0, sizes[i], PAGE):
            total += memory[k]
        total += memory[sizes[i] - 1]
    return total
