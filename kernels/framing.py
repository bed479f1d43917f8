"""Walk over expanded records, compiled.

`gpuio.recordio.framing` defines the format; this walks it at memory speed and knows no errors: it
stops where something is not as it should be, and the caller finds out what.
"""

from __future__ import annotations

import numpy as np
from numba import types as t

from gpuio.kernels.jit import kernel

__all__ = ["walk"]

_MAGIC = np.uint32(0xCED7230A)


@kernel(t.int64(t.Array(t.uint8, 1, "C", readonly=True), t.int64[::1], t.int64[::1]))
def walk(buffer, starts, lengths):
    """Write start and expanded length (int64, bytes) of each whole record; return their number."""
    size = len(buffer)
    at = 0
    count = 0
    start = 0
    inside = False
    while at + 8 <= size:
        magic = (
            np.uint32(buffer[at])
            | (np.uint32(buffer[at + 1]) << np.uint32(8))
            | (np.uint32(buffer[at + 2]) << np.uint32(16))
            | (np.uint32(buffer[at + 3]) << np.uint32(24))
        )
        if magic != _MAGIC:
            break
        word = (
            np.uint32(buffer[at + 4])
            | (np.uint32(buffer[at + 5]) << np.uint32(8))
            | (np.uint32(buffer[at + 6]) << np.uint32(16))
            | (np.uint32(buffer[at + 7]) << np.uint32(24))
        )
        flag = np.int64(word >> np.uint32(29))
        length = np.int64(word & np.uint32((1 << 29) - 1))
        if inside != (flag == 2 or flag == 3) or flag > 3:
            break
        if not inside:
            start = at
        at += 8 + (length + 3) // 4 * 4
        if at > size:
            break
        inside = flag == 1 or flag == 2
        if not inside:
            starts[count] = start
            lengths[count] = at - start
            count += 1
    return count
