"""decode_scale: JPEGs decoded at 1/2, 1/4 or 1/8, and the plan that fits what is then decoded.

Nothing is drawn anew: each row is rewritten to the same window of the smaller image. Its step that
shrinks the image is kept where the window's edges lie between pixels of the smaller image; where
they do not and the resize is bilinear, a warp takes its place, which reads at fractions of a pixel
(1/32); other interpolations take the nearest pixels if those are near enough, else a larger image.

Invariant: a row's scale is a function of its plan, the option and its header; neither the device
nor the decoder takes part.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gpuio.decode.formats import FORMATS
from gpuio.kernels.plan.layout import BILINEAR, NEAREST

__all__ = ["SCALES", "fitted", "scalable", "scaled_size"]

SCALES = (8, 4, 2)  # an image is decoded at 1 / scale, the largest that its plan allows

_NEAR = 0.25  # pixels of the output: how far an edge may be off where no warp takes its place
_JPEG = FORMATS.index("jpeg")
_X_FLIPPED, _Y_FLIPPED = (2, 3, 6, 7), (3, 4, 7, 8)  # EXIF orientations, after the transposition

_Plan = npt.NDArray[np.void]
_Bools = npt.NDArray[np.bool_]
_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


class _Axis(NamedTuple):
    """What the step that shrinks an image does along one upright axis, for all rows.

    Attributes
    ----------
    size : int64[n]         of the image
    start, length : int64[n]
                            what is resized, in pixels of the image as the step finds it; it may
                            reach beyond the image
    goal : int64[n]         pixels that it becomes
    turned : bool[n]        whether the image lies the other way round than it is stored
    """

    size: _Ints
    start: _Ints
    length: _Ints
    goal: _Ints
    turned: _Bools

    def start_at(self, scale: int) -> _Floats:
        """Return where the window starts in the image decoded at 1 / scale, in its pixels.

        The last pixel of that image may lie partly beyond the image; turned, it is the first.
        """
        beyond = np.where(self.turned, scaled_size(self.size, scale) * scale - self.size, 0)
        begin: _Floats = (self.start + beyond) / scale
        return begin

    def edges(self, scale: int) -> tuple[_Ints, _Ints, _Floats]:
        """Return the nearest first and end pixel, and how far they are off, pixels of the goal."""
        begin = self.start_at(scale)
        end = begin + self.length / scale
        first = np.floor(begin + 0.5)
        stop = np.minimum(np.floor(end + 0.5), scaled_size(self.size, scale))
        off = np.maximum(np.abs(first - begin), np.abs(stop - end)) * scale
        return first.astype(np.int64), stop.astype(np.int64), off * self.goal / self.length

    def stretch(self, scale: int) -> _Floats:
        """Return how far the far edge is off if the whole smaller image becomes the goal."""
        small = scaled_size(self.size, scale)
        off: _Floats = (small * scale - self.size) * self.goal / (small * scale)
        return off

    def shrinks(self, scale: int) -> _Bools:
        """Say whether the step shrinks at least that much."""
        found: _Bools = self.length >= self.goal * scale
        return found


def scalable(headers: npt.NDArray[np.void], channels: int) -> _Bools:
    """Say which images a decoder makes smaller by itself: JPEGs, not to four channels.

    Parameters
    ----------
    headers : HEADER[n]
    channels : {1, 3, 4}        of the output
    """
    found: _Bools = (headers["kind"] == _JPEG) & (channels < 4)
    return found


def scaled_size(size: Any, scale: Any) -> Any:
    """Return the size of an image, pixels, decoded at 1 / scale: a part of a pixel is one."""
    return -(-size // scale)


def fitted(plan: _Plan, takes: _Bools, height: int, width: int) -> tuple[_Plan, _Ints]:
    """Choose the scale at which each image is decoded, and fit the plan to it.

    Parameters
    ----------
    plan : PLAN[n]              as drawn; `src_h` and `src_w` as the headers have them
    takes : bool[n]             which images may be decoded smaller, see `scalable`
    height, width : int         of the output

    Returns
    -------
    plan : PLAN[n]              the one given, where no row is changed; else a copy, in which
                                `src_h` and `src_w` of changed rows are those of the smaller image
    scale : int64[n]            1, 2, 4 or 8
    """
    scale = np.ones(len(plan), np.int64)
    takes = takes & (plan["crop_h"] > 0)
    if not takes.any():
        return plan, scale
    whole = plan["resize_h"] > 0
    axes = _axes(plan, whole, height, width)
    inter = np.where(whole, plan["resize_inter"], plan["crop_inter"])
    takes &= inter != NEAREST  # it takes pixels as they are
    takes &= whole | _crop_shrinks(plan, *(axis.goal for axis in axes))
    plain = (plan["pre_colour"] | plan["flip"] | plan["expand_h"]) == 0
    warps = (inter == BILINEAR) & (plan["warp_h"] == 0) & (~whole | plain)
    made = plan
    for by in SCALES:
        able = takes & (scale == 1) & axes[0].shrinks(by) & axes[1].shrinks(by)
        if not able.any():
            continue
        off = np.maximum(*(_off(axis, whole, by) for axis in axes))
        off[~whole & (plan["expand_h"] > 0)] = np.inf  # the canvas has no size of its own there
        able &= (off == 0) | warps | (off <= _NEAR)
        if not able.any():
            continue
        made = plan.copy() if made is plan else made
        moved = able & (off != 0) & warps
        _crop(made, able & ~moved & ~whole, axes, by)
        _warp(made, moved, axes, by)
        for name in ("src_h", "src_w"):
            made[name][able] = scaled_size(plan[name][able], by)
        scale[able] = by
    return made, scale


def _axes(plan: _Plan, whole: _Bools, height: int, width: int) -> tuple[_Axis, _Axis]:
    """Return what the shrinking step does along y and x."""
    orient, boxed = plan["orient"], plan["letterbox_h"] > 0
    lies = orient >= 5
    flipped = ~whole & (plan["flip"] != 0)
    turned = np.isin(orient, _Y_FLIPPED), np.isin(orient, _X_FLIPPED) ^ flipped
    found = []
    for name, other, goal, turn in zip("hw", "wh", (height, width), turned, strict=True):
        place = "y" if name == "h" else "x"
        size = np.where(lies, plan[f"src_{other}"], plan[f"src_{name}"]).astype(np.int64)
        canvas = np.where(plan["expand_h"] > 0, plan[f"expand_{place}"], 0).astype(np.int64)
        out = np.where(boxed, plan[f"letterbox_{name}"], goal)
        start = np.where(whole, 0, plan[f"crop_{place}"] - canvas)
        length = np.where(whole, size, plan[f"crop_{name}"]).astype(np.int64)
        out = np.where(whole, plan[f"resize_{name}"], out).astype(np.int64)
        found.append(_Axis(size, start, np.maximum(length, 1), np.maximum(out, 1), turn))
    return found[0], found[1]


def _crop_shrinks(plan: _Plan, goal_h: _Ints, goal_w: _Ints) -> _Bools:
    """Say in which rows the crop, of the image itself, is the first step that resizes."""
    steps = plan["warp_h"] | plan["pad"] | plan["upscale1_h"] | plan["upscale2_h"]
    resized = (plan["crop_h"] != goal_h) | (plan["crop_w"] != goal_w)
    found: _Bools = (steps == 0) & resized
    return found


def _off(axis: _Axis, whole: _Bools, scale: int) -> _Floats:
    """Return how far the window's edges are off without a warp, pixels of the goal."""
    off: _Floats = np.where(whole, axis.stretch(scale), axis.edges(scale)[2])
    return off


