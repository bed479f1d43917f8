"""The long way: a plan of any steps, one after another, four bytes per pixel between them.

Every step that is the last before the crop makes the crop's window only, or, where the crop is
resized, the pixels that it keeps. Modules of rare steps are imported, and so compiled, when a plan
first needs them.
"""

# ruff: noqa: PLC0415 -- a rare step is compiled when a plan first needs it
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from gpuio.kernels.cpu import window
from gpuio.kernels.plan.interpolation import FILTERS, INTERPOLATIONS, Interpolation, known
from gpuio.kernels.plan.layout import (
    AREA,
    BILINEAR,
    CUBIC,
    NEAREST,
    PLAN,
    PRE_COLOUR_GAIN,
    PRE_COLOUR_HLS,
)

__all__ = ["PlanError", "execute", "resize_window"]


class PlanError(ValueError):
    """A plan's numbers do not fit its image."""


class _Scratch(Protocol):
    """What the steps take of `augment.Scratch`."""

    work: tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]

    def take_image(self, size: int, source: npt.NDArray[Any], /) -> npt.NDArray[np.uint8]: ...

    def take_spare(self, name: str, size: int, /) -> npt.NDArray[np.uint8]: ...

    def grow(self, n: int, /) -> None: ...


class _Image(NamedTuple):
    """Flat pixels with their size; `stride` bytes per pixel, `channels` of them in use."""

    pixels: npt.NDArray[np.uint8]
    height: int
    width: int
    stride: int
    channels: int


_Region = tuple[int, int, int, int]  # y, x, height, width
_Cut = tuple[
    int, int, int, int, bool, npt.NDArray[np.uint8]
]  # a region, whether flipped, and where it is written


def execute(
    pixels: npt.NDArray[np.uint8],
    row: Any,
    channels: int,
    height: int,
    width: int,
    out: npt.NDArray[np.uint8],
    scratch: _Scratch,
) -> None:
    """Execute a row's geometry.

    Parameters
    ----------
    pixels : uint8[src_h * src_w * channels]
    row : PLAN[()]              a record
    channels, height, width : int
    out : uint8[height * width * 4]
                                receives the window
    scratch : Scratch

    Raises
    ------
    PlanError                   if a size or a crop does not fit
    """
    if row["letterbox_h"] > 0:
        _letterbox(pixels, row, channels, height, width, out, scratch)
        return
    h, w = int(row["src_h"]), int(row["src_w"])
    if h < 1 or w < 1 or h * w * channels != pixels.size:
        raise PlanError(f"{h} x {w} x {channels} is not {pixels.size} bytes")
    image = _Image(pixels, h, w, channels, channels)
    if row["orient"] > 1:
        image = _upright(image, int(row["orient"]), scratch)
    y, x, h, w = (int(row[name]) for name in ("crop_y", "crop_x", "crop_h", "crop_w"))
    plain = (h, w) == (height, width)
    mirror = bool(row["mirror"])
    steps = [name for name in _STEPS if _present(row, name)]
    for number, name in enumerate(steps):
        cut: _Cut | None = None
        if number == len(steps) - 1 and name != "pad":
            _inside((y, x, h, w), *_size(image, row, name))
            flat = out if plain else scratch.take_image(4 * h * w, image.pixels)
            cut = (y, x, h, w, mirror and plain, flat)
        made = _STEPS[name](image, row, name, cut, scratch)
        if made is not None:
            image = made
            continue
        if plain:
            return
        image = _Image(flat, h, w, 4, image.channels)
        y = x = 0
    _inside((y, x, h, w), image.height, image.width)
    if plain:
        whole = 0, 0, image.height, image.width
        _resample(
            image, whole, image.height, image.width, NEAREST, (y, x, h, w, mirror, out), scratch
        )
    else:
        inter = int(row["crop_inter"])
        cut = (0, 0, height, width, mirror, out)
        _resample(image, (y, x, h, w), height, width, inter, cut, scratch)


