"""Who decodes small JPEGs at their full size: gpuio itself, then TurboJPEG if it is there.

Compiled when a share of a job of small records first has such an image, or the host is first given
several of them for a GPU; no other job pays for it.

Invariant: what is decoded has the pixels that OpenCV makes, and what is not decoded is for OpenCV.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

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


class SmallDecoder:
    """One thread's decoder.

    Parameters
    ----------
    turbo : module or None      whose `decode` decodes what gpuio does not itself
    handle : Handle or None     of this thread, for it
    max_pixels : int            of an image

    Attributes
    ----------
    function, address : int     a DECODE of `gpuio.kernels.cpu.share`, and its handle
    """

    def __init__(self, turbo: Any, handle: Handle | None, max_pixels: int = 2**31 - 1) -> None:
        from gpuio.kernels.cpu import small
        from gpuio.kernels.cpu.share import DECODE
        from gpuio.kernels.pointers import address

        then, its = 0, 0
        if turbo is not None and handle is not None:
            then, its = address(turbo.decode, DECODE), handle.address
        self._handle = handle  # it lives as long as this object
        self._own = small.SmallDecoder(then, its, min(max_pixels, MAX_PIXELS))
        self.function: int = address(small.decode, DECODE)
        self.address: int = self._own.address

    @property
    def decoded(self) -> int:
        """How many images gpuio has decoded itself."""
        return self._own.decoded
