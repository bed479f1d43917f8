"""Rotate float32 images about their centre by bilinear sampling."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.image.draws import Rng, as_draws
from gpuio.nd import NDArray, host_array

__all__ = ["imrotate", "random_rotate"]


def imrotate(
    src: Any, rotation_degrees: Any, zoom_in: bool = False, zoom_out: bool = False
) -> NDArray:
    """Rotate images about their centres, keeping their size.

    Parameters
    ----------
    src : float32[C, H, W] or float32[N, C, H, W]
    rotation_degrees : number, or array[N] for a batch
        Positive is counter-clockwise as seen on the screen.
    zoom_in : bool, default False       enlarge until no corner of the result is empty
    zoom_out : bool, default False      shrink until the whole image is in the result

    Returns
    -------
    float32, of the shape of `src`      0 where the image does not reach

    Raises
    ------
    TypeError       `src` is not float32, or one image is given an array of angles
    ValueError      both zooms are asked for, `src` has another number of axes, or the number of
                    angles is not N
    """
    if zoom_in and zoom_out:
        raise ValueError("zoom_in and zoom_out exclude each other")
    if src.dtype != np.float32:
        raise TypeError(f"imrotate of {src.dtype}: expected float32")
    if src.ndim not in (3, 4):
        raise ValueError(f"imrotate of {src.ndim} axes: expected (C, H, W) or (N, C, H, W)")
    images = np.asarray(src) if src.ndim == 4 else np.asarray(src)[None]
    if isinstance(rotation_degrees, numbers.Number):
        angles = np.full(len(images), rotation_degrees, np.float64)
    elif src.ndim == 3:
        raise TypeError("one image takes one angle, a plain number")
    else:
        angles = np.asarray(rotation_degrees, np.float64)
        if angles.shape != (len(images),):
            raise ValueError(f"{angles.shape} angles for a batch of {len(images)} images")
    rotated = np.empty_like(images)
    for made, image, angle in zip(rotated, images, angles, strict=True):
        made[...] = _rotate(image, math.radians(angle), zoom_in, zoom_out)
    return host_array(rotated.reshape(src.shape))


def random_rotate(
    src: Any,
    angle_limits: tuple[float, float],
    zoom_in: bool = False,
    zoom_out: bool = False,
    *,
    rng: Rng = None,
) -> NDArray:
    """Rotate by a random angle, each image of a batch by an angle of its own.

    Parameters
    ----------
    src : float32[C, H, W] or float32[N, C, H, W]
    angle_limits : (low, high)          degrees; uniform in [low, high)
    zoom_in, zoom_out : bool            as in `imrotate`
    rng : optional                      see `gpuio.image.draws`
    """
    count = len(src) if src.ndim == 4 else 1
    angles = as_draws(rng).uniforms(angle_limits[0], angle_limits[1], count)
    return imrotate(src, angles if src.ndim == 4 else float(angles[0]), zoom_in, zoom_out)


def _zoom(height: int, width: int, angle: float, zoom_in: bool, zoom_out: bool) -> float:
    """Return by how much the sampling grid is stretched."""
    if not (zoom_in or zoom_out):
        return 1.0
    diagonal, corner, turn = math.hypot(height, width), math.atan2(height, width), abs(angle)
    wide = diagonal * max(abs(math.cos(corner + turn)), abs(math.cos(corner - turn)))
    high = diagonal * max(abs(math.sin(corner + turn)), abs(math.sin(corner - turn)))
    if zoom_out:
        return max(wide / width, high / height)
    return min(width / wide, height / high)


def _rotate(
    image: npt.NDArray[np.float32], angle: float, zoom_in: bool, zoom_out: bool
) -> npt.NDArray[np.float32]:
    """Sample one (C, H, W) image on its rotated grid; taps outside it count as 0."""
    _, height, width = image.shape
    gain = _zoom(height, width, angle, zoom_in, zoom_out)
    u = np.arange(width) - (width - 1) / 2
    v = (np.arange(height) - (height - 1) / 2)[:, None]
    x = (u * math.cos(angle) - v * math.sin(angle)) * gain + (width - 1) / 2
    y = (u * math.sin(angle) + v * math.cos(angle)) * gain + (height - 1) / 2
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right_part, low_part = (x - left).astype(np.float32), (y - top).astype(np.float32)
    total = np.zeros(image.shape, np.float32)
    for dy, wy in ((0, 1 - low_part), (1, low_part)):
        for dx, wx in ((0, 1 - right_part), (1, right_part)):
            rows, columns = top + dy, left + dx
            inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
            taps = image[:, rows.clip(0, height - 1), columns.clip(0, width - 1)]
            total += taps * (wy * wx * inside)
    return total
