"""Whether a JPEG decodes, without its pixels: two thirds of the work, and no memory for them.

Errors and warnings of a baseline JPEG arise where its entropy-coded data is read. So TurboJPEG
reads all of it and makes an image of 1/8 of the size.
"""

from __future__ import annotations

from gpuio.decode import turbojpeg
from gpuio.decode.formats import ImageInfo

__all__ = ["decodes"]

_MAX_PIXELS = 1 << 28  # OpenCV refuses images of 2^30 pixels, and may lack the memory before that
_SEQUENTIAL = (0xC0, 0xC1)


def decodes(blob: bytes | memoryview, info: ImageInfo) -> bool | None:
    """Say whether an image is one that OpenCV decodes for certain.

    Parameters
    ----------
    blob : bytes-like       the encoded image
    info : ImageInfo        its header

    Returns
    -------
    bool or None    True: it decodes. False: libjpeg warns of its data, and OpenCV probably decodes
                    it all the same. None: it is not known, ask OpenCV: another kind of image, an
                    error, or no TurboJPEG
    """
    plain = info.one_scan and info.frame in _SEQUENTIAL and info.bits == 8 and info.ended
    if not plain or info.channels not in (1, 3) or info.height * info.width > _MAX_PIXELS:
        return None
    if not turbojpeg.status().usable:
        return None
    handle = turbojpeg.Handle(_MAX_PIXELS, 1)  # of its own: the last one keeps an image's tables
    if handle.reads_all(blob, info.height, info.width):
        return True
    return False if handle.warned() else None
