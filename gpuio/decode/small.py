"""Who decodes small JPEGs at their full size: gpuio itself, then TurboJPEG if it is there.

Compiled when a share of a job of small records first has such an image, or the host is first given
several of them for a GPU; no other job pays for it.

Invariant: what is decoded has the pixels that OpenCV makes, and what is not decoded is for OpenCV.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.decode.own import OwnDecoder
from gpuio.decode.turbojpeg import Handle

__all__ = ["RECORD_BYTES", "SmallDecoder", "any_small"]

MAX_PIXELS = 65_536  # of an image; of larger ones it has little to spare
RECORD_BYTES = 24_576  # of a job's mean record: of a larger one few images are so small


def any_small(headers: npt.NDArray[np.void], at_least: int = 1) -> bool:
    """Say whether images are small JPEGs that gpuio may decode itself.

    Parameters
    ----------
    headers : HEADER[n]
    at_least : int          how many of them
    """
    plain = (headers["frame"] == 0xC0) | (headers["frame"] == 0xC1)
    pixels = headers["height"].astype(np.int64) * headers["width"]
    found = plain & (headers["one_scan"] != 0) & (pixels <= MAX_PIXELS)
    return int(np.count_nonzero(found)) >= at_least


class SmallDecoder(OwnDecoder):
    """One thread's decoder: see `OwnDecoder`.

    Parameters
    ----------
    turbo : module or None      whose `decode` decodes what gpuio does not itself
    handle : Handle or None     of this thread, for it
    max_pixels : int            of an image
    """

    def __init__(self, turbo: Any, handle: Handle | None, max_pixels: int = 2**31 - 1) -> None:
        from gpuio.kernels.cpu import small

        most = min(max_pixels, MAX_PIXELS)
        super().__init__(small.decode, small.SmallDecoder, turbo, handle, most)
