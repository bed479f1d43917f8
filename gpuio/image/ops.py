"""mx.image's functions on one image: resize, crop, border, normalise.

Images are arrays of (height, width, channels), R G B. Every function returns a new array unless it
says that it works in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError
from gpuio.forking import working
from gpuio.image import geometry
from gpuio.image.draws import Rng, as_draws
from gpuio.image.geometry import Crop, Resize, scale_down
from gpuio.nd import NDArray, host_array

__all__ = [
    "center_crop",
    "color_normalize",
    "copyMakeBorder",
    "crop",
    "fixed_crop",
    "imresize",
    "random_crop",
    "random_size_crop",
    "resize_short",
    "resize_window",
    "scale_down",
]

_Rect = tuple[int, int, int, int]


def imresize(src: Any, w: int, h: int, interp: int = 1, out: Any = None) -> NDArray:
    """Resize to exactly `w` x `h` pixels.

    Parameters
    ----------
    src : uint8, float32 or float64[height, width, channels]
    w, h : int                  >= 1
    interp : int, default 1     OpenCV's code: 0 nearest, 1 bilinear, 2 cubic, 3 area, 4 Lanczos,
                                5 bilinear exact; not 9 or 10
    out : array[h, w, channels] of the source's dtype, optional     written and returned

    Raises
    ------
    OptionError                 another shape, dtype, size or code

    Notes
    -----
    uint8 results of 1, 3 or 4 channels equal MXNet 1.9.1's to the bit. float32 agrees to 2e-3.
    """
    source = _image(src)
    if source.dtype not in (np.uint8, np.float32, np.float64):
        raise OptionError(f"imresize of {source.dtype}: expected uint8, float32 or float64")
    for name, value in (("w", w), ("h", h)):
        if int(value) != value or value < 1:
            raise OptionError(f"imresize: {name}={value}, expected a whole number >= 1")
    resized = _resize(source, Resize(int(w), int(h), interp))
    if out is None:
        return host_array(resized)
    if out.shape != resized.shape or out.dtype != resized.dtype:
        raise OptionError(
            f"out is {out.dtype}{list(out.shape)}, the result {resized.dtype}{list(resized.shape)}"
        )
    out[...] = resized
    return out if isinstance(out, NDArray) else host_array(out)


def resize_short(src: Any, size: int, interp: int = 2, *, rng: Rng = None) -> NDArray:
    """Resize so that the shorter edge has `size` pixels, enlarging where needed.

    Parameters
    ----------
    src : array[height, width, channels]
    size : int                  pixels, >= 1; the longer edge is rounded down
    interp : {0, 1, 2, 3, 4, 9, 10}, default 2 (cubic)
    rng : optional              see `gpuio.image.draws`; used by interp 10 only
    """
    plan = geometry.plan_resize_short(_image(src).shape, size, interp, as_draws(rng))
    return imresize(src, *plan)


def fixed_crop(
    src: Any,
    x0: int,
    y0: int,
    w: int,
    h: int,
    size: Sequence[int] | None = None,
    interp: int = 2,
    *,
    rng: Rng = None,
) -> NDArray:
    """Cut the window of `w` x `h` pixels at (`x0`, `y0`), and resize it to `size` if given.

    Parameters
    ----------
    src : array[height, width, channels]
    x0, y0 : int                left and upper edge, >= 0 and inside the image
    w, h : int                  a window over the right or lower border gives a smaller image
    size : (width, height), optional
    interp : {0, 1, 2, 3, 4, 9, 10}, default 2 (cubic)
    rng : optional              see `gpuio.image.draws`; used by interp 10 only

    Raises
    ------
    OptionError                 the window holds no pixel of the image
    """
    plan = geometry.plan_fixed_crop((x0, y0, w, h), size, interp, as_draws(rng))
    return host_array(crop(_image(src), plan))


def random_crop(
    src: Any, size: Sequence[int], interp: int = 2, *, rng: Rng = None
) -> tuple[NDArray, _Rect]:
    """Crop at a random place; a crop larger than the image is scaled down, then enlarged.

    Parameters
    ----------
    src : array[height, width, channels]
    size : (width, height)      of the result, pixels
    interp : {0, 1, 2, 3, 4, 9, 10}, default 2 (cubic)
    rng : optional              see `gpuio.image.draws`; draws x, then y

    Returns
    -------
    image, (x, y, w, h)         and the window it was cut from
    """
    plan = geometry.plan_random_crop(_image(src).shape, size, interp, as_draws(rng))
    return host_array(crop(_image(src), plan)), plan.rect


def center_crop(
    src: Any, size: Sequence[int], interp: int = 2, *, rng: Rng = None
) -> tuple[NDArray, _Rect]:
    """Crop around the centre; arguments and result are those of `random_crop`."""
    plan = geometry.plan_center_crop(_image(src).shape, size, interp, as_draws(rng))
    return host_array(crop(_image(src), plan)), plan.rect


def random_size_crop(
    src: Any,
    size: Sequence[int],
    area: Any,
    ratio: Sequence[float],
    interp: int = 2,
    *,
    rng: Rng = None,
    **kwargs: Any,
) -> tuple[NDArray, _Rect]:
    """Crop a window of random area and aspect ratio, and resize it to `size`.

    Parameters
    ----------
    src : array[height, width, channels]
    size : (width, height)          of the result, pixels
    area : float or (low, high)     fraction of the image's area; a number a means (a, 1)
    ratio : (low, high)             width / height, drawn log-uniformly
    interp : {0, 1, 2, 3, 4, 9, 10}, default 2 (cubic)
    rng : optional                  see `gpuio.image.draws`
    min_area                        MXNet's old name of `area`

    Returns
    -------
    image, (x, y, w, h)             the centre crop if ten attempts did not fit

    Raises
    ------
    AssertionError                  another keyword argument than `min_area`
    """
    area = geometry.take_min_area(area, kwargs, "random_size_crop")
    plan = geometry.plan_random_size_crop(
        _image(src).shape, size, area, ratio, interp, as_draws(rng)
    )
    return host_array(crop(_image(src), plan)), plan.rect


def color_normalize(src: Any, mean: Any, std: Any = None) -> Any:
    """Subtract `mean` and divide by `std`, in place.

    Parameters
    ----------
    src : floating array[height, width, 3]      changed, and returned
    mean, std : array[3], number or None        None leaves that step out

    Raises
    ------
    OptionError     `src` holds integers

    Notes
    -----
    MXNet takes a number on an integer image and wraps around below 0; here that is an error. MXNet
    refuses numpy arrays as `mean`; gpuio accepts them.
    """
    require_floats(src, "color_normalize")
    if mean is not None:
        src -= np.asarray(mean, src.dtype)
    if std is not None:
        src /= np.asarray(std, src.dtype)
    return src


def copyMakeBorder(  # noqa: N802 -- MXNet's name
    src: Any,
    top: int,
    bot: int,
    left: int,
    right: int,
    type: int = 0,  # noqa: A002 -- MXNet's name
    value: float = 0.0,
    values: Sequence[float] = (),
    out: Any = None,
) -> NDArray:
    """Put a border around an image.

    Parameters
    ----------
    src : array[height, width, channels]
    top, bot, left, right : int     width of the border, pixels, >= 0
    type : int, default 0           OpenCV's code: 0 constant, 1 replicate (aaa|abc), 2 reflect
                                    (cba|abc), 3 wrap (abc|abc), 4 reflect_101 (dcb|abc); 16 may be
                                    added, which changes nothing here
    value : float, default 0        of all channels of a constant border
    values : sequence of float      one per channel, instead of `value`; a single one serves all
                                    channels
    out : array, optional           written and returned

    Raises
    ------
    OptionError     a negative width, an unknown type, or `values` of another length

    Notes
    -----
    MXNet leaves uninitialised memory in channels for which `values` has no number. In gpuio a
    single value is repeated, and any other wrong length is an error.
    """
    with working:
        import cv2

    source = _image(src)
    channels = source.shape[2]
    fill = [float(v) for v in values] or [float(value)]
    if len(fill) == 1:
        fill *= channels
    if len(fill) != channels:
        raise OptionError(f"values has {len(fill)} numbers, the image {channels} channels")
    if min(top, bot, left, right) < 0 or type & ~16 not in range(5):
        raise OptionError(
            f"copyMakeBorder(top={top}, bot={bot}, left={left}, right={right}, type={type}): "
            "expected widths >= 0 and a type of 0 to 4"
        )
    shape = (source.shape[0] + top + bot, source.shape[1] + left + right, channels)
    made = np.empty(shape, source.dtype) if out is None else out
    if made.shape != shape or made.dtype != source.dtype:
        raise OptionError(f"out is {made.dtype}{list(made.shape)}, expected {list(shape)}")
    try:
        for c in range(0, channels, 4):  # OpenCV fills at most four channels at a time
            part = np.ascontiguousarray(source[:, :, c : c + 4])
            framed = cv2.copyMakeBorder(
                part, top, bot, left, right, type & ~16, value=[*fill[c : c + 4], 0.0, 0.0, 0.0][:4]
            )
            made[:, :, c : c + 4] = framed.reshape(*shape[:2], -1)
    except cv2.error as error:
        raise OptionError(f"copyMakeBorder of {source.dtype}: {error}") from error
    return made if isinstance(made, NDArray) else host_array(made)


def crop(src: npt.NDArray[Any], plan: Crop) -> npt.NDArray[Any]:
    """Carry out a planned crop; the result shares no memory with `src`."""
    window = src[plan.y : plan.y + plan.h, plan.x : plan.x + plan.w]
    if plan.x < 0 or plan.y < 0 or window.size == 0:
        raise OptionError(
            f"crop of {plan.w}x{plan.h} pixels at ({plan.x}, {plan.y}) holds none of an image of "
            f"{src.shape[1]}x{src.shape[0]}"
        )
    return window.copy() if plan.resize is None else _resize(window, plan.resize)


def require_floats(src: Any, where: str) -> None:
    """Refuse an integer image where fractions are computed in place."""
    if not np.issubdtype(src.dtype, np.floating):
        raise OptionError(f"{where} of {src.dtype}: expected floats; cast first (CastAug)")


def _image(src: Any) -> npt.NDArray[Any]:
    """Return a plain view of a 3-D image."""
    if not hasattr(src, "ndim"):
        raise OptionError(
            f"expected an array (height, width, channels), got {type(src).__name__}: "
            "numpy.asarray(image) makes one of a PIL image or a list"
        )
    if src.ndim != 3:
        raise OptionError(
            f"expected an image of (height, width, channels), got shape {list(src.shape)}"
        )
    return np.asarray(src)


def resize_window(src: npt.NDArray[Any], whole: Resize, window: Crop) -> npt.NDArray[Any]:
    """Return a window of a resized image, with the pixels of resizing and then cropping.

    Parameters
    ----------
    src : array[height, width, channels]
    whole : Resize              of all of `src`
    window : Crop               inside the resized image, without a resize of its own

    Notes
    -----
    For a cubic resize of uint8 only the window is computed.
    """
    y, x, h, w = window.y, window.x, window.h, window.w
    if _is_ours(src, whole.interp):
        return _resize_bytes(src, whole, (y, x, h, w))
    return _resize(src, whole)[y : y + h, x : x + w].copy()


def _resize(source: npt.NDArray[Any], plan: Resize) -> npt.NDArray[Any]:
    """Resize all of an image."""
    if _is_ours(source, plan.interp):
        return _resize_bytes(source, plan, (0, 0, plan.height, plan.width))
    with working:
        import cv2

    try:
        resized = cv2.resize(source, (plan.width, plan.height), interpolation=plan.interp)
    except cv2.error as error:
        raise OptionError(
            f"cannot resize {source.dtype}{list(source.shape)} to {plan.width}x{plan.height} with "
            f"interp={plan.interp}: {error}"
        ) from error
    return np.asarray(resized).reshape(plan.height, plan.width, source.shape[2])


def _is_ours(source: npt.NDArray[Any], interp: int) -> bool:
    """Whether our own kernel resizes: where today's OpenCV does not round as MXNet's did."""
    return interp == geometry.CUBIC and source.dtype == np.uint8 and source.shape[2] in (1, 3, 4)


def _resize_bytes(
    source: npt.NDArray[Any], plan: Resize, window: tuple[int, int, int, int]
) -> npt.NDArray[np.uint8]:
    """Make a window (y, x, height, width) of a cubic resize of uint8."""
    with working:
        from gpuio.kernels.cpu import multi_step

    made: npt.NDArray[np.uint8] = multi_step.resize_window(
        np.ascontiguousarray(source), plan.height, plan.width, plan.interp, *window
    )
    return made