def resize_window(
    source: npt.NDArray[np.uint8],
    height: int,
    width: int,
    inter: int,
    y: int,
    x: int,
    h: int,
    w: int,
) -> npt.NDArray[np.uint8]:
    """Resize an image by taps and keep a window of the result.

    Parameters
    ----------
    source : uint8[src_h, src_w, channels]      1, 3 or 4 channels, C order
    height, width : int                         of the whole result
    inter : {CUBIC, LANCZOS4}
    y, x, h, w : int                            the window, inside the result

    Returns
    -------
    uint8[h, w, channels]
    """
    src_h, src_w, channels = source.shape
    _inside((y, x, h, w), height, width)
    if (src_h, src_w) == (height, width):
        return source[y : y + h, x : x + w].copy()
    out = np.empty(h * w * 4, np.uint8)
    image = _Image(source.reshape(-1), src_h, src_w, channels, channels)
    _filter(image, (0, 0, src_h, src_w), height, width, inter, (y, x, h, w, False, out))
    return out.reshape(h, w, 4)[:, :, :channels].copy()


def _letterbox(
    pixels: npt.NDArray[np.uint8],
    row: Any,
    channels: int,
    height: int,
    width: int,
    out: npt.NDArray[np.uint8],
    scratch: _Scratch,
) -> None:
    """Execute a row for a smaller output; paste it at the top left of a zero-filled output."""
    h, w = int(row["letterbox_h"]), int(row["letterbox_w"])
    if w < 1 or h > height or w > width:
        raise PlanError(f"an image of {h} x {w} has no place in {height} x {width}")
    inner = row.copy()
    inner["letterbox_h"] = inner["mirror"] = 0
    made = scratch.take_spare("letterbox", 4 * h * w)
    execute(pixels, inner, channels, h, w, made, scratch)
    canvas = out.view(np.uint32).reshape(height, width)[:, :: -1 if row["mirror"] else 1]
    canvas[:] = 0
    canvas[:h, :w] = made.view(np.uint32).reshape(h, w)


def _size(image: _Image, row: Any, name: str) -> tuple[int, int]:
    """Return the size of an image after a step other than pad."""
    if name == "expand" and row["expand_h"] <= 0:
        return image.height, image.width
    return int(row[f"{name}_h"]), int(row[f"{name}_w"])


def _present(row: Any, name: str) -> bool:
    if name == "expand":
        return bool(row["pre_colour"] != 0 or row["flip"] != 0 or row["expand_h"] > 0)
    return int(row[name if name == "pad" else f"{name}_h"]) > 0


def _inside(crop: _Region, height: int, width: int) -> None:
    y, x, h, w = crop
    if h < 1 or w < 1 or y < 0 or x < 0 or y + h > height or x + w > width:
        raise PlanError(f"crop y={y} x={x} h={h} w={w} is not inside {height} x {width}")


def _upright(image: _Image, orientation: int, scratch: _Scratch) -> _Image:
    """Apply an EXIF orientation."""
    from gpuio.kernels.cpu import orient

    if orientation > 8:
        raise PlanError(f"EXIF orientation {orientation} is not one of 1 to 8")
    h, w = image.height, image.width
    made = scratch.take_image(4 * h * w, image.pixels)
    orient.orient(image.pixels, image.stride, h, w, orientation, made)
    if orientation >= 5:
        h, w = w, h
    return _Image(made, h, w, 4, image.channels)


def _whole(image: _Image, height: int, width: int, scratch: _Scratch) -> tuple[_Cut, _Image]:
    """Return the cut that is all of an image, and the image it makes."""
    flat = scratch.take_image(4 * height * width, image.pixels)
    made = _Image(flat, height, width, 4, image.channels)
    return (0, 0, height, width, False, made.pixels), made


def _resize(
    image: _Image, row: Any, name: str, cut: _Cut | None, scratch: _Scratch
) -> _Image | None:
    """Resize as the fields `name` say; make `cut` of it, or the image that is returned."""
    height, width = _size(image, row, name)
    if width < 1:
        raise PlanError(f"{name} to {height} x {width}")
    made = None
    if cut is None:
        cut, made = _whole(image, height, width, scratch)
    _inside(cut[:4], height, width)
    region = 0, 0, image.height, image.width
    _resample(image, region, height, width, int(row[f"{name}_inter"]), cut, scratch)
    return made


