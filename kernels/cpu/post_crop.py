"""Steps that MXNet does not have, on a finished window: post_affine, tone, erase.

Modules of rare steps are imported, and so compiled, when a plan first needs them.
"""

# ruff: noqa: PLC0415 -- a rare step is compiled when a plan first needs it
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.kernels.cpu.multi_step import PlanError
from gpuio.kernels.plan.layout import (
    AUTOCONTRAST,
    BILINEAR,
    EQUALIZE,
    POSTERIZE,
    SATURATION,
    SHARPNESS,
    SOLARIZE,
    TONES,
)

__all__ = ["erase", "level_tables", "post_affine", "tone", "tone_table", "wanted"]


def wanted(row: npt.NDArray[Any]) -> bool:
    """Say whether a row, PLAN[1], has any of these steps."""
    return bool(row["post_affine_on"][0] or row["tone_count"][0] or row["erase_h"][0] > 0)


def post_affine(
    row: Any, height: int, width: int, window: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Warp a window that is not flipped yet, and flip it then.

    Parameters
    ----------
    row : PLAN[()]
    height, width : int
    window : uint8[height * width * 4]

    Returns
    -------
    uint8[height * width * 4]       `window` itself where the row has none
    """
    if not row["post_affine_on"]:
        return window
    from gpuio.kernels.cpu import warp

    made = np.empty_like(window)
    matrix, fill, mirror = np.array(row["post_affine"]), int(row["fill"]), bool(row["mirror"])
    warp.warp(
        window, 4, height, width, matrix, BILINEAR, fill, 0, 0, mirror, height, width, made
    )  # fmt: skip
    return made


def tone(row: Any, channels: int, window: npt.NDArray[np.uint8]) -> None:
    """Take the tone steps on uint8[height, width, 4], in place.

    Raises
    ------
    PlanError       a step that is not known, or too many; or an image without colours
    """
    count = int(row["tone_count"])
    if count == 0:
        return
    if channels == 1 or not 0 < count <= TONES:
        raise PlanError(f"{count} tone steps on {channels} channels")
    from gpuio.kernels.cpu import colour
    from gpuio.kernels.cpu.lut import look_up

    pixels = window.reshape(-1, 4)
    for op, value in zip(row["tone_op"][:count].tolist(), row["tone_arg"][:count], strict=True):
        if 0 <= op <= SATURATION:
            gain = np.ones(3, np.float32)
            gain[op] = value
            colour.jitter(
                pixels.reshape(-1).view(np.uint32), channels, np.array([op], np.int32), gain
            )
        elif op == SHARPNESS:
            from gpuio.kernels.cpu.sharpen import sharpen

            sharpen(window.copy(), value, window)
        elif op in (AUTOCONTRAST, EQUALIZE):
            from gpuio.kernels.cpu import levels

            counts = np.zeros((3, 256), np.int64)
            levels.count_levels(pixels, counts)
            levels.map_levels(pixels, level_tables(op, counts))
        else:
            look_up(pixels, tone_table(op, value))


def tone_table(op: int, value: float) -> npt.NDArray[np.uint8]:
    """Return what POSTERIZE or SOLARIZE makes of each byte, uint8[256]."""
    byte = np.arange(256)
    if op == POSTERIZE and 0 <= value <= 8:
        return (byte & (0xFF << (8 - int(value)))).astype(np.uint8)
    if op == SOLARIZE:
        return np.where(byte >= value, 255 - byte, byte).astype(np.uint8)
    raise PlanError(f"tone step {op} by {value}")


def level_tables(op: int, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Return what AUTOCONTRAST or EQUALIZE makes of each byte of each channel.

    Parameters
    ----------
    op : {AUTOCONTRAST, EQUALIZE}
    counts : int64[3, 256]      how many pixels of a channel have each byte

    Returns
    -------
    uint8[3, 256]       as Pillow's ImageOps.autocontrast and equalize have it, to the bit
    """
    made = np.tile(np.arange(256), (3, 1))
    for channel, found in enumerate(counts):
        used = np.flatnonzero(found)
        low, high = int(used[0]), int(used[-1])
        if op == AUTOCONTRAST and low < high:
            scale = 255.0 / (high - low)
            made[channel] = (np.arange(256) * scale + -low * scale).astype(np.int64)
        elif op == EQUALIZE:
            step = int(found.sum() - found[high]) // 255
            if step > 0:
                made[channel] = (step // 2 + np.cumsum(found) - found) // step
    return np.clip(made, 0, 255).astype(np.uint8)


def erase(row: Any, channels: int, window: npt.NDArray[np.uint8]) -> None:
    """Fill a rectangle of uint8[height, width, 4], in place."""
    h = int(row["erase_h"])
    if h <= 0:
        return
    y, x, w = (int(row[f"erase_{part}"]) for part in "yxw")
    height, width = window.shape[:2]
    if w < 1 or y < 0 or x < 0 or y + h > height or x + w > width:
        raise PlanError(f"erasing y={y} x={x} h={h} w={w} of {height} x {width}")
    window[y : y + h, x : x + w, :channels] = row["erase_value"][:channels].astype(np.uint8)