def _crop(made: _Plan, rows: _Bools, axes: tuple[_Axis, _Axis], scale: int) -> None:
    """Let rows crop the smaller image."""
    for axis, place, name in zip(axes, "yx", "hw", strict=True):
        first, stop, _ = axis.edges(scale)
        made[f"crop_{place}"][rows] = first[rows]
        made[f"crop_{name}"][rows] = (stop - first)[rows]


def _warp(made: _Plan, rows: _Bools, axes: tuple[_Axis, _Axis], scale: int) -> None:
    """Let a warp of the smaller image make what the shrinking step of rows makes."""
    if not rows.any():
        return
    whole = rows & (made["resize_h"] > 0)
    matrix = np.zeros((len(made), 6))
    for axis, name, step, shift in zip(axes, "hw", (4, 0), (5, 2), strict=True):
        factor = axis.length / axis.goal / scale
        matrix[:, step], matrix[:, shift] = factor, axis.start_at(scale) + factor / 2 - 0.5
        made[f"warp_{name}"][rows] = axis.goal[rows]
        made[f"resize_{name}"][rows] = 0
        made[f"expand_{name}"][rows] = 0  # outside the image a warp has the same fill
        made[f"crop_{name}"][rows & ~whole] = axis.goal[rows & ~whole]
    made["crop_y"][rows & ~whole] = made["crop_x"][rows & ~whole] = 0
    made["warp"][rows], made["warp_inter"][rows] = matrix[rows], BILINEAR
