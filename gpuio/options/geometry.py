"""Options about sizes and places of the pixels."""

from __future__ import annotations

from typing import Any

import attrs

from gpuio.errors import OptionError
from gpuio.kernels.plan.interpolation import FILTERS, INTERPOLATIONS, OPENCV_COUNT
from gpuio.options import convert
from gpuio.options.declare import option

__all__ = ["CropOptions", "GeometryOptions", "ResampleOptions"]

_BY_SIZE, _DRAWN = 9, 10  # of inter_method
_OFF_AT_ZERO = "0 switches it off."
_fraction = convert.number(0.0)


@attrs.frozen(kw_only=True, slots=False)
class GeometryOptions:
    """Options of all record iterators about the geometry."""

    resize: int = option(
        -1,
        convert.integer(-1),
        "Scale the shorter edge to this size first. -1 is off.",
        unit="pixels",
    )
    fill_value: int = option(
        255, convert.integer(0, 255), "Value of border pixels of the pad and affine steps."
    )
    inter_method: int = option(
        1,
        convert.integer(0, 10),
        "Interpolation: 0 nearest, 1 bilinear, 2 bicubic, 3 area, 4 Lanczos, 9 by size (bicubic "
        "up, area down, else bilinear), 10 one of 0 to 4, drawn each time.",
    )


@attrs.frozen(kw_only=True, slots=False)
class ResampleOptions:
    """Options of our own, of all record iterators, about resizing."""

    antialias: bool = option(
        False,
        convert.switch,
        "Resize as Pillow's and torchvision's bilinear, whose filter widens as the image shrinks, "
        "wherever inter_method means bilinear (1, or 9 and 10 where they choose it): resize, the "
        "resized crops and the enlargement of small images; not in the affine step.",
        ours=True,
    )

    def check_resampling(self: Any) -> None:
        """Check that what an option replaces is what inter_method means, or may mean.

        Raises
        ------
        OptionError
        """
        for found in FILTERS.values():
            meant = (found.replaces, _BY_SIZE, _DRAWN)
            if getattr(self, found.option) and self.inter_method not in meant:
                raise OptionError(
                    f"{found.option}: belongs to {INTERPOLATIONS[found.replaces].meaning} resizes, "
                    f"but inter_method={self.inter_method}"
                )

    def resized_by(self) -> list[int]:
        """Return the interpolation that makes the resizes of each of OpenCV's, by its code."""
        codes = list(range(OPENCV_COUNT))
        for code, found in FILTERS.items():
            if getattr(self, found.option):
                codes[found.replaces] = code
        return codes


@attrs.frozen(kw_only=True, slots=False)
class CropOptions:
    """The geometry of classification."""

    rand_crop: bool = option(False, convert.switch, "Crop at a random place, not the centre.")
    random_resized_crop: bool = option(
        False,
        convert.switch,
        "Crop a random area of a random aspect ratio (max/min_random_area, max/min_aspect_ratio) "
        "and resize it to data_shape.",
    )
    max_rotate_angle: int = option(
        0,
        convert.integer(0),
        "Rotate by a random whole angle in [-v, v]. " + _OFF_AT_ZERO,
        unit="degrees",
    )
    rotate: int = option(
        -1, convert.integer(), "Rotate by this angle if it is above 0.", unit="degrees"
    )
    rotate_list: tuple[int, ...] = option(
        (),
        convert.integer_list,
        "Rotate by one of these angles, drawn uniformly; overrides the two above.",
        unit="degrees",
        differs="A Python list is taken as it is written; MXNet reads its first element as 0.",
    )
    max_aspect_ratio: float = option(
        0.0,
        _fraction,
        "Largest aspect ratio of the affine step or the random resized crop; without "
        "min_aspect_ratio the range is [1-v, 1+v].",
    )
    min_aspect_ratio: float | None = option(
        None, convert.optional(_fraction), "Smallest aspect ratio."
    )
    max_shear_ratio: float = option(0.0, _fraction, "Shear by a random ratio in [-v, v].")
    max_random_scale: float = option(1.0, _fraction, "Largest random scale of the affine step.")
    min_random_scale: float = option(1.0, _fraction, "Smallest random scale of the affine step.")
    max_img_size: float = option(
        1e10, _fraction, "Largest side after the affine step.", unit="pixels"
    )
    min_img_size: float = option(
        0.0, _fraction, "Smallest side after the affine step.", unit="pixels"
    )
    max_crop_size: int = option(
        -1, convert.integer(-1), "Largest side of a random square crop. -1 is off.", unit="pixels"
    )
    min_crop_size: int = option(
        -1, convert.integer(-1), "Smallest side of a random square crop. -1 is off.", unit="pixels"
    )
    max_random_area: float = option(
        1.0, _fraction, "Largest fraction of the area that random_resized_crop takes."
    )
    min_random_area: float = option(
        1.0, _fraction, "Smallest fraction of the area that random_resized_crop takes."
    )
    pad: int = option(
        0,
        convert.integer(0),
        "Border on all four sides before the crop.",
        unit="pixels",
    )
    mirror: bool = option(False, convert.switch, "Flip every image left to right.")
    rand_mirror: bool = option(False, convert.switch, "Flip every other image, drawn at random.")
