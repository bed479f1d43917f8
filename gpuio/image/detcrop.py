"""Detection augmenters that change the frame: random crop and random pad, with the boxes' part."""

# ruff: noqa: D102 -- dumps, is_random, draw and apply are documented on DetAugmenter

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuio.errors import GpuioWarning
from gpuio.image import ops
from gpuio.image.augment import Shape, own_draws
from gpuio.image.detaugment import DetAugmenter, Label
from gpuio.image.draws import Draws, Rng
from gpuio.image.geometry import Crop
from gpuio.kernels.plan.box_label import have_area
from gpuio.nd import host_array

__all__ = ["DetRandomCropAug", "DetRandomPadAug"]

_Box = tuple[int, int, int, int]  # x, y, width, height; pixels
_MIN_PIXELS = 2  # as MXNet: crops, objects and margins below this count as nothing


def _as_range(value: Any) -> Any:
    return (value, value) if isinstance(value, numbers.Number) else value


def _areas(label: Label) -> Any:
    """Return the boxes' areas; 0 for those of negative size."""
    return np.maximum(0, label[:, 3] - label[:, 1]) * np.maximum(0, label[:, 4] - label[:, 2])


def _usable(name: str, aspect: Sequence[float], area: Sequence[float], least: float) -> bool:
    """Whether both ranges are possible; warns once if they are not."""
    if area[1] <= least:
        reason = f"area_range {tuple(area)} ends at or below {least}"
    elif area[0] > area[1]:
        reason = f"area_range {tuple(area)} is empty"
    elif aspect[0] > aspect[1] or aspect[0] <= 0:
        reason = f"aspect_ratio_range {tuple(aspect)} is empty or not above 0"
    else:
        return True
    warnings.warn(f"{name} does nothing: {reason}", GpuioWarning, stacklevel=3)
    return False


