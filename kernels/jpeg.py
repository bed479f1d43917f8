"""What a JPEG says of itself before any pixel is decoded, read at its address.

This is `gpuio.decode.jpeg.walk` and `has_end`, byte for byte, with the limits of
`gpuio.decode.limits`. Whatever these refuse is marked, and so is a sampling factor that is not 1 to
4, which they take and no decoder does.

Invariant: nothing is read outside the image.
"""

from __future__ import annotations

from gpuio.kernels.addresses import read_byte, read_u32
from gpuio.kernels.jit import inner

__all__ = ["DAMAGE", "FORMAT", "JPEG", "LIMIT", "OK", "has_end", "read_jpeg"]

OK, FORMAT, DAMAGE, LIMIT = 0, 5, 6, 7  # the marks between them are those of `records`

JPEG = 1  # `kind`, as HEADER has it

_TAIL = 1024  # bytes at the end of a JPEG in which its end is looked for
_FULL_SIZE_SCANS = 16  # scans that an image of max_pixels may have


@inner
def _two(data, at):
    """Return two bytes, the higher first."""
    return read_byte(data, at) << 8 | read_byte(data, at + 1)


@inner
def _is_frame(marker):
    """Say whether a marker starts a frame header."""
    return 0xC0 <= marker <= 0xCF and marker != 0xC4 and marker != 0xC8 and marker != 0xCC


@inner
def _word(data, at, high):
    """Return two bytes; `high` says which of them is the higher, 0 or 1."""
    return read_byte(data, at + high) << 8 | read_byte(data, at + 1 - high)


@inner
def _orientation(data, at, end):
    """Return the EXIF orientation of the bytes [at, end) of an APP1 segment; 1 for none."""
    if end - at < 6 + 8 or read_u32(data, at) != 0x66697845 or _two(data, at + 4) != 0:  # Exif\0\0
        return 1
    at += 6
    size, order = end - at, _two(data, at)
    high = 1 if order == 0x4949 else 0  # II: the lower byte first
    if (high == 0 and order != 0x4D4D) or _word(data, at + 2, high) != 42:  # MM
        return 1
    first = _word(data, at + 4 + 2 * high, high) << 16 | _word(data, at + 6 - 2 * high, high)
    if first + 2 > size:
        return 1
    place = at + first + 2
    stop = min(place + 12 * _word(data, at + first, high), end - 11)
    while place < stop:
        if _word(data, place, high) == 0x0112:
            value = _word(data, place + 8, high)
            return value if _word(data, place + 2, high) == 3 and 1 <= value <= 8 else 1
        place += 12
    return 1


@inner
def _count_scans(data, size, first):
    """Count the starts of scans from a byte on."""
    scans = 0
    for k in range(first, size - 1):
        scans += read_byte(data, k) == 0xFF and read_byte(data, k + 1) == 0xDA
    return scans


@inner
def has_end(data, size):
    """Say whether the last end marker stands behind the last start of a scan, both in the tail."""
    at = size - 2
    while at >= 0 and at >= size - _TAIL:
        if read_byte(data, at) == 0xFF:
            marker = read_byte(data, at + 1)
            if marker == 0xD9 or marker == 0xDA:
                return marker == 0xD9
        at -= 1
    return False


@inner
def read_jpeg(data, size, row, max_pixels, max_scans):
    """Fill in a JPEG's facts.

    Parameters
    ----------
    data, size : int            address and bytes of the image
    row : RECORDS               zeros; gets the fields of HEADER if the image is OK
    max_pixels, max_scans : int

    Returns
    -------
    int                         OK, FORMAT, DAMAGE or LIMIT
    int                         bytes: an image that begins with as many equal ones is OK, too, and
                                has the same facts, but for its `has_end`. 0: not known
    """
    if size < 2 or _two(data, 0) != 0xFFD8:
        return FORMAT, 0
    at, frame, scan, orientation, plain = 2, 0, 0, 1, True
    while at + 4 <= size:
        marker = read_byte(data, at + 1)
        if read_byte(data, at) != 0xFF or marker == 0x00:
            plain = False
            at += 1
            continue
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # nothing belongs to them
            at += 2
            continue
        length = _two(data, at + 2)
        if frame == 0 and (marker == 0xD9 or marker == 0xDA or length < 2):
            return DAMAGE, 0
        if marker == 0xDA:
            scan = at
            break
        if length < 2:
            length, plain = 2, False
        if _is_frame(marker) and frame == 0:
            if at + 10 > size or at + 10 + 3 * read_byte(data, at + 9) > size:
                return DAMAGE, 0
            frame = at
        elif marker == 0xE1:
            if orientation == 1 and length >= 16 and frame == 0:
                orientation = _orientation(data, at + 4, min(at + 2 + length, size))
        elif marker == 0xE2:  # MPF: another image behind this one
            plain = plain and not (at + 8 <= size and read_u32(data, at + 4) == 0x0046504D)
        elif marker == 0xDD or _is_frame(marker):
            plain = False
        at += 2 + length
    if frame == 0:
        return DAMAGE, 0
    process, bits = read_byte(data, frame + 1), read_byte(data, frame + 4)
    height, width = _two(data, frame + 5), _two(data, frame + 7)
    channels = read_byte(data, frame + 9)
    known = process <= 0xC2 or process == 0xC9 or process == 0xCA
    if bits != 8 or not known or channels < 1 or channels > 4 or channels == 2:
        return DAMAGE, 0
    sampling = 0
    for c in range(channels):
        factors = read_byte(data, frame + 11 + 3 * c)
        h, v = factors >> 4, factors & 15
        if h < 1 or h > 4 or v < 1 or v > 4:
            return DAMAGE, 0
        sampling = sampling << 8 | factors
    pixels = height * width
    if pixels == 0 or pixels > max_pixels:
        return LIMIT, 0
    whole = scan > 0 and scan + 4 < size and read_byte(data, scan + 4) == channels
    scans = 0
    if whole and process != 0xC2 and process != 0xCA:
        scans = 1  # of a sequential image a first scan with all of its components is the only one
    elif scan > 0:
        scans = _count_scans(data, size, scan)
    if scans > max_scans or (scans > 1 and scans * pixels > _FULL_SIZE_SCANS * max_pixels):
        return LIMIT, 0
    row.kind, row.height, row.width, row.channels, row.bits = JPEG, height, width, channels, bits
    row.orientation, row.frame, row.sampling, row.frame_at = orientation, process, sampling, frame
    row.scans, row.ended = scans, has_end(data, size)
    one_scan = whole and process != 0xC2 and process != 0xCA
    row.one_scan = one_scan
    row.shortens = plain and whole and process <= 0xC1 and scan + 10 <= size
    front = max(scan, frame + 3 * channels) + 10  # all that was looked at
    return OK, front if one_scan and front <= size else 0
