"""A list of augmenters as an iterator runs it: what can run ahead, and what must wait.

MXNet draws from the global generators while it makes a batch. To give MXNet's results for the same
seeds, only augmenters that draw nothing may run ahead of `next()`. The first one that draws, and
all after it, wait: their numbers are drawn inside `next()`, sample by sample, and then applied on
several threads. If the iterator has a seed of its own, every sample has its own generator, and the
whole list runs ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import DecodeError, RecordError
from gpuio.forking import working
from gpuio.image import ops
from gpuio.image.augment import (
    CastAug,
    CenterCropAug,
    ForceResizeAug,
    RandomCropAug,
    ResizeAug,
    draw_all,
    in_two_steps,
)
from gpuio.image.codec import imdecode
from gpuio.image.detaugment import DetBorrowAug, det_in_two_steps, draw_all_det
from gpuio.image.draws import GLOBAL, Draws, keyed
from gpuio.image.geometry import CUBIC
from gpuio.image.source import Sample
from gpuio.options.machine import MAX_PIXELS, MAX_SCANS

__all__ = ["Chain", "DetChain", "check_row", "decode", "fill_row", "returned"]


def _has_own_draws(aug: Any) -> bool:
    """Whether an augmenter, or one inside it, has a generator of its own."""
    members = list(getattr(aug, "ts", [])) + list(getattr(aug, "aug_list", []))
    members += [aug.augmenter] if hasattr(aug, "augmenter") else []
    return aug.draws is not None or any(map(_has_own_draws, members))


def _casts_to_float32(aug: Any) -> bool:
    """Whether an augmenter is just the cast that ends MXNet's usual lists."""
    inner = aug.augmenter if type(aug) is DetBorrowAug else aug
    return type(inner) is CastAug and inner.typ == "float32"


def _show_window(first: tuple[Any, Any], then: tuple[Any, Any]) -> bool:
    """Whether two steps are a cubic resize and a plain crop inside it: one step then does both.

    The other interpolations are so fast that joining the steps gains nothing.
    """
    (resize, whole), (crop, window) = first, then
    return (
        type(resize) in (ResizeAug, ForceResizeAug)
        and type(crop) in (CenterCropAug, RandomCropAug)
        and whole.interp == CUBIC
        and window.resize is None
        and 0 <= window.x <= whole.width - window.w
        and 0 <= window.y <= whole.height - window.h
    )


class Chain:
    """Image augmenters, split into a head that draws nothing and a tail.

    Parameters
    ----------
    augs : sequence of callables
    draws : Draws               for those without a generator of their own
    seed : int or None          if given, each sample's generator comes from it instead
    epoch : int

    Attributes
    ----------
    planned : bool              whether all work in two steps; if not, the caller must call them
    ahead : bool                whether all can run ahead of `next()`
    """

    def __init__(self, augs: Sequence[Any], draws: Draws, seed: int | None, epoch: int) -> None:
        self.augs = list(augs)
        self.draws, self.seed, self.epoch = draws, seed, epoch
        self.planned = all(map(self._in_two_steps, self.augs))
        if self.planned and self.augs and _casts_to_float32(self.augs[-1]):
            self.augs.pop()  # the batch is float32: `fill_row` casts, and bytes travel lighter
        random = [number for number, aug in enumerate(self.augs) if self.planned and aug.is_random]
        cut = random[0] if random else len(self.augs)
        own = self.planned and any(map(_has_own_draws, self.augs))
        self.ahead = self.planned and (not random or (seed is not None and not own))
        self.head, self.tail = self.augs[:cut], self.augs[cut:]

    _in_two_steps = staticmethod(in_two_steps)

    def begin(self, sample: Sample) -> None:
        """Apply the head to a decoded sample; safe on any thread."""
        sample.plan = self._draw(self.head, sample, GLOBAL)
        self.finish(sample)

    def draw(self, sample: Sample) -> None:
        """Draw the tail's numbers; in the samples' order, on one thread, unless all goes ahead."""
        sample.plan = self._draw(self.tail, sample, self.draws_of(sample))

    def draws_of(self, sample: Sample) -> Draws:
        """Return the generator that a sample's numbers come from."""
        if self.seed is None:
            return self.draws
        return keyed(self.seed, self.epoch, sample.position)

    def finish(self, sample: Sample) -> None:
        """Apply what was drawn; safe on any thread."""
        plan, at = sample.plan, 0
        while at < len(plan):
            aug, part = plan[at]
            if at + 1 < len(plan) and _show_window(plan[at], plan[at + 1]):
                sample.pixels = ops.resize_window(np.asarray(sample.pixels), part, plan[at + 1][1])
                at += 2
            else:
                sample.pixels = returned(aug, aug.apply(sample.pixels, part))
                at += 1
        sample.plan = None

    def _draw(self, augs: Sequence[Any], sample: Sample, draws: Draws) -> list[Any]:
        return draw_all(augs, tuple(sample.pixels.shape), draws)[0]