def _expand(
    image: _Image, row: Any, name: str, cut: _Cut | None, scratch: _Scratch
) -> _Image | None:
    """Tint, flip and frame; make `cut` of it, or the image that is returned."""
    height, width = _size(image, row, name)
    expanded = row["expand_h"] > 0
    top, left = (int(row["expand_y"]), int(row["expand_x"])) if expanded else (0, 0)
    if top < 0 or left < 0 or top + image.height > height or left + image.width > width:
        raise PlanError(
            f"{image.height} x {image.width} at y={top} x={left} is not inside {height} x {width}"
        )
    made = None
    if cut is None:
        cut, made = _whole(image, height, width, scratch)
    y, x, h, w, mirror, out = cut
    y0, y1 = max(y, top), min(y + h, top + image.height)  # what the cut shows of the image
    x0, x1 = max(x, left), min(x + w, left + image.width)
    canvas = out.view(np.uint32).reshape(h, w)[:, :: -1 if mirror else 1]
    bordered = (y0, y1, x0, x1) != (y, y + h, x, x + w)
    if bordered:
        canvas[:] = int(row["fill"]) * (0x010101 if image.channels > 1 else 1)
    if y0 >= y1 or x0 >= x1:
        return made
    h, w = y1 - y0, x1 - x0
    part = scratch.take_spare("expand", 4 * h * w) if bordered else out
    flip, column = bool(row["flip"]), x0 - left
    if flip:
        column = image.width - column - w
    whole = 0, 0, image.height, image.width
    kept = (y0 - top, column, h, w, flip != (mirror and not bordered), part)
    _resample(image, whole, *whole[2:], NEAREST, kept, scratch)
    _pre_colour(row, image.channels, part.view(np.uint32))
    if bordered:
        canvas[y0 - y : y1 - y, x0 - x : x1 - x] = part.view(np.uint32).reshape(h, w)
    return made


def _pre_colour(row: Any, channels: int, window: npt.NDArray[np.uint32]) -> None:
    """Change the colours of uint32[n] before the geometry, in place."""
    if row["pre_colour"] == 0:
        return
    from gpuio.kernels.cpu import colour

    if row["pre_colour"] & PRE_COLOUR_HLS:
        if channels == 1:
            raise PlanError("a shift of hue, lightness and saturation of 1 channel")
        colour.shift_hls(window, row["pre_colour_hls"].copy())
    if row["pre_colour"] & PRE_COLOUR_GAIN:
        gain = np.full(3, row["pre_colour_gain"], np.float32)
        colour.jitter(window, max(channels, 3), np.zeros(1, np.int32), gain)


def _warp(
    image: _Image, row: Any, _name: str, cut: _Cut | None, scratch: _Scratch
) -> _Image | None:
    """Warp; make `cut` of it, or the image that is returned."""
    from gpuio.kernels.cpu import warp

    height, width = int(row["warp_h"]), int(row["warp_w"])
    if not known(int(row["warp_inter"]), warp=True):
        raise PlanError(f"interpolation {int(row['warp_inter'])} of a warp is not one of 0 to 4")
    if width < 1:
        raise PlanError(f"warp to {height} x {width}")
    made = None
    if cut is None:
        cut, made = _whole(image, height, width, scratch)
    _inside(cut[:4], height, width)
    matrix, fill = np.array(row["warp"]), int(row["fill"])
    y, x, h, w, mirror, out = cut
    warp.warp(
        image.pixels, image.stride, image.height, image.width, matrix, int(row["warp_inter"]),
        fill, y, x, mirror, h, w, out,
    )  # fmt: skip
    return made


def _pad(
    image: _Image, row: Any, _name: str, _cut: _Cut | None, scratch: _Scratch
) -> _Image | None:
    """Put the border round."""
    from gpuio.kernels.cpu import orient

    pad, fill = int(row["pad"]), int(row["fill"])
    made = _whole(image, image.height + 2 * pad, image.width + 2 * pad, scratch)[1]
    lanes = min(image.channels, 3)
    orient.border(
        image.pixels, image.stride, image.height, image.width, pad, fill, lanes, made.pixels
    )
    return made


_STEPS: dict[str, Callable[[_Image, Any, str, _Cut | None, _Scratch], _Image | None]] = {
    "resize": _resize,
    "expand": _expand,
    "warp": _warp,
    "pad": _pad,
    "upscale1": _resize,
    "upscale2": _resize,
}


