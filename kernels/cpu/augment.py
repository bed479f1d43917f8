"""Execute a plan's rows on the CPU: decoded pixels in, values of a batch out.

`augment` may run in many threads at once, each with a `Scratch` of its own; the pixel work holds no
GIL. Steps that few plans have are compiled when a plan first asks for them.
"""

# ruff: noqa: PLC0415 -- what few outputs or plans need is compiled when first asked for
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.kernels import normalise
from gpuio.kernels.cpu import multi_step, post_crop, window

__all__ = ["Normalisation", "Scratch", "augment"]


class Normalisation:
    """How bytes become values of the output; made once, read by every thread.

    Parameters
    ----------
    dtype : {"float32", "float16", "bfloat16", "uint8", "int8"}
    mean, std : float32[C]          R, G, B (, A) or gray
    scale : float
    layout : {"NCHW", "NHWC"}
    mean_image : float32[C, H, W], optional
                                    subtracted at the place before the flip, instead of `mean`;
                                    uint8 ignores it, int8 subtracts it rounded
    ratio : bool                    ``(p - mean) / std * scale``, without a row's gain and shift;
                                    no matter to uint8 and int8
    """

    def __init__(
        self,
        dtype: str,
        mean: Any,
        std: Any,
        scale: float,
        layout: str = "NCHW",
        mean_image: Any = None,
        *,
        ratio: bool = False,
    ) -> None:
        if dtype not in normalise.DTYPES:
            raise ValueError(f"dtype {dtype!r}: expected one of {', '.join(normalise.DTYPES)}")
        if layout not in ("NCHW", "NHWC"):
            raise ValueError(f"layout {layout!r}: expected 'NCHW' or 'NHWC'")
        self.dtype, self.layout, self.ratio = dtype, layout, ratio
        self.storage = normalise.storage(dtype)
        self.given = np.asarray(mean, np.float32), np.asarray(std, np.float32), scale
        self.mean_image = None
        if mean_image is not None and dtype != "uint8":
            self.mean_image = np.ascontiguousarray(mean_image, np.float32)
            if dtype == "int8":
                self.mean_image = normalise.round_half_away(self.mean_image).astype(np.float32)
        whole = normalise.round_half_away(mean) if dtype == "int8" else np.zeros(len(mean))
        self.whole = whole.astype(np.int32)
        self._terms = normalise.terms(*self.given)

    def check(self, channels: int, height: int, width: int) -> None:
        """Raise ValueError if an output's shape does not belong to these means."""
        if channels != self._terms.shape[1]:
            raise ValueError(f"{channels} channels, but {self._terms.shape[1]} means")
        if self.mean_image is not None and self.mean_image.shape != (channels, height, width):
            raise ValueError(
                f"the mean image is {self.mean_image.shape}, the output"
                f" {(channels, height, width)} (C, H, W)"
            )

    def write(self, pixels: Any, row: Any, flat: Any, shape: tuple[int, int, int]) -> None:
        """Write a finished window.

        Parameters
        ----------
        pixels : uint32[H * W]
        row : PLAN[1]
        flat : storage(dtype)[C * H * W]
        shape : (C, H, W)
        """
        C, H, W = shape
        strides = (1, W * C, C) if self.layout == "NHWC" else (H * W, W, 1)
        if self.storage.itemsize == 1 and self.mean_image is None:
            low, high = (-128, 127) if self.dtype == "int8" else (0, 255)
            flat = flat.view(np.uint8)
            from gpuio.kernels.cpu.finish_8 import finish_8

            finish_8(pixels, self.whole, low, high, flat, *shape, *strides)
            return
        if self.ratio and self.storage.itemsize > 1:
            self._write_ratios(pixels, row, flat, shape, strides)
            return
        gain, shift = float(row["gain"][0]), float(row["shift"][0])
        if self.mean_image is not None:
            self._write_centred(pixels, row, flat, shape, strides)
            return
        terms = self._terms
        if gain != 1 or shift != 0:
            terms = normalise.terms(*self.given, gain, shift)
        if self.storage.itemsize == 2:
            brain = self.dtype == "bfloat16"
            from gpuio.kernels.cpu.finish_16 import finish_16

            finish_16(pixels, terms, brain, flat.view(np.uint16), *shape, *strides)
        elif self.layout == "NHWC":
            from gpuio.kernels.cpu.finish_32_pixels import finish_32_pixels

            finish_32_pixels(pixels, terms, False, flat, *shape, *strides)
        else:
            from gpuio.kernels.cpu.finish_32 import finish_32

            finish_32(pixels, terms, False, flat, *shape, *strides)

    def _write_centred(self, pixels: Any, row: Any, flat: Any, shape: Any, strides: Any) -> None:
        """Write with a mean image; narrow types are made from float32 afterwards."""
        terms = normalise.terms(*self.given, float(row["gain"][0]), float(row["shift"][0]))
        if self.dtype == "int8":
            terms = normalise.terms(self.given[0], np.ones_like(self.given[1]), 1.0)
        mirror = bool(row["mirror"][0])
        values = flat if self.dtype == "float32" else np.empty(flat.size, np.float32)
        from gpuio.kernels.cpu.finish_centred import finish_centred

        finish_centred(pixels, self.mean_image, terms, mirror, values, *shape, *strides)
        self.narrow(values, flat)

    def _write_ratios(self, pixels: Any, row: Any, flat: Any, shape: Any, strides: Any) -> None:
        """Write with divisions, with a mean image or without one."""
        from gpuio.kernels.cpu.finish_ratio import finish_ratio

        mean, std, scale = self.given
        wide = self.mean_image is not None
        centre = self.mean_image if wide else mean.reshape(-1, 1, 1)
        terms = np.stack([std, np.full_like(std, scale)])
        mirror = bool(row["mirror"][0])
        values = flat if self.dtype == "float32" else np.empty(flat.size, np.float32)
        finish_ratio(pixels, centre, wide, terms, mirror, values, *shape, *strides)
        self.narrow(values, flat)

    def narrow(self, values: Any, flat: Any) -> None:
        """Write float32 values as the output's type; float32 itself is written already."""
        if self.dtype == "bfloat16":
            flat.view(np.uint16)[:] = normalise.bfloat16(values)
        elif self.dtype == "int8":
            flat.view(np.int8)[:] = np.clip(values, -128, 127)
        elif self.dtype == "float16":
            with np.errstate(over="ignore"):
                flat.view(np.float16)[:] = values


