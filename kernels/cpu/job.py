"""What the compiled call of a share is given: addresses, numbers, and a thread's memory.

A `Job` is made once for an output and read by every thread; each thread makes shares with a
`Memory` of its own. Only what an output and its plans need is compiled.
"""

# ruff: noqa: PLC0415 -- a rare step is compiled when a plan first needs it
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.kernels.cpu import share
from gpuio.kernels.cpu.augment import Normalisation, Scratch, augment
from gpuio.kernels.cpu.clock import clock_address
from gpuio.kernels.cpu.lanes import LINE, VALUES
from gpuio.kernels.cpu.needs import Needs, look_at
from gpuio.kernels.cpu.share import (
    BYTES,
    CENTRED,
    DOUBTED,
    FINISH,
    FLOATS,
    HALVES,
    LEFT,
    MADE,
    NO_IMAGE,
    RATIOS,
    WARNED,
)
from gpuio.kernels.cpu.window import LOAD_BYTES, make_window
from gpuio.kernels.pointers import address

__all__ = [
    "DOUBTED",
    "LEFT",
    "MADE",
    "NO_IMAGE",
    "WARNED",
    "Job",
    "Memory",
    "Normalisation",
    "augment",
]

_KEPT = 64 << 20  # bytes of pixels that a thread keeps from share to share
_AT = {name: number for number, name in enumerate(share.JOB.names or ())}  # each is an int64
_HANDLE, _PIXELS, _DECODE = _AT["handle"], _AT["pixels"], _AT["decode"]
_OUT, _OUT_STEP, _PAST = _AT["out"], _AT["out_step"], _AT["past"]
_IMAGE, _CLOCK = _AT["image"], _AT["clock"]


