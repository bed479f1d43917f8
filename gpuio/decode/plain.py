"""Who decodes plain JPEGs at their full size: gpuio itself, then TurboJPEG if it is there.

Compiled when a share of a job of small records first has such an image, or the host is first given
several of them for a GPU; in a job of larger records behind the first two batches, by one thread,
while the others go on without it.

Invariant: what is decoded has the pixels that OpenCV makes, and what is not decoded is for OpenCV.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.decode.own import OwnDecoder
from gpuio.decode.turbojpeg import Handle
from gpuio.forking import lock

__all__ = ["RECORD_BYTES", "PlainDecoder", "any_plain", "is_loaded"]

MAX_PIXELS = 1 << 24  # of an image: its planes take up to 4 bytes a pixel of each thread
RECORD_BYTES = 24_576  # of a job's mean record: such images cost less than what others wait for

_loading = lock()
_loaded = False


def is_loaded(*, now: bool) -> bool:
    """Say whether the compiled decoder is there.

    Parameters
    ----------
    now : bool      load it, or compile it, unless another thread is at it
    """
    global _loaded
    if now and not _loaded and _loading.acquire(blocking=False):
        try:
            from gpuio.kernels.cpu import plain  # noqa: F401

            _loaded = True
        finally:
            _loading.release()
    return _loaded


def any_plain(headers: npt.NDArray[np.void], at_least: int = 1) -> bool:
    """Say whether images are plain JPEGs that gpuio may decode itself.

    Parameters
    ----------
    headers : HEADER[n]
    at_least : int          how many of them
    """
    plain = (headers["frame"] == 0xC0) | (headers["frame"] == 0xC1)
    pixels = headers["height"].astype(np.int64) * headers["width"]
    found = plain & (headers["one_scan"] != 0) & (pixels <= MAX_PIXELS)
    return int(np.count_nonzero(found)) >= at_least


class PlainDecoder(OwnDecoder):
    """One thread's decoder: see `OwnDecoder`.

    Parameters
    ----------
    turbo : module or None      whose `decode` decodes what gpuio does not itself
    handle : Handle or None     of this thread, for it
    max_pixels : int            of an image
    """

    def __init__(self, turbo: Any, handle: Handle | None, max_pixels: int = 2**31 - 1) -> None:
        from gpuio.kernels.cpu import plain

        self._most = min(max_pixels, MAX_PIXELS)
        super().__init__(plain.decode, plain.PlainDecoder, turbo, handle, self._most)

    def fit(self, pixels: int) -> None:
        """Make room for images of so many pixels; it stays."""
        self._own.fit(min(pixels, self._most))
