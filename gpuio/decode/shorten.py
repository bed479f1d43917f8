"""Decode a JPEG only as far down as the crop reaches.

A baseline JPEG of one scan stores its blocks row after row, so a decoder that is told of a smaller
height stops early: entropy decoding, transform and colour conversion of the rest never happen. The
rows that are decoded are the same to the bit (the last row of the shortened image, which lacks
its lower neighbour in the chroma upsampling, is beyond what the crop needs).
"""

from __future__ import annotations

__all__ = ["MARGIN", "shorten"]

MARGIN = 2  # rows below the last one needed: chroma upsampling looks one row further down

_END = b"\xff\xd9"

_Buffer = bytes | bytearray | memoryview


def shorten(
    blob: _Buffer, rows: int, frame_at: int, height: int, sampling: int
) -> tuple[memoryview, int] | None:
    """Make a JPEG whose decoding ends soon after its first `rows` rows.

    Parameters
    ----------
    blob : bytes-like       a JPEG whose header lets decoding stop early (`ImageInfo.shortens`)
    rows : int              rows needed, from the top, >= 1
    frame_at : int          byte at which its frame header starts
    height : int            pixels, as the frame header has it
    sampling : int          as `ImageInfo.sampling` has it

    Returns
    -------
    blob : memoryview       decodes to fewer rows, of which the first `rows` are the same
    height : int            how many it decodes to
        None where it saves nothing, the end marker is not at the end, or no factor is above 0
    """
    block = 8 * max(factors & 15 for factors in sampling.to_bytes(4, "big"))
    if block == 0 or bytes(blob[-2:]) != _END:
        return None
    keep = -(-(rows + MARGIN) // block) * block
    if 64 * keep > 63 * height:
        return None
    # the end marker is left out, too: finding it after unread data would be reported as damage
    shorter = bytearray(blob)
    shorter[frame_at + 5 : frame_at + 7] = keep.to_bytes(2, "big")
    return memoryview(shorter)[:-2], keep
