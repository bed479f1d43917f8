"""The quality a JPEG was saved with, told from its quantisation table."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from gpuio.decode.jpeg import walk
from gpuio.errors import DecodeError

__all__ = ["jpeg_qualities", "jpeg_quality"]

# the luminance table of the JPEG standard (Annex K, table K.1), rows of the block
_STANDARD = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
_HEAD = 65536  # bytes: tables behind them are not looked for
_ZIGZAG = sorted(
    ((y, x) for y in range(8) for x in range(8)),
    key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]),
)


@functools.cache
def _tables() -> npt.NDArray[np.int64]:
    """Return the table of every quality, 1 to 100, as libjpeg scales it: int64[100, 64], zigzag."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    flat = np.array([_STANDARD[at] for at in _ZIGZAG])
    made: npt.NDArray[np.int64] = np.clip((flat * scale[:, None] + 50) // 100, 1, 255)
    return made


def jpeg_quality(blob: bytes | memoryview) -> tuple[int, bool] | None:
    """Return the quality of a JPEG by libjpeg's scale.

    Parameters
    ----------
    blob : bytes-like           the encoded image

    Returns
    -------
    quality : int               1 to 100; the nearest one where another program's table was used
    exact : bool                whether the table is libjpeg's
    None                        there is no luminance table before the image's data
    """
    table = _luminance(blob)
    if table is None:
        return None
    return _nearest(table.tobytes())


def jpeg_qualities(
    addresses: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the qualities of JPEGs that lie in memory.

    Parameters
    ----------
    addresses, sizes : int64[n]     bytes, of images whose headers are in order

    Returns
    -------
    int64[n]                    as of `jpeg_quality`; 0 for None
    """
    from gpuio.kernels.jpeg_tables import luminance_tables

    tables, found = np.zeros((len(sizes), 64), np.uint16), np.zeros(len(sizes), np.bool_)
    luminance_tables(addresses, sizes, tables, found)
    made = np.zeros(len(sizes), np.int64)
    kinds, which = np.unique(tables.view("V128")[:, 0], return_inverse=True)
    known = [
        _nearest(one.tobytes())[0] for one in kinds.view(np.uint16).reshape(-1, 64).astype(int)
    ]
    made[found] = np.array(known, np.int64)[which][found]
    return made


@functools.lru_cache(maxsize=256)
def _nearest(table: bytes) -> tuple[int, bool]:
    """Return the quality whose table is nearest, and whether it is that one."""
    distance = np.abs(_tables() - np.frombuffer(table, np.int64)).sum(1)
    best = 100 - int(np.argmin(distance[::-1]))  # the highest of equals
    return best, bool(distance[best - 1] == 0)


def _luminance(blob: bytes | memoryview) -> npt.NDArray[np.int64] | None:
    """Return quantisation table 0, int64[64], zigzag; None if none is found."""
    if bytes(blob[:2]) != b"\xff\xd8":
        return None
    try:
        header = walk(blob)
    except DecodeError:
        return None
    head = bytes(blob[:_HEAD])
    for at in header.tables_at:
        length = int.from_bytes(head[at + 2 : at + 4], "big")
        found = _first_of(head[at + 4 : at + 2 + length])
        if found is not None:
            return found
    return None


def _first_of(segment: bytes) -> npt.NDArray[np.int64] | None:
    """Return table 0 of a segment of tables."""
    at = 0
    while at < len(segment):
        wide, number = segment[at] >> 4, segment[at] & 15
        size = 128 if wide else 64
        if at + 1 + size > len(segment):
            return None
        values = np.frombuffer(segment[at + 1 : at + 1 + size], ">u2" if wide else np.uint8)
        if number == 0:
            return values.astype(np.int64)
        at += 1 + size
    return None
