"""HEADER: what an encoded image says of itself, as a row of an array.

The dtype is what `gpuio.decode.formats.probe` fills, what a backend is told, and a stretch of each
row of RECORDS. All fields are 0 where there is no image; `gpuio.decode.formats.ImageInfo` says what
they mean.
"""

from __future__ import annotations

import numpy as np

__all__ = ["HEADER"]

HEADER = np.dtype(
    [
        ("kind", np.int32),
        ("height", np.int32),
        ("width", np.int32),
        ("channels", np.int32),
        ("bits", np.int32),
        ("orientation", np.int32),
        ("frame", np.int32),
        ("sampling", np.uint32),
        ("frame_at", np.int32),
        ("scans", np.int32),
        ("one_scan", np.int32),
        ("shortens", np.int32),
        ("ended", np.int32),
    ]
)
