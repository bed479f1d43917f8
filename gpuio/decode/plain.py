"""Who decodes plain JPEGs at their full size: gpuio itself, then TurboJPEG if it is there.

Compiled when a share of a job of small records first has such an image, or the host is first given
several of them for a GPU; in a job of larger records behind the first two batches, by one thread,
while the others go on without it.

Invariant: what is decoded has the pixels that OpenCV makes, and what is not decoded is for OpenCV.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.decode.own import OwnDecoder
from gpuio.decode.turbojpeg import Handle
from gpuio.forking import lock

__all__ = ["RECORD_BYTES", "PlainDecoder", "any_plain", "is_loaded", "is_lost"]

MAX_PIXELS = 1 << 24  # of an image: its planes take up to 4 bytes a pixel of each thread
RECORD_BYTES = 24_576  # of a job's mean record: such images cost less than what others wait for

_loading = lock()
_loaded = False
_loading_in = 0  # process whose thread loads it, else 0


def is_loaded(*, load: bool) -> bool:
    """Say whether the compiled decoder is there.

    Parameters
    ----------
    load : bool     load it, or compile it, unless another thread is at it
    """
    if load and not _loaded and not is_lost() and _loading.acquire(blocking=False):
        try:
            _load()
        finally:
            _loading.release()
    return _loaded


def is_lost() -> bool:
    """Say whether this process was forked while its parent loaded the decoder.

    The module's lock is then held by a thread that is not there: to import it would never end.
    """
    return _loading_in not in (0, os.getpid())


def _load() -> Any:
    """Return the module of the compiled decoder."""
    global _loaded, _loading_in
    if not _loaded:
        _loading_in = os.getpid()
    try:
        from gpuio.kernels.cpu import plain

        _loaded = True
    finally:
        _loading_in = 0
    return plain


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
        plain = _load()
        self._most = min(max_pixels, MAX_PIXELS)
        super().__init__(plain.decode, plain.PlainDecoder, turbo, handle, self._most)

    def fit(self, pixels: int) -> None:
        """Make room for images of so many pixels; it stays."""
        self._own.fit(min(pixels, self._most))
