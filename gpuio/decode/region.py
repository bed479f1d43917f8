"""What is read of JPEGs that are decoded one by one, at its place: by gpuio, then TurboJPEG."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.decode.own import OwnDecoder

__all__ = ["RegionDecoder", "plain_sampling"]


def plain_sampling(header: np.void) -> int:
    """Return a JPEG's sampling factors if TurboJPEG may have it, else 0; header : HEADER[()]."""
    plain = header["frame"] in (0xC0, 0xC1) and header["bits"] == 8 and header["one_scan"] != 0
    return int(header["sampling"]) if plain and header["channels"] in (1, 3) else 0


class RegionDecoder:
    """One thread's decoder.

    Parameters
    ----------
    decode : kernel         a DECODE of `gpuio.kernels.cpu.share`
    handle : int            address of the thread's, for it
    own : OwnDecoder or None    whose kernel that is; None: TurboJPEG's
    """

    def __init__(self, decode: Any, handle: int, own: OwnDecoder | None) -> None:
        self._decode, self._handle, self._own = decode, handle, own

    def decode(
        self,
        address: int,
        length: int,
        header: np.void,
        region: tuple[int, int, int, int],
        pixels: npt.NDArray[np.uint8],
    ) -> str:
        """Decode what is read of an image.

        Parameters
        ----------
        address, length : int   of the encoded image
        header : HEADER[()]
        region : 4 int          top, stop, left, right: rows [top, stop) and columns [left, right);
                                stop 0: all from `top` on, and what is behind them is looked at
        pixels : uint8[h, w, C] of the whole image's size, C order; receives them at their place

        Returns
        -------
        str                     "own" or "turbojpeg", who decoded; "": nobody, `pixels` holds
                                anything
        """
        sampling = plain_sampling(header)
        if not sampling:
            return ""
        before = 0 if self._own is None else self._own.decoded
        height, width, channels = pixels.shape
        code = self._decode(
            self._handle, address, length, height, width, channels, sampling,
            int(header["shortens"]), *region, 1, pixels.ctypes.data,
        )  # fmt: skip
        if code != 0:
            return ""
        return "own" if self._own is not None and self._own.decoded > before else "turbojpeg"
