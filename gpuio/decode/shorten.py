"""Decode a JPEG only as far down as the crop reaches.

A baseline JPEG of one scan stores its blocks row after row, so a decoder that is told of a smaller
height stops early: entropy decoding, transform and colour conversion of the rest never happen. The
rows that are decoded are the same to the bit (the last row of the shortened image, which lacks
its lower neighbour in the chroma upsampling, is beyond what the crop needs).
"""

from __future__ import annotations

from gpuio.decode.formats import BARE_MARKERS

__all__ = ["shorten"]

_MARGIN = 2  # rows below the last one needed: chroma upsampling looks one row further down

_END = b"\xff\xd9"

_Buffer = bytes | bytearray | memoryview


def shorten(blob: _Buffer, rows: int) -> tuple[memoryview, int] | None:
    """Make a JPEG whose decoding ends soon after its first `rows` rows.

    Parameters
    ----------
    blob : bytes-like       a JPEG
    rows : int              rows needed, from the top, >= 1

    Returns
    -------
    blob : memoryview       decodes to fewer rows, of which the first `rows` are the same
    height : int            how many it decodes to
        None where it cannot be done or saves nothing: another process than baseline, several scans,
        restart markers, another image behind this one, damage, no end marker, or too few rows
        left out
    """
    found = _frame(blob) if bytes(blob[-2:]) == _END else None
    if found is None:
        return None
    at, height = found
    block = 8 * max(blob[at + 11 + 3 * c] & 15 for c in range(blob[at + 9]))
    keep = -(-(rows + _MARGIN) // block) * block
    if 64 * keep > 63 * height:
        return None
    # the end marker is left out, too: finding it after unread data would be reported as damage
    shorter = bytearray(blob)
    shorter[at + 5 : at + 7] = keep.to_bytes(2, "big")
    return memoryview(shorter)[:-2], keep


def _frame(blob: _Buffer) -> tuple[int, int] | None:
    """Return the frame header's byte and the height of a JPEG that can be shortened."""
    size, at, frame = len(blob), 2, 0
    while at + 10 <= size and blob[at] == 0xFF:
        marker = blob[at + 1]
        if marker == 0xFF or marker in BARE_MARKERS:
            at += 1 if marker == 0xFF else 2
            continue
        length = (blob[at + 2] << 8) | blob[at + 3]
        if marker == 0xDA:
            whole = frame and blob[at + 4] == blob[frame + 9]
            return (frame, (blob[frame + 5] << 8) | blob[frame + 6]) if whole else None
        several = marker == 0xE2 and bytes(blob[at + 4 : at + 8]) == b"MPF\0"
        if marker == 0xDD or several or length < 2:
            return None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if marker > 0xC1 or blob[at + 4] != 8 or at + 10 + 3 * blob[at + 9] > size:
                return None
            frame = at
        at += 2 + length
    return None
