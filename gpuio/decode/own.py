"""What gpuio's own decoders have in common: one stands in front of TurboJPEG, if that is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpuio.decode.turbojpeg import Handle

__all__ = ["OwnDecoder"]


class OwnDecoder:
    """One thread's decoder.

    Parameters
    ----------
    decode : kernel             a DECODE of `gpuio.kernels.cpu.share`
    make : callable             makes its state of three int: the address of the DECODE behind it, 0
                                for none, the handle of that one, and `max_pixels`
    turbo : module or None      whose `decode` decodes what gpuio does not itself
    handle : Handle or None     of this thread, for it
    max_pixels : int            of an image of full size

    Attributes
    ----------
    kernel : kernel             `decode`
    function, address : int     of `decode`, and of its state, which it takes as its handle
    """

    def __init__(
        self,
        decode: Any,
        make: Callable[[int, int, int], Any],
        turbo: Any,
        handle: Handle | None,
        max_pixels: int,
    ) -> None:
        from gpuio.kernels.cpu.share import DECODE
        from gpuio.kernels.pointers import address

        then, its = 0, 0
        if turbo is not None and handle is not None:
            then, its = address(turbo.decode, DECODE), handle.address
        self._handle = handle  # it lives as long as this object
        self.kernel, self._own = decode, make(then, its, max_pixels)
        self.function: int = address(decode, DECODE)
        self.address: int = self._own.address

    @property
    def decoded(self) -> int:
        """How many images gpuio has decoded itself."""
        found: int = self._own.decoded
        return found
