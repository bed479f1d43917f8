"""The plan of a batch: every random number of it, drawn on the host before a pixel is touched.

`Planner` turns the options into the settings of one compiled function, `gpuio.kernels.plan.draw`,
and its fault codes into errors.

Invariant: a row depends on the image's size, the options and either (seed, pass, record) or, with
seed_aug, MXNet's number of the row; on no other row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError, RecordError
from gpuio.kernels.plan import settings as codes
from gpuio.kernels.plan.layout import PLAN
from gpuio.options.image_record import ImageRecordOptions
from gpuio.plan.extras import Extras
from gpuio.plan.imagenet import EIGENVALUES, EIGENVECTORS
from gpuio.plan.request import PlanRequest
from gpuio.plan.settings import fill, of_options, seed_bits

__all__ = ["Planner", "check_conflicts", "plan_faults"]

_NO_MAX_SIZE = np.float32(1e10)  # MXNet's default of max_img_size


def _aspect(options: ImageRecordOptions) -> tuple[np.float32, np.float32]:
    """Return the smallest and the largest aspect ratio, as MXNet reads the two options."""
    most = np.float32(options.max_aspect_ratio)
    if options.min_aspect_ratio is not None:
        return np.float32(options.min_aspect_ratio), most
    return np.float32(1) - most, np.float32(1) + most


def check_conflicts(options: ImageRecordOptions) -> None:
    """Check the options that must agree with one another.

    Raises
    ------
    OptionError     naming the options in conflict; MXNet reports most of them at the first image
    """
    if options.aug_seq == "":
        return
    if options.resize == 0:
        raise OptionError("resize: expected -1 (off) or at least 1 pixel, got 0")
    channels = options.data_shape[0]
    options.check_resampling()
    if options.aspect_distribution != "uniform" and not options.random_resized_crop:
        raise OptionError("aspect_distribution: belongs to random_resized_crop=True")
    colour = ("brightness", "contrast", "saturation", "random_h", "random_s", "random_l")
    for name in (*colour, "pca_noise"):
        if channels != 3 and getattr(options, name) != 0:
            raise OptionError(
                f"{name}: works on three channels only; data_shape asks for {channels}"
            )
    squares = (options.max_crop_size, options.min_crop_size)
    if options.random_resized_crop:
        _check_resized_crop(options)
    elif squares != (-1, -1) and not 1 <= squares[1] <= squares[0]:
        raise OptionError(
            f"min_crop_size, max_crop_size: expected both, 1 <= min_crop_size <= max_crop_size, "
            f"got {squares[1]} and {squares[0]}"
        )


def _check_resized_crop(options: ImageRecordOptions) -> None:
    """Check what random_resized_crop goes with."""
    for name, off in (
        ("rand_crop", False),
        ("max_random_scale", 1.0),
        ("min_random_scale", 1.0),
        ("max_crop_size", -1),
        ("min_crop_size", -1),
    ):
        if getattr(options, name) != off:
            raise OptionError(f"random_resized_crop: conflicts with {name}; leave {name} at {off}")
    low, high = _aspect(options)
    if low <= 0:
        raise OptionError(
            f"max_aspect_ratio: random_resized_crop needs a smallest aspect ratio above 0, got "
            f"{low:g}: give min_aspect_ratio, such as 3/4, as well"
        )
    if low > high:
        raise OptionError(f"min_aspect_ratio: {low:g} is above max_aspect_ratio, {high:g}")
    if options.min_random_area > options.max_random_area:
        raise OptionError(
            f"min_random_area: {options.min_random_area:g} is above max_random_area, "
            f"{options.max_random_area:g}"
        )


class Planner:
    """Draws the plans of batches.

    Parameters
    ----------
    options : ImageRecordOptions    all of geometry and colour, mirror, data_shape, dtype, seed,
                                    seed_aug, max_pixels

    Raises
    ------
    OptionError                     options that conflict: see `check_conflicts`

    Notes
    -----
    Without seed_aug MXNet draws from one generator a thread, so that its results depend on which
    thread takes which record; here each record has a stream of its own.
    """

    def __init__(self, options: ImageRecordOptions) -> None:
        check_conflicts(options)
        from gpuio.kernels.plan.draw import draw

        self._extras = Extras(options)
        self._draw = draw
        self._options = options
        self._settings = _settings(options)
        self._angles = np.array(options.rotate_list, np.int32).reshape(-1)
        self._axes = np.array(EIGENVECTORS, np.float32) * np.array(EIGENVALUES, np.float32)

    def draw(self, request: PlanRequest) -> npt.NDArray[np.void]:
        """Return the plan of a batch, PLAN[B]: see `PlanMaker`."""
        plan = np.zeros(len(request.heights), PLAN)
        self._draw(
            self._settings,
            self._angles,
            self._axes,
            np.ascontiguousarray(request.heights, np.int32),
            np.ascontiguousarray(request.widths, np.int32),
            np.ascontiguousarray(request.pass_index, np.int64),
            np.ascontiguousarray(request.record, np.int64),
            np.ascontiguousarray(request.mx_index, np.int64),
            plan,
        )
        self._extras.draw(plan, request.pass_index, request.record)
        return plan

    def faults(self, plan: npt.NDArray[np.void]) -> list[tuple[int, RecordError]]:
        """Return each row that could not be planned, and why: see `plan_faults`."""
        return plan_faults(plan, self._options)


def plan_faults(plan: npt.NDArray[np.void], options: Any) -> list[tuple[int, RecordError]]:
    """Return each row that could not be planned, and why.

    Parameters
    ----------
    plan : PLAN[B]      as `draw` returned it
    options : ImageRecordOptions or ImageDetRecordOptions

    Returns
    -------
    list of (row, RecordError)      the errors name neither file nor record: use their `at`
    """
    rows = np.flatnonzero(plan["crop_h"] < 0)
    return [(int(row), RecordError(_fault(plan[row], options))) for row in rows]


def _fault(row: npt.NDArray[np.void], options: Any) -> str:
    """Say why a row could not be planned."""
    code = -int(row["crop_h"])
    size = f"{row['crop_y']} x {row['crop_x']} pixels (height x width)"
    _, height, width = options.data_shape
    if code == codes.NO_IMAGE:
        return "the record holds no image with pixels"
    if code == codes.TOO_SMALL:
        return (
            f"the image of {size} reaches the crop smaller than max_crop_size="
            f"{options.max_crop_size}: set resize, or lower max_crop_size"
        )
    if code == codes.WRONG_SIZE:
        return (
            f"the image has {size}, but without an augmenter (aug_seq='') it must have "
            f"data_shape's {height} x {width}"
        )
    if code == codes.LARGER:
        return (
            f"the image has {size}, but without an augmenter (aug_seq='') it must not be larger "
            f"than data_shape's {height} x {width}"
        )
    if code == codes.TOO_LARGE:
        return (
            f"the options would enlarge the image of {size} to more than max_pixels="
            f"{options.max_pixels}"
        )
    return f"the options would leave no pixel of the image of {size}"


def _settings(options: ImageRecordOptions) -> npt.NDArray[np.void]:
    """Return the options as the kernel reads them, SETTINGS[1]."""
    plain = of_options(options, codes.OPTIONS, np.float32)
    least, most = _aspect(options)
    seed = options.seed if options.seed_aug is None else options.seed_aug
    made = {
        "mersenne": options.seed_aug is not None,
        "seed": seed_bits(seed),
        "height": options.data_shape[1],
        "width": options.data_shape[2],
        "crop": _crop_kind(options),
        "log_aspect": options.aspect_distribution == "loguniform",
        "min_aspect_ratio": least,
        "max_aspect_ratio": most,
        "resize_on": options.resize != -1,
        "resized_by": options.resized_by(),
        "jitter_on": max(plain["brightness"], plain["contrast"], plain["saturation"]) > 0,
        "hls_on": any((options.random_h, options.random_s, options.random_l)),
        "normalise": options.dtype != "uint8",
        "area_on": not least == most == plain["min_random_area"] == plain["max_random_area"] == 1,
    }
    made |= _steps(options, plain | made)
    return fill(codes.SETTINGS, plain | made)


def _crop_kind(options: ImageRecordOptions) -> int:
    """Return which of the crops the options ask for."""
    if options.aug_seq == "":
        return codes.CROP_NONE
    if options.random_resized_crop:
        return codes.CROP_RESIZED
    if options.max_crop_size != -1:
        return codes.CROP_SQUARE
    return codes.CROP_FIXED


def _warps(options: ImageRecordOptions, plain: dict[str, Any]) -> bool:
    """Say whether an affine warp is drawn."""
    least, most = _aspect(options)
    return (
        options.max_rotate_angle > 0
        or plain["max_shear_ratio"] > 0
        or options.rotate > 0
        or len(options.rotate_list) > 0
        or not plain["min_random_scale"] == plain["max_random_scale"] == 1
        or (not options.random_resized_crop and not least == most == 1)
        or plain["max_img_size"] != _NO_MAX_SIZE
        or plain["min_img_size"] != 0
    )


def _steps(options: ImageRecordOptions, settings: dict[str, Any]) -> dict[str, int]:
    """Return the addresses of the steps that few jobs draw; 0, and nothing compiled, for others."""
    from gpuio.kernels.plan import draw_steps
    from gpuio.kernels.pointers import address

    affine = random_crop = colours = 0
    if settings["crop"] != codes.CROP_NONE and _warps(options, settings):
        from gpuio.kernels.plan.draw_affine import draw_affine

        affine = address(draw_affine, draw_steps.AFFINE)
    if settings["crop"] == codes.CROP_SQUARE:
        from gpuio.kernels.plan.draw_square import draw_square

        random_crop = address(draw_square, draw_steps.CROP)
    elif settings["crop"] == codes.CROP_RESIZED and settings["area_on"]:
        from gpuio.kernels.plan.draw_resized import draw_resized

        random_crop = address(draw_resized, draw_steps.CROP)
    if settings["jitter_on"] or settings["hls_on"] or settings["pca_noise"] > 0:
        from gpuio.kernels.plan.draw_colours import draw_colours

        colours = address(draw_colours, draw_steps.COLOURS)
    return {"affine": affine, "random_crop": random_crop, "colours": colours}
