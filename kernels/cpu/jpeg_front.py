"""What stands before a JPEG's entropy-coded data: whether it is plain and sound, and its tables.

Plain is: 8 bits, Huffman-coded, one scan of all components, gray or Y Cb Cr sampled 4:4:4, 4:2:2 or
4:2:0, by the rules by which libjpeg tells colours. Whatever libjpeg would warn of or refuse is not
sound, and of what is rare some more is refused: another decoder has the last word on it.

Nothing is read outside the image. Kernels that use this module name it as a source, `jpeg_bits` and
`jpeg_codes`. Source: ITU-T T.81, section B; libjpeg-turbo 3.1, jdmarker.c, jdapimin.c, jdicc.c.
"""

from __future__ import annotations

import numpy as np

from gpuio.kernels.addresses import read_byte
from gpuio.kernels.cpu.jpeg_bits import item, put
from gpuio.kernels.cpu.jpeg_codes import CODES, MEANS, VALUES, keep_codes
from gpuio.kernels.jit import inner

__all__ = [
    "FRONT",
    "PLACES",
    "QUANTA",
    "TABLES",
    "codes_at",
    "find_front",
    "natural_order",
    "places",
    "quanta_at",
    "read_front",
]

_LARGEST = 65_500  # pixels of a side, for libjpeg
# as numbers of a type: with each constant a function would be compiled once more
_JFIF, _ICC, _ADOBE = (np.int64(int.from_bytes(name)) for name in (b"JFIF\0", b"ICC_P", b"Adobe"))
_ZERO = np.int64(0)
_NATURAL = np.array(
    [
        0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48,
        41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
        30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
    ]
)  # fmt: skip
_USED = (0, 1, 3, 5, 7)  # rows and columns of coefficients that 2 x 2 pixels depend on
_NOWHERE = 40  # place of the others

# a thread's memory, int32 each
QUANTA = 2 * CODES  # of each component, in zigzag order
PLACES = QUANTA + 3 * 64  # of a coefficient in a block of `jpeg_pixels.small_block`
_TABLES = PLACES + 64  # see `find_front`
TABLES = 8
FRONT = _TABLES + TABLES + 8


def natural_order():
    """Return the row and the column of each coefficient, in zigzag order."""
    return divmod(_NATURAL, 8)


def places():
    """Return where each coefficient goes, int32[64], in zigzag order."""
    row, column = natural_order()
    used = np.isin(row, _USED) & np.isin(column, _USED)
    return np.where(used, np.searchsorted(_USED, row) * 8 + column, _NOWHERE).astype(np.int32)


@inner
def _two(data, at):
    return read_byte(data, at) << 8 | read_byte(data, at + 1)


@inner
def _begins(data, at, size, name):
    """Say whether a segment's bytes begin with five, as one number."""
    found = 0
    for k in range(min(size, 5)):
        found = found << 8 | read_byte(data, at + k)
    return found == name


@inner
def _is_plain_segment(data, marker, at, size):
    """Say whether an application's segment, or a comment, is one that changes nothing."""
    if marker == 0xE0 and _begins(data, at, size, _JFIF):
        return size >= 14 and read_byte(data, at + 5) == 1
    if marker == 0xE2 and _begins(data, at, size, _ICC):
        return size > 14 and read_byte(data, at + 12) == 1 and read_byte(data, at + 13) == 1
    if marker == 0xEE and _begins(data, at, size, _ADOBE):
        return size >= 12 and read_byte(data, at + 11) == 1
    return marker == 0xFE or 0xE0 <= marker <= 0xEF


@inner
def _find_tables(data, tables, marker, p, stop):
    """Note where the tables of a segment stand; False where one is not plain."""
    while p < stop:
        number = read_byte(data, p)
        p += 1
        if marker == 0xDB:
            if number > 3:  # 16 bits, or none
                return False
            put(tables, number, p)
            p += 64
        else:
            if number & 0xEE or p + 16 > stop:
                return False
            count = 0
            for k in range(16):
                count += read_byte(data, p + k)
            if count > 256:
                return False
            put(tables, 4 + 2 * (number >> 4) + (number & 1), p)
            p += 16 + count
    return p == stop


@inner
def _sampling_of(data, p, stop):
    """Return the factors of a frame's components, as HEADER has them; 0 where it is not plain."""
    count = read_byte(data, p + 5)
    if (count != 1 and count != 3) or stop != p + 6 + 3 * count or read_byte(data, p) != 8:
        return 0
    sampling, first = 0, read_byte(data, p + 6)
    for c in range(count):
        at = p + 6 + 3 * c
        # other names may mean other colours
        if read_byte(data, at) != first + c or first > 1 or read_byte(data, at + 2) > 3:
            return 0
        sampling = sampling << 8 | read_byte(data, at + 1)
    if count == 1:
        return sampling if sampling == 0x11 else 0
    if sampling == 0x111111 or sampling == 0x211111 or sampling == 0x221111:
        return sampling
    return 0