class Memory:
    """Working memory of one thread.

    Parameters
    ----------
    handle : int        address of its decoder, 0 without one

    Attributes
    ----------
    spent : int64[2]    nanoseconds of decoding, and of all else, in the last call that was timed:
                        of some rows, so that their share is that of all
    left : int          rows that are not MADE, of the last call
    """

    def __init__(self, handle: int = 0) -> None:
        self.scratch, self.handle = Scratch(), handle
        self.pixels = np.empty(0, np.uint8)
        self.terms = np.zeros((3, 4), np.float32)
        self.order, self.number = np.zeros(3, np.int32), np.zeros(3, np.float32)
        self.spent, self.left = np.zeros(2, np.int64), 0

    def fit(self, needs: Needs, height: int, width: int, channels: int) -> None:
        """Grow to what rows of JPEGs need; `channels` 0: pixels lie elsewhere. Others are left."""
        need = max(height, width + 2, needs.widest + LOAD_BYTES // 4)
        if self.scratch.work[2].size < 4 * need:
            self.scratch.grow(need)
        if self.pixels.size < channels * needs.most:
            self.pixels = np.empty(channels * needs.most, np.uint8)


class Job:
    """How the rows of an output are made.

    Parameters
    ----------
    normalisation : Normalisation
    channels, height, width : int       of the output
    turbo : module, optional            whose `decode` decodes rows; without it they come decoded,
                                        unless `make` is given a decoder
    """

    def __init__(
        self,
        normalisation: Normalisation,
        channels: int,
        height: int,
        width: int,
        turbo: Any = None,
    ) -> None:
        normalisation.check(channels, height, width)
        self.decodes = turbo is not None
        self._normalisation = normalisation
        self._shape = channels, height, width
        self._coloured, self._clock = False, clock_address()
        mean, std, scale = normalisation.given
        kind, wide = _kind(normalisation), normalisation.mean_image is not None
        whole = kind == CENTRED and normalisation.dtype == "int8"
        self._given = np.stack([mean, std, np.full_like(std, scale)])
        if whole:
            self._given[1:] = 1
        self._whole = normalisation.whole
        self._centre = np.ascontiguousarray(mean.reshape(-1, 1, 1))
        if wide:
            self._centre = np.asarray(normalisation.mean_image)
        # outputs that `image_32` can make, until it is loaded
        planes = kind == FLOATS and normalisation.layout == "NCHW" and channels == 3
        self._wants_image = planes and width % VALUES == 0
        self._narrow = kind in (CENTRED, RATIOS) and normalisation.dtype != "float32"
        by = (1, width * channels, channels)
        if normalisation.layout == "NCHW":
            by = (height * width, width, 1)
        low, high = (-128, 127) if normalisation.dtype == "int8" else (0, 255)
        job = np.zeros(1, share.JOB)
        for name, value in {
            "decode": 0 if turbo is None else address(turbo.decode, share.DECODE),
            "window": address(make_window, share.WINDOW),
            "finish": address(_finish(kind, normalisation.layout), FINISH[kind]),
            "kind": kind,
            "channels": channels,
            "height": height,
            "width": width,
            "by_c": by[0],
            "by_y": by[1],
            "by_x": by[2],
            "brain": normalisation.dtype == "bfloat16",
            "wide": wide,
            "own": not whole,
            "low": low,
            "high": high,
        }.items():
            job[name] = value
        self._words = job.view(np.int64)

    def look_at(
        self,
        rows: Any,
        headers: Any,
        lengths: Any,
        known: Any,
        scales: Any,
    ) -> Needs:
        """Return what rows need; the arguments are those of `needs.look_at`."""
        _, height, width = self._shape
        return Needs(*look_at(rows, headers, lengths, known, scales, height, width))

    def make(
        self,
        rows: Any,
        blobs: Any,
        lengths: Any,
        headers: Any,
        scales: Any,
        out: Any,
        memory: Memory,
        decoded: Any = None,
        keep: Any = None,
        kept: Any = None,
        *,
        timed: bool = False,
        decoder: Any = None,
        past: bool = False,
        needs: Needs | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Make rows of a batch.

        Parameters
        ----------
        rows : PLAN[n]              C order
        blobs, lengths : int64[n]   as of `share.make_share`
        headers : HEADER[n]         C order
        scales : int64[n]           C order; images are decoded at 1 / scale
        out : storage(dtype)[n, C, H, W] or [n, H, W, C]
                                    C order; rows that are not MADE hold anything afterwards
        memory : Memory             this thread's
        decoded, keep, kept         as `known`, `keep`, `kept` of `share.make_share`; None: no image
                                    was decoded before, and none stays
        timed : bool                fill in `memory.spent`
        decoder : object, optional  decodes in place of `turbo`, or without it: its `function` is
                                    the address of a DECODE, its `address` this thread's handle
        past : bool                 write float32 past the processor's caches: the batch is so large
                                    that it would not stay in them
        needs : Needs, optional     of these rows, from `look_at`

        Returns
        -------
        uint8[n]                    MADE, LEFT, NO_IMAGE, WARNED or DOUBTED
        """
        if decoded is None:
            decoded = np.zeros(len(rows), np.int64)
        if needs is None:
            needs = self.look_at(rows, headers, lengths, decoded, scales)
        if needs.colours and not self._coloured:
            self._load_colours()
        if needs.crop and self._wants_image:
            self._load_image()
        channels, height, width = self._shape
        decodes = self.decodes or decoder is not None
        memory.fit(needs, height, width, channels if decodes else 0)
        values = out
        if self._narrow:
            size = out.size * 4
            values = memory.scratch.take_spare("values", size).view(np.float32).reshape(out.shape)
        window = memory.scratch.take_window(4 * height * width)
        at, step = values.ctypes.data, values.strides[0]
        words = self._words.copy()
        words[_HANDLE], words[_PIXELS] = memory.handle, memory.pixels.ctypes.data
        if decoder is not None:
            words[_DECODE], words[_HANDLE] = decoder.function, decoder.address
        words[_OUT], words[_OUT_STEP], words[_PAST] = at, step, past
        if at % LINE or step % LINE:
            words[_IMAGE] = 0
        words[_CLOCK] = self._clock if timed else 0
        done = np.empty(len(rows), np.uint8)
        if keep is None:
            keep, kept = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.bool_)
        memory.left = share.make_share(
            words.view(share.JOB), rows, blobs, lengths, headers, scales, memory.pixels,
            window, window.view(np.uint32), *memory.scratch.work,
            self._given, self._whole, self._centre, memory.terms, memory.order, memory.number,
            memory.spent, done, decoded, keep, kept,
        )  # fmt: skip
        if self._narrow:
            for number in np.flatnonzero(done == MADE):  # others hold anything, NaN as well
                self._normalisation.narrow(values[number].reshape(-1), out[number].reshape(-1))
        if memory.pixels.size > _KEPT:
            memory.pixels = np.empty(0, np.uint8)
        return done

    def _load_image(self) -> None:
        """Compile or load what makes crops of images."""
        from gpuio.kernels.cpu.image_32 import image_32

        self._words[_IMAGE] = address(image_32, share.IMAGE)
        self._wants_image = False

    def _load_colours(self) -> None:
        """Compile or load the colour steps."""
        from gpuio.kernels.cpu import colour

        self._words[_AT["jitter"]] = address(colour.jitter, share.JITTER)
        self._words[_AT["hls"]] = address(colour.shift_hls, share.HLS)
        self._words[_AT["pca"]] = address(colour.shift_pca, share.PCA)
        self._coloured = True


def _kind(normalisation: Normalisation) -> int:
    """Return how an output's values are written."""
    size = normalisation.storage.itemsize
    if size == 1 and normalisation.mean_image is None:
        return BYTES
    if normalisation.ratio and size > 1:
        return RATIOS
    if normalisation.mean_image is not None:
        return CENTRED
    return HALVES if size == 2 else FLOATS


def _finish(kind: int, layout: str) -> Any:
    """Return the kernel that writes values."""
    if kind == RATIOS:
        from gpuio.kernels.cpu.finish_ratio import finish_ratio

        return finish_ratio
    if kind == CENTRED:
        from gpuio.kernels.cpu.finish_centred import finish_centred

        return finish_centred
    if kind == BYTES:
        from gpuio.kernels.cpu.finish_8 import finish_8

        return finish_8
    if kind == HALVES:
        from gpuio.kernels.cpu.finish_16 import finish_16

        return finish_16
    if layout == "NHWC":
        from gpuio.kernels.cpu.finish_32_pixels import finish_32_pixels

        return finish_32_pixels
    from gpuio.kernels.cpu.finish_32 import finish_32

    return finish_32