def _resample(
    image: _Image,
    region: _Region,
    height: int,
    width: int,
    inter: int,
    cut: _Cut,
    scratch: _Scratch,
) -> None:
    """Resize a region (y, x, h, w) of an image to height x width and keep a window of it."""
    if not known(inter):
        raise PlanError(f"interpolation {inter} is not one of 0 to {len(INTERPOLATIONS) - 1}")
    h, w = region[2:]
    same = (h, w) == (height, width)
    half = (h, w) == (2 * height, 2 * width)
    if same or inter == NEAREST or (inter == BILINEAR and not half):
        _sample(image, region, height, width, inter, cut, scratch)
    elif inter in FILTERS:
        _filter_wide(image, region, height, width, FILTERS[inter], cut)
    elif inter in (BILINEAR, AREA) and h >= height and w >= width:
        _shrink(image, region, height, width, cut)
    else:
        _filter(image, region, height, width, inter, cut)


def _sample(
    image: _Image,
    region: _Region,
    height: int,
    width: int,
    inter: int,
    cut: _Cut,
    scratch: _Scratch,
) -> None:
    """Resize by nearest or bilinear, or copy: a plan of one step for `make_window`."""
    y, x, h, w, mirror, out = cut
    step = np.zeros(1, PLAN)
    step["src_h"], step["src_w"], step["mirror"] = image.height, image.width, mirror
    if region == (0, 0, image.height, image.width):
        step["resize_h"], step["resize_w"], step["resize_inter"] = height, width, inter
        region = y, x, h, w
    step["crop_y"], step["crop_x"], step["crop_h"], step["crop_w"] = region
    step["crop_inter"] = inter
    source = image.pixels
    code = window.make_window(step, 0, source, image.stride, h, w, out, *scratch.work)
    if code < 0:
        scratch.grow(-code)
        code = window.make_window(step, 0, source, image.stride, h, w, out, *scratch.work)
    if code != window.DONE:
        raise PlanError(f"step {step[0]} ended with {code}")


def _start(image: _Image, region: _Region) -> tuple[int, int]:
    """Return base and pitch of a region, bytes."""
    return image.stride * (region[0] * image.width + region[1]), image.stride * image.width


def _shrink(image: _Image, region: _Region, height: int, width: int, cut: _Cut) -> None:
    """Average areas."""
    from gpuio.kernels.cpu import area

    y, x, h, w, mirror, out = cut
    base, pitch = _start(image, region)
    if region[2] % height == 0 and region[3] % width == 0:
        fy, fx = region[2] // height, region[3] // width
        area.shrink_whole(image.pixels, base, pitch, image.stride, fy, fx, y, x, mirror, h, w, out)
        return
    area.shrink(
        image.pixels, base, pitch, image.stride, *region[2:], height, width,
        y, x, mirror, h, w, out,
    )  # fmt: skip


def _filter_wide(
    image: _Image, region: _Region, height: int, width: int, found: Interpolation, cut: _Cut
) -> None:
    """Resize by a filter that is wider where the image shrinks."""
    table, resize = found.functions()
    y, x, h, w, mirror, out = cut
    base, pitch = _start(image, region)
    columns = table(width, region[3])[x : x + w][:: -1 if mirror else 1]
    lines = table(height, region[2])[y : y + h]
    resize(image.pixels, base, pitch, image.stride, image.channels, columns, lines, out)


def _filter(image: _Image, region: _Region, height: int, width: int, inter: int, cut: _Cut) -> None:
    """Resize by taps."""
    from gpuio.kernels.cpu import resize
    from gpuio.kernels.taps import rounded_values, taps

    y, x, h, w, mirror, out = cut
    base, pitch = _start(image, region)
    columns = np.arange(x, x + w, dtype=np.int32)[:: -1 if mirror else 1]
    if inter == CUBIC:
        x_index, x_weight, y_index, y_weight = np.empty((4, max(h, w), 4), np.int32)
        x_index, x_weight, y_index, y_weight = x_index[:w], x_weight[:w], y_index[:h], y_weight[:h]
        step = -1 if mirror else 1
        resize.cubic_taps(width, region[3], int(columns[0]), step, x_index, x_weight)
        resize.cubic_taps(height, region[2], y, 1, y_index, y_weight)
    else:
        x_index, x_weight = (table[columns] for table in taps(width, region[3], inter, clamp=True))
        y_index, y_weight = (
            np.ascontiguousarray(table[y : y + h])
            for table in taps(height, region[2], inter, clamp=False)
        )
    rounded = rounded_values(width, image.channels, inter)
    resize.filter_taps(
        image.pixels, base, pitch, image.stride, image.channels, region[2], region[3],
        x_index, x_weight, y_index, y_weight, rounded, np.ascontiguousarray(columns), out,
    )  # fmt: skip
