"""Find the rows whose plan does not fit the image: a crop outside it, an unknown interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.kernels.plan.interpolation import known
from gpuio.kernels.plan.layout import EQUALIZE, PRE_COLOUR_HLS, TONES

__all__ = ["goal", "invalid_rows"]


def goal(
    rows: npt.NDArray[Any], height: int, width: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the size to which each row's crop is resized for an output of (height, width).

    Returns
    -------
    height, width : int[n]
    """
    boxed = rows["letterbox_h"] > 0
    return np.where(boxed, rows["letterbox_h"], height), np.where(boxed, rows["letterbox_w"], width)


def invalid_rows(
    rows: npt.NDArray[Any],
    height: npt.NDArray[Any],
    width: npt.NDArray[Any],
    channels: int,
    out_h: int,
    out_w: int,
) -> npt.NDArray[np.bool_]:
    """Say which rows do not fit their images or the output.

    Parameters
    ----------
    rows : PLAN[n]
    height, width : int64[n]            of the images, their EXIF orientation applied
    channels, out_h, out_w : int        of the output

    Returns
    -------
    bool[n]
    """
    bad = (rows["src_h"] < 1) | (rows["src_w"] < 1)
    bad |= (rows["orient"] < 0) | (rows["orient"] > 8)
    height, width = _resized(rows, "resize", height, width, bad)
    y, x = rows["expand_y"], rows["expand_x"]
    expanded = rows["expand_h"] > 0
    outside = (y + height > rows["expand_h"]) | (x + width > rows["expand_w"])
    bad |= expanded & ((y < 0) | (x < 0) | outside)
    height = np.where(expanded, rows["expand_h"], height)
    width = np.where(expanded, rows["expand_w"], width)
    height, width = _resized(rows, "warp", height, width, bad)
    height, width = height + 2 * rows["pad"], width + 2 * rows["pad"]
    for name in ("upscale1", "upscale2"):
        height, width = _resized(rows, name, height, width, bad)
    y, x, h, w = (rows[f"crop_{name}"].astype(np.int64) for name in "yxhw")
    bad |= (h < 1) | (w < 1) | (y < 0) | (x < 0) | (y + h > height) | (x + w > width)
    goal_h, goal_w = goal(rows, out_h, out_w)
    bad |= (goal_h > out_h) | (goal_w > out_w) | (goal_w < 1)
    bad |= ((h != goal_h) | (w != goal_w)) & ~known(rows["crop_inter"])
    bad |= _odd(rows, out_h, out_w)
    if channels == 1:
        bad |= (rows["jitter"] != 0) | (rows["hls_on"] != 0) | (rows["pca_on"] != 0)
        bad |= (rows["tone_count"] != 0) | (rows["pre_colour"] & PRE_COLOUR_HLS != 0)
    return bad


def _resized(
    rows: npt.NDArray[Any],
    name: str,
    height: npt.NDArray[Any],
    width: npt.NDArray[Any],
    bad: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the sizes after a step that sets them; mark rows where it cannot be."""
    on = rows[f"{name}_h"] > 0
    bad |= on & ((rows[f"{name}_w"] < 1) | ~known(rows[f"{name}_inter"], warp=name == "warp"))
    return np.where(on, rows[f"{name}_h"], height), np.where(on, rows[f"{name}_w"], width)


def _odd(rows: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Say which rows have a tone step or an erased rectangle that cannot be, bool[n]."""
    count = rows["tone_count"]
    unknown = (rows["tone_op"] < 0) | (rows["tone_op"] > EQUALIZE)
    bad = (count < 0) | (count > TONES)
    bad |= (unknown & (np.arange(TONES) < count[:, None])).any(1)
    y, x, h, w = (rows[f"erase_{name}"].astype(np.int64) for name in "yxhw")
    outside = (w < 1) | (y < 0) | (x < 0) | (y + h > height) | (x + w > width)
    return bad | ((h > 0) & outside)