@inner
def quanta_at(data, size, tables, frame, c):
    """Return where the quanta of a component stand; 0 where they are missing or one is zero.

    Parameters
    ----------
    data, size, tables      as of `find_front`
    frame : int             from it
    c : int                 number of the component
    """
    at = item(tables, read_byte(data, frame + 6 + 3 * c + 2))
    if at == 0 or at + 64 > size:
        return 0
    for k in range(64):
        if read_byte(data, at + k) == 0:
            return 0
    return at


@inner
def codes_at(data, tables, scan, part):
    """Return where the codes of luma (0) or chroma (1) stand, DC and AC; 0 for none.

    None are also those that are not the same for both components of chroma.

    Parameters
    ----------
    data, tables            as of `find_front`
    scan : int              from it
    part : {0, 1}
    """
    name = read_byte(data, scan + 2 + 2 * part)
    if name & 0xEE or (part == 1 and name != read_byte(data, scan + 6)):
        return 0, 0
    return item(tables, 4 + (name >> 4)), item(tables, 6 + (name & 1))


@inner
def _take_quanta(data, size, own, frame, count):
    """Copy the quanta of each component; False where a table is missing or has a zero."""
    for c in range(count):
        at = quanta_at(data, size, own + 4 * _TABLES, frame, c)
        if at == 0:
            return False
        for k in range(64):
            seen = item(own, PLACES + k) != _NOWHERE
            put(own, QUANTA + 64 * c + k, read_byte(data, at + k) if seen else 0)
    return True


@inner
def _take_codes(data, own, scan, count, values):
    """Make the tables of codes that a scan names; False where one is missing or wrong."""
    for part in range(1 if count == 1 else 2):
        dc, ac = codes_at(data, own + 4 * _TABLES, scan, part)
        kind = VALUES if part == 1 and values else MEANS
        if dc == 0 or ac == 0:
            return False
        if not keep_codes(own + 4 * CODES * part, kind, data + dc, data + ac):
            return False
    return True


@inner
def find_front(data, size, tables):
    """Read all up to the entropy-coded data.

    Parameters
    ----------
    data, size : int        address and bytes of the image
    tables : int            address of int32[TABLES]: receives where in the image each table stands,
                            0 for one that is not there: four of quanta, two each of codes of DC, AC

    Returns
    -------
    start : int             bytes before the entropy-coded data; 0: the image is not plain or sound
    height, width : int     pixels
    sampling : int          0x11, or 0x111111, 0x211111, 0x221111
    interval : int          units between restart markers, 0 for none
    frame, scan : int       where the headers of its frame and of its scan stand
    """
    nothing = 0, 0, 0, 0, 0, 0, 0
    if size < 4 or size > 0x7FFFFFFF or _two(data, _ZERO) != 0xFFD8:
        return nothing
    for k in range(TABLES):
        put(tables, k, 0)
    at, frame, sampling, interval, profiles = 2, 0, 0, 0, 0
    while at + 4 <= size:
        marker, p, stop = read_byte(data, at + 1), at + 4, at + 2 + _two(data, at + 2)
        if read_byte(data, at) != 0xFF or stop < p or stop > size:
            return nothing
        if marker == 0xDB or marker == 0xC4:
            if not _find_tables(data, tables, marker, p, stop):
                return nothing
        elif marker == 0xC0 or marker == 0xC1:
            if frame != 0 or stop < p + 9:
                return nothing
            frame, sampling = p, _sampling_of(data, p, stop)
            if sampling == 0:
                return nothing
        elif marker == 0xDD:
            if stop != p + 2:
                return nothing
            interval = _two(data, p)
        elif marker == 0xDA:
            break
        else:
            if not _is_plain_segment(data, marker, p, stop - p):
                return nothing
            profiles += marker == 0xE2 and _begins(data, p, stop - p, _ICC)
        at = stop
    if at + 4 > size or frame == 0 or profiles > 1:
        return nothing
    count, p, stop = read_byte(data, frame + 5), at + 4, at + 2 + _two(data, at + 2)
    height, width = _two(data, frame + 1), _two(data, frame + 3)
    if min(height, width) == 0 or max(height, width) > _LARGEST:
        return nothing
    if stop != p + 4 + 2 * count or read_byte(data, p) != count:
        return nothing
    for c in range(count):
        if read_byte(data, p + 1 + 2 * c) != read_byte(data, frame + 6 + 3 * c):
            return nothing
    if _two(data, stop - 3) != 63 or read_byte(data, stop - 1) != 0:
        return nothing
    return stop, height, width, sampling, interval, frame, p


@inner
def read_front(data, size, own):
    """Read all up to the entropy-coded data, and make the tables that it needs.

    Parameters
    ----------
    data, size : int        address and bytes of the image
    own : int               address of int32[FRONT], zeros at first but for PLACES

    Returns
    -------
    start, height, width, sampling, interval
                            as of `find_front`
    """
    nothing = 0, 0, 0, 0, 0
    found = find_front(data, size, own + 4 * _TABLES)
    start, height, width, sampling, interval, frame, scan = found
    if start == 0:
        return nothing
    count = read_byte(data, frame + 5)
    if not _take_quanta(data, size, own, frame, count):
        return nothing
    if not _take_codes(data, own, scan, count, sampling == 0x221111):
        return nothing
    return start, height, width, sampling, interval