class DetRandomCropAug(DetAugmenter):
    """Crop at random so that every object that the crop touches stays covered enough.

    Parameters
    ----------
    min_object_covered : float, default 0.1     the least covered of the touched objects must be
                                                covered by more than this fraction of its area
    aspect_ratio_range : (low, high)            width / height
    area_range : (low, high)                    fraction of the image's area
    min_eject_coverage : float, default 0.3     objects of which no more than this is left are
                                                dropped
    max_attempts : int, default 50              after these the image stays as it is
    rng : optional                              see `gpuio.image.draws`

    Notes
    -----
    A number as a range means both ends. A range that is not possible disables the augmenter with a
    `GpuioWarning`; MXNet intends this, but fails with a TypeError. An image without objects is
    cropped anywhere; MXNet leaves it as it is.
    """

    def __init__(
        self,
        min_object_covered: float = 0.1,
        aspect_ratio_range: Any = (0.75, 1.33),
        area_range: Any = (0.05, 1.0),
        min_eject_coverage: float = 0.3,
        max_attempts: int = 50,
        *,
        rng: Rng = None,
    ) -> None:
        self.aspect_ratio_range = _as_range(aspect_ratio_range)
        self.area_range = _as_range(area_range)
        super().__init__(
            min_object_covered=min_object_covered,
            aspect_ratio_range=self.aspect_ratio_range,
            area_range=self.area_range,
            min_eject_coverage=min_eject_coverage,
            max_attempts=max_attempts,
        )
        self.min_object_covered = min_object_covered
        self.min_eject_coverage = min_eject_coverage
        self.max_attempts = max_attempts
        self.enabled = _usable(
            type(self).__name__, self.aspect_ratio_range, self.area_range, least=0
        )
        self.draws = own_draws(rng)

    def draw(self, shape: Shape, label: Label, draws: Draws) -> tuple[Any, Shape, Label]:
        found = self._propose(label, shape[0], shape[1], self.draws or draws)
        if found is None:
            return None, shape, label
        box, moved = found
        plan = Crop(*box, None)
        return plan, plan.shape(shape), moved

    def apply(self, src: Any, plan: Any) -> Any:
        return src if plan is None else host_array(ops.crop(np.asarray(src), plan))

    def _propose(
        self, label: Label, height: int, width: int, draws: Draws
    ) -> tuple[_Box, Label] | None:
        """Try crops until one satisfies all conditions; return it with the label inside it."""
        if not self.enabled or height <= 0 or width <= 0:
            return None
        for _ in range(self.max_attempts):
            size = self._size(height, width, draws)
            if size is None:
                continue
            w, h = size
            y = draws.randint(0, max(0, height - h))
            x = draws.randint(0, max(0, width - w))
            if self._covers(label, (x, y, w, h), height, width):
                moved = self._moved(label, (x, y, w, h), height, width)
                if moved is not None:
                    return (x, y, w, h), moved
        return None

    def _size(self, height: int, width: int, draws: Draws) -> tuple[int, int] | None:
        """Draw a width and a height, None if the draw cannot fit."""
        low, high = (share * height * width for share in self.area_range)
        ratio = draws.uniform(*self.aspect_ratio_range)
        if ratio <= 0:
            return None
        h = round(np.sqrt(low / ratio))
        highest = round(np.sqrt(high / ratio))
        if round(highest * ratio) > width:
            highest = int((width + 0.4999999) / ratio)  # the largest that rounds to the width
        highest = min(highest, height)
        h = min(h, highest)
        if h < highest:
            h = draws.randint(h, highest)
        w = round(h * ratio)
        if w * h < low:
            h += 1
            w = round(h * ratio)
        if w * h > high:
            h -= 1
            w = round(h * ratio)
        if not (low <= w * h <= high and 0 <= w <= width and 0 <= h <= height):
            return None
        return w, h

    def _covers(self, label: Label, box: _Box, height: int, width: int) -> bool:
        """Whether the crop touches an object and covers each it touches enough."""
        x, y, w, h = box
        if w * h < _MIN_PIXELS:
            return False
        if len(label) == 0:
            return True
        x0, y0, x1, y1 = x / width, y / height, (x + w) / width, (y + h) / height
        areas = _areas(label)
        seen = label[areas * width * height > _MIN_PIXELS]
        if seen.size == 0:
            return False
        inside = seen.copy()
        inside[:, 1] = np.maximum(seen[:, 1], x0)
        inside[:, 2] = np.maximum(seen[:, 2], y0)
        inside[:, 3] = np.minimum(seen[:, 3], x1)
        inside[:, 4] = np.minimum(seen[:, 4], y1)
        coverage = _areas(inside) / _areas(seen)
        coverage = coverage[coverage > 0]
        return bool(coverage.size > 0 and coverage.min() > self.min_object_covered)

    def _moved(self, label: Label, box: _Box, height: int, width: int) -> Label | None:
        """Return the label in the crop's own fractions, None if no object is left."""
        left, top = box[0] / width, box[1] / height
        w, h = box[2] / width, box[3] / height
        moved = label.copy()
        moved[:, (1, 3)] = (moved[:, (1, 3)] - left) / w
        moved[:, (2, 4)] = (moved[:, (2, 4)] - top) / h
        moved[:, 1:5] = np.clip(moved[:, 1:5], 0, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            kept = _areas(moved) * w * h / _areas(label)
        valid = have_area(moved)
        valid &= kept > self.min_eject_coverage
        return moved[valid] if valid.any() or len(label) == 0 else None


class DetRandomPadAug(DetAugmenter):
    """Put the image at a random position on a larger canvas.

    Parameters
    ----------
    aspect_ratio_range : (low, high)        width / height of the canvas
    area_range : (low, high)                canvas area in image areas; high > 1
    max_attempts : int, default 50          after these the image stays as it is
    pad_val : number, or one per channel    colour of the canvas
    rng : optional                          see `gpuio.image.draws`

    Notes
    -----
    A number as `pad_val` fills all channels; MXNet fills the first and leaves uninitialised memory
    in the others. A range that is not possible disables the augmenter with a `GpuioWarning`; MXNet
    intends this, but fails with a TypeError.
    """

    def __init__(
        self,
        aspect_ratio_range: Any = (0.75, 1.33),
        area_range: Any = (1.0, 3.0),
        max_attempts: int = 50,
        pad_val: Any = (128, 128, 128),
        *,
        rng: Rng = None,
    ) -> None:
        self.aspect_ratio_range = _as_range(aspect_ratio_range)
        self.area_range = _as_range(area_range)
        super().__init__(
            aspect_ratio_range=self.aspect_ratio_range,
            area_range=self.area_range,
            max_attempts=max_attempts,
            pad_val=pad_val,
        )
        self.max_attempts = max_attempts
        self.pad_val = pad_val
        self.enabled = _usable(
            type(self).__name__, self.aspect_ratio_range, self.area_range, least=1.0
        )
        self.draws = own_draws(rng)

    def draw(self, shape: Shape, label: Label, draws: Draws) -> tuple[Any, Shape, Label]:
        height, width = shape[:2]
        box = self._propose(height, width, self.draws or draws)
        if box is None:
            return None, shape, label
        x, y, w, h = box
        moved = label.copy()
        moved[:, (1, 3)] = (moved[:, (1, 3)] * width + x) / w
        moved[:, (2, 4)] = (moved[:, (2, 4)] * height + y) / h
        return (y, h - y - height, x, w - x - width), (h, w, *shape[2:]), moved

    def apply(self, src: Any, plan: Any) -> Any:
        if plan is None:
            return src
        single = isinstance(self.pad_val, numbers.Number)
        values = (self.pad_val,) if single else self.pad_val
        top, bottom, left, right = plan
        return ops.copyMakeBorder(src, top, bottom, left, right, values=values)

    def _propose(self, height: int, width: int, draws: Draws) -> _Box | None:
        """Try canvases until one has margins on both axes."""
        if not self.enabled or height <= 0 or width <= 0:
            return None
        low, high = (share * height * width for share in self.area_range)
        for _ in range(self.max_attempts):
            ratio = draws.uniform(*self.aspect_ratio_range)
            if ratio <= 0:
                continue
            h = round(np.sqrt(low / ratio))
            highest = round(np.sqrt(high / ratio))
            if round(h * ratio) < width:
                h = int((width + 0.499999) / ratio)
            h = min(max(h, height), highest)
            if h < highest:
                h = draws.randint(h, highest)
            w = round(h * ratio)
            if h - height < _MIN_PIXELS or w - width < _MIN_PIXELS:
                continue  # a margin of a pixel or less is not worth it
            y = draws.randint(0, max(0, h - height))
            x = draws.randint(0, max(0, w - width))
            return x, y, w, h
        return None
