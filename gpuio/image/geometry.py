"""Plans of resizes and crops: sizes, windows and interpolation codes, without pixels.

A plan is made from an image's shape and random draws only, so it can be made before the image is
decoded. Sizes are (width, height) as in MXNet; shapes are (height, width, channels).
"""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from gpuio.image.draws import Draws

__all__ = [
    "Crop",
    "Resize",
    "interpolation",
    "plan_center_crop",
    "plan_fixed_crop",
    "plan_random_crop",
    "plan_random_size_crop",
    "plan_resize",
    "plan_resize_short",
    "scale_down",
]

Shape = tuple[int, ...]

NEAREST, BILINEAR, CUBIC, AREA = 0, 1, 2, 3
AUTO, RANDOM = 9, 10
_ATTEMPTS = 10  # as MXNet, before random_size_crop falls back to the centre


class Resize(NamedTuple):
    """Resize to (width, height) with one of OpenCV's interpolation codes."""

    width: int
    height: int
    interp: int


class Crop(NamedTuple):
    """Cut the window at (x, y) of (w, h) pixels, then resize it unless `resize` is None."""

    x: int
    y: int
    w: int
    h: int
    resize: Resize | None

    @property
    def rect(self) -> tuple[int, int, int, int]:
        """(x, y, w, h), as MXNet's crop functions return it."""
        return (self.x, self.y, self.w, self.h)

    def shape(self, source: Shape) -> Shape:
        """Return the shape after this crop; a window may hang over the right or lower border."""
        if self.resize is not None:
            return (self.resize.height, self.resize.width, *source[2:])
        height = max(min(self.h, source[0] - self.y), 0)
        return (height, max(min(self.w, source[1] - self.x), 0), *source[2:])


def scale_down(src_size: Sequence[float], size: Sequence[float]) -> tuple[int, int]:
    """Shrink a wanted crop, keeping its aspect ratio, until the image holds it.

    Parameters
    ----------
    src_size : (width, height)      of the image, pixels
    size : (width, height)          of the crop, pixels

    Returns
    -------
    (width, height)                 whole numbers, rounded down

    Examples
    --------
    >>> scale_down((640, 480), (720, 120))
    (640, 106)
    """
    width, height = size
    src_width, src_height = src_size
    if src_height < height:
        width, height = float(width * src_height) / height, src_height
    if src_width < width:
        width, height = src_width, float(height * src_width) / width
    return int(width), int(height)


def interpolation(interp: int, before: Sequence[int], after: Sequence[int], draws: Draws) -> int:
    """Turn MXNet's interpolation code into one of OpenCV's.

    Parameters
    ----------
    interp : {0, 1, 2, 3, 4, 9, 10}
        Nearest, bilinear, cubic, area, Lanczos; 9 chooses by the sizes (cubic to enlarge, area to
        shrink, bilinear when one side grows and the other shrinks); 10 draws one of 0 to 4.
    before, after : (height, width)     pixels

    Raises
    ------
    ValueError                          `interp` has another value
    """
    if interp == AUTO:
        if after[0] > before[0] and after[1] > before[1]:
            return CUBIC
        if after[0] < before[0] and after[1] < before[1]:
            return AREA
        return BILINEAR
    if interp == RANDOM:
        return draws.randint(0, 4)
    if interp not in range(5):
        raise ValueError(f"Unknown interp method {interp}: expected 0 to 4, 9 or 10")
    return int(interp)


def plan_resize(shape: Shape, width: int, height: int, interp: int, draws: Draws) -> Resize:
    """Plan a resize to exactly (width, height)."""
    return Resize(width, height, interpolation(interp, shape[:2], (height, width), draws))


def plan_resize_short(shape: Shape, size: int, interp: int, draws: Draws) -> Resize:
    """Plan a resize that brings the shorter edge to `size` pixels, keeping the aspect ratio."""
    height, width = shape[:2]
    if height > width:
        return plan_resize(shape, size, size * height // width, interp, draws)
    return plan_resize(shape, size * width // height, size, interp, draws)


def plan_fixed_crop(rect: tuple[int, int, int, int], size: Any, interp: int, draws: Draws) -> Crop:
    """Plan a crop of the window `rect` = (x, y, w, h), and a resize to `size` if that differs.

    A `size` that is not a tuple always leads to a resize, as in MXNet.
    """
    w, h = rect[2:]
    if size is None or (w, h) == size:
        return Crop(*rect, None)
    width, height = size
    return Crop(*rect, Resize(width, height, interpolation(interp, (h, w), (height, width), draws)))


def plan_random_crop(shape: Shape, size: Any, interp: int, draws: Draws) -> Crop:
    """Plan a crop at a random place; draws x, then y."""
    height, width = shape[:2]
    w, h = scale_down((width, height), size)
    x = draws.randint(0, width - w)
    y = draws.randint(0, height - h)
    return plan_fixed_crop((x, y, w, h), size, interp, draws)


def plan_center_crop(shape: Shape, size: Any, interp: int, draws: Draws) -> Crop:
    """Plan a crop around the centre."""
    height, width = shape[:2]
    w, h = scale_down((width, height), size)
    return plan_fixed_crop(((width - w) // 2, (height - h) // 2, w, h), size, interp, draws)


def plan_random_size_crop(
    shape: Shape, size: Any, area: Any, ratio: Sequence[float], interp: int, draws: Draws
) -> Crop:
    """Plan a crop of random area and aspect ratio; draws area, ratio, x, y in each attempt.

    The area is uniform, the ratio log-uniform. After ten attempts that do not fit, the centre.
    """
    height, width = shape[:2]
    low, high = area_range(area)
    for _ in range(_ATTEMPTS):
        target = draws.uniform(low, high) * (height * width)
        aspect = math.exp(draws.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w = round(math.sqrt(target * aspect))
        h = round(math.sqrt(target / aspect))
        if w <= width and h <= height:
            x = draws.randint(0, width - w)
            y = draws.randint(0, height - h)
            return plan_fixed_crop((x, y, w, h), size, interp, draws)
    return plan_center_crop(shape, size, interp, draws)


def area_range(area: Any) -> tuple[float, float]:
    """Read MXNet's area argument: a number means from there up to the whole image."""
    if isinstance(area, numbers.Real):
        return (float(area), 1.0)
    low, high = area
    return (low, high)


def take_min_area(area: Any, kwargs: dict[str, Any], where: str) -> Any:
    """Accept the old name `min_area`; anything else left in `kwargs` is an error."""
    if "min_area" in kwargs:
        warnings.warn("`min_area` is deprecated: use `area`", DeprecationWarning, stacklevel=3)
        area = kwargs.pop("min_area")
    assert not kwargs, f"unexpected keyword arguments for `{where}`: {sorted(kwargs)}"
    return area
