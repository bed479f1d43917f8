"""Who decodes JPEGs that decode_scale makes smaller: at 1/8 gpuio itself, else TurboJPEG.

Compiled when the first image of a process is to be smaller; no other job pays for it.

Invariant: what is decoded has the pixels that OpenCV makes, and what is not decoded is for OpenCV.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.decode.own import OwnDecoder
from gpuio.decode.region import plain_sampling
from gpuio.decode.turbojpeg import Handle

__all__ = ["ScaledDecoder"]


class ScaledDecoder(OwnDecoder):
    """One thread's decoder: see `OwnDecoder`.

    Parameters
    ----------
    turbo : module or None      whose `decode` decodes what gpuio does not itself
    handle : Handle or None     of this thread, for it
    max_pixels : int            of an image of full size
    """

    def __init__(self, turbo: Any, handle: Handle | None, max_pixels: int = 2**31 - 1) -> None:
        from gpuio.kernels.cpu import eighth

        super().__init__(eighth.decode, eighth.EighthDecoder, turbo, handle, max_pixels)
        behind = turbo is not None and handle is not None
        self._scales = (8, 4, 2) if behind else (eighth.SCALE,)
        self._decode = eighth.decode

    def decode(
        self,
        address: int,
        length: int,
        header: npt.NDArray[np.void],
        stop: int,
        scale: int,
        pixels: npt.NDArray[np.uint8],
    ) -> str:
        """Decode an image from the top on.

        Parameters
        ----------
        address, length : int       of the encoded image
        header : HEADER[1]
        stop : int                  rows needed; 0: all, and what is behind them is looked at
        scale : {2, 4, 8}
        pixels : uint8[h, w, C]     of its size at 1 / scale, C order; receives the pixels

        Returns
        -------
        str                         "own" or "turbojpeg", who decoded; "": nobody, `pixels` holds
                                    anything
        """
        if scale not in self._scales:
            return ""
        height, width, channels = pixels.shape
        before = self.decoded
        code = self._decode(
            self.address, address, length, height, width, channels,
            plain_sampling(header[0]), int(header[0]["shortens"]),
            0, stop, 0, width, scale, pixels.ctypes.data,
        )  # fmt: skip
        if code != 0:
            return ""
        return "own" if self.decoded > before else "turbojpeg"