class Scratch:
    """Working memory of one thread; grows to the largest image seen."""

    def __init__(self) -> None:
        self.window = np.empty(0, np.uint8)
        self._images = [np.empty(0, np.uint8), np.empty(0, np.uint8)]
        self._spare: dict[str, npt.NDArray[np.uint8]] = {}
        self.grow(512)

    def take_window(self, size: int) -> npt.NDArray[np.uint8]:
        """Return uint8[size]."""
        if self.window.size < size:
            self.window = np.empty(size, np.uint8)
        return self.window[:size]

    def take_image(self, size: int, source: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return uint8[size] for what is made from `source`, so not the memory `source` lies in."""
        number = int(source.base is self._images[0])
        if self._images[number].size < size:
            self._images[number] = np.empty(size, np.uint8)
        return self._images[number][:size]

    def take_spare(self, name: str, size: int) -> npt.NDArray[np.uint8]:
        """Return uint8[size] that nothing else takes but this name."""
        if name not in self._spare or self._spare[name].size < size:
            self._spare[name] = np.empty(size, np.uint8)
        return self._spare[name][:size]

    def grow(self, n: int) -> None:
        """Make `work` what `make_window` wants for `n`."""
        n = 2 * n
        self.work: tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]
        self.work = np.empty(8 * n, np.int32), np.empty(8 * n, np.int16), np.empty(4 * n, np.uint8)


def augment(
    pixels: npt.NDArray[Any],
    row: npt.NDArray[Any],
    normalisation: Normalisation,
    out: npt.NDArray[Any],
    scratch: Scratch,
) -> None:
    """Execute one row of a plan.

    Parameters
    ----------
    pixels : uint8[src_h, src_w, C] or uint8[src_h, src_w]
                            gray, B G R or B G R A; C order; rows at the bottom may be missing
                            as `make_window` says
    row : PLAN[1]           a slice ``rows[i : i + 1]``; src_h and src_w are those of `pixels`
    normalisation : Normalisation
    out : storage(dtype)[C, H, W] or [H, W, C]
                            C order; R G B (A) or gray
    scratch : Scratch       this thread's

    Raises
    ------
    ValueError              if the plan does not fit the pixels or the output
    """
    if normalisation.layout == "NHWC":
        H, W, C = out.shape
    else:
        C, H, W = out.shape
    if out.dtype != normalisation.storage or not out.flags.c_contiguous:
        raise ValueError(
            f"the output must be {normalisation.storage} in C order, not {out.dtype} with strides"
            f" {out.strides}"
        )
    normalisation.check(C, H, W)
    flat = np.asarray(out).reshape(-1)
    made = scratch.take_window(4 * H * W)
    aimed, more = row, post_crop.wanted(row)
    if more:
        aimed = row.copy()
        aimed["mirror"] *= row["post_affine_on"] == 0  # the turn comes before the flip
    source = np.require(pixels, np.uint8, ["C", "W"]).reshape(-1)
    code = window.make_window(aimed, 0, source, C, H, W, made, *scratch.work)
    if code < 0:
        scratch.grow(-code)
        code = window.make_window(aimed, 0, source, C, H, W, made, *scratch.work)
    try:
        if code in (window.GENERAL, window.MISFIT):
            multi_step.execute(source, aimed[0], C, H, W, made, scratch)
        if more:
            made = post_crop.post_affine(row[0], H, W, made)
        if code != window.DONE:
            _colour(row[0], C, made.view(np.uint32))
        if more:
            post_crop.tone(row[0], C, made.reshape(H, W, 4))
            post_crop.erase(row[0], C, made.reshape(H, W, 4))
    except multi_step.PlanError as error:
        raise ValueError(f"the plan does not fit the pixels: {error}; plan row: {row[0]}") from None
    normalisation.write(made.view(np.uint32), row, flat, (C, H, W))


def _colour(row: Any, channels: int, window: npt.NDArray[np.uint32]) -> None:
    """Take the colour steps of a plan on a window, uint32[H * W], in place."""
    if not (row["jitter"] or row["hls_on"] or row["pca_on"]):
        return
    if channels == 1:
        raise multi_step.PlanError("colour steps need 3 or 4 channels, not 1")
    from gpuio.kernels.cpu import colour

    if row["jitter"]:
        colour.jitter(window, channels, row["jitter_order"].copy(), row["jitter_gain"].copy())
    if row["hls_on"]:
        colour.shift_hls(window, row["hls"].copy())
    if row["pca_on"]:
        colour.shift_pca(window, row["pca"].copy())