class DetChain(Chain):
    """Detection augmenters: drawing moves the label, and may find that no object is left.

    Parameters
    ----------
    parse : callable            from a raw label to float[objects, 5 or more]
    check : callable            raises RecordError for an augmented label without a valid object;
                                not called for an image that had none from the start
    """

    _in_two_steps = staticmethod(det_in_two_steps)

    def __init__(
        self,
        augs: Sequence[Any],
        draws: Draws,
        seed: int | None,
        epoch: int,
        parse: Any,
        check: Any,
    ) -> None:
        super().__init__(augs, draws, seed, epoch)
        self._parse, self._check = parse, check

    def begin(self, sample: Sample) -> None:  # noqa: D102 -- as Chain's
        try:
            sample.boxes = self._parse(sample.label)
        except RecordError as error:
            sample.skip = error.at(sample.place)
        else:
            sample.background = len(sample.boxes) == 0
            super().begin(sample)

    def draw(self, sample: Sample) -> None:  # noqa: D102 -- as Chain's
        super().draw(sample)
        try:
            if not sample.background:
                self._check(sample.boxes)
        except RecordError as error:
            sample.skip = error.at(sample.place)

    def _draw(self, augs: Sequence[Any], sample: Sample, draws: Draws) -> list[Any]:
        shape = tuple(sample.pixels.shape)
        plan, _, sample.boxes = draw_all_det(augs, shape, sample.boxes, draws)
        return plan


def decode(sample: Sample, limits: tuple[int, int] = (MAX_PIXELS, MAX_SCANS)) -> Any:
    """Decode a sample's image of at most so many (pixels, scans).

    Raises
    ------
    DecodeError             naming the sample as MXNet does, and its path, key and offset
    """
    try:
        return imdecode(sample.blob, max_pixels=limits[0], max_scans=limits[1])
    except DecodeError as error:
        message = f"Broken image {sample.name}, {error.message}"
        raise DecodeError(message).at(sample.place) from error


def returned(aug: Any, value: Any) -> Any:
    """Return what an augmenter returned, unless it forgot to return anything: TypeError."""
    if value is None:
        name = getattr(aug, "__name__", type(aug).__name__)
        raise TypeError(f"the augmenter {name} returned None: expected the augmented image")
    return value


def check_row(values: Any, data_shape: tuple[int, ...], sample: Sample) -> npt.NDArray[Any]:
    """Return an augmented image, (C, H, W), if it has the batch's shape.

    Raises
    ------
    RecordError             it has another shape shape shape
    """
    if tuple(values.shape) != tuple(data_shape):
        raise RecordError(
            f"the augmented image has (channels, height, width) {tuple(values.shape)}, data_shape "
            f"is {tuple(data_shape)}: let the augmenters end with a crop or resize to it"
        ).at(sample.place)
    return np.asarray(values)


def fill_row(out: npt.NDArray[np.float32], row: npt.NDArray[Any]) -> None:
    """Copy a (C, H, W) image into a row of the batch; `row` mostly is a view of (H, W, C)."""
    with working:
        import cv2

    pixels = row.transpose(1, 2, 0)
    if row.dtype == np.float32 and pixels.flags.c_contiguous:
        cv2.split(pixels, list(out))  # a third of the time of numpy's strided copy
    elif row.dtype == np.uint8 and pixels.flags.c_contiguous:
        for plane, channel in zip(out, cv2.split(pixels), strict=True):
            plane[...] = channel
    else:
        out[...] = row
