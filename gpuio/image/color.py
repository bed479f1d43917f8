"""Augmenters that change colours. They need floats, work in place and clip nothing.

The order of the random draws, the matrices and the arithmetic are MXNet 1.9.1's; sums are taken in
float64 where MXNet's order of float32 additions cannot be had.
"""

# ruff: noqa: D102 -- dumps, is_random, draw and apply are documented on Augmenter

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError
from gpuio.image import ops
from gpuio.image.augment import Augmenter, RandomOrderAug, Shape, own_draws
from gpuio.image.draws import Draws, Rng
from gpuio.nd import NDArray, host_array

__all__ = [
    "BrightnessJitterAug",
    "ColorJitterAug",
    "ColorNormalizeAug",
    "ContrastJitterAug",
    "HueJitterAug",
    "LightingAug",
    "RandomGrayAug",
    "SaturationJitterAug",
]

_LUMA = (0.299, 0.587, 0.114)  # of R, G, B
_GRAY = (0.21, 0.72, 0.07)  # RandomGrayAug's own weights
_TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.321), (0.211, -0.523, 0.311))
_FROM_YIQ = ((1.0, 0.956, 0.621), (1.0, -0.272, -0.647), (1.0, -1.107, 1.705))


def _weighted(src: Any, weights: tuple[float, ...], where: str) -> npt.NDArray[Any]:
    """Return the weighted sum of three channels, shape (H, W, 1); one channel is its own."""
    if src.shape[2] == 1:
        return np.array(src, copy=True, subok=False)
    _require_rgb(src, where)
    total: npt.NDArray[Any] = np.asarray(src) @ np.array(weights, src.dtype)
    return total[:, :, None]


def _require_rgb(src: Any, where: str) -> None:
    if src.ndim != 3 or src.shape[2] != 3:
        raise OptionError(f"{where}: expected (height, width, 3), got shape {list(src.shape)}")


class _Jitter(Augmenter):
    """An augmenter whose plan is one gain, 1 + uniform(-limit, limit)."""

    def __init__(self, name: str, limit: float, rng: Rng) -> None:
        super().__init__(**{name: limit})
        setattr(self, name, limit)
        self._limit, self.draws = limit, own_draws(rng)

    def draw(self, shape: Shape, draws: Draws) -> tuple[Any, Shape]:
        return 1.0 + (self.draws or draws).uniform(-self._limit, self._limit), shape


class BrightnessJitterAug(_Jitter):
    """Multiply by 1 + uniform(-brightness, brightness), in place.

    Parameters
    ----------
    brightness : float      >= 0
    rng : optional          see `gpuio.image.draws`

    Notes
    -----
    MXNet accepts uint8 images here and truncates the factor to a whole number (0.7 gives black). In
    gpuio an integer image is an `OptionError`, for this jitter as for the others.
    """

    def __init__(self, brightness: float, *, rng: Rng = None) -> None:
        super().__init__("brightness", brightness, rng)

    def apply(self, src: Any, plan: Any) -> Any:
        ops.require_floats(src, "BrightnessJitterAug")
        src *= src.dtype.type(plan)
        return src


class ContrastJitterAug(_Jitter):
    """Move all values towards or away from the image's mean luma, in place.

    Parameters
    ----------
    contrast : float        >= 0; the gain a is 1 + uniform(-contrast, contrast)
    rng : optional          see `gpuio.image.draws`
    """

    def __init__(self, contrast: float, *, rng: Rng = None) -> None:
        super().__init__("contrast", contrast, rng)

    def apply(self, src: Any, plan: Any) -> Any:
        ops.require_floats(src, "ContrastJitterAug")
        mean = float(_weighted(src, _LUMA, "ContrastJitterAug").mean(dtype=np.float64))
        src *= src.dtype.type(plan)
        src += src.dtype.type((1.0 - plan) * mean)
        return src


class SaturationJitterAug(_Jitter):
    """Move each pixel towards or away from its own luma, in place.

    Parameters
    ----------
    saturation : float      >= 0; the gain a is 1 + uniform(-saturation, saturation)
    rng : optional          see `gpuio.image.draws`
    """

    def __init__(self, saturation: float, *, rng: Rng = None) -> None:
        super().__init__("saturation", saturation, rng)

    def apply(self, src: Any, plan: Any) -> Any:
        ops.require_floats(src, "SaturationJitterAug")
        luma = _weighted(src, _LUMA, "SaturationJitterAug")
        luma *= src.dtype.type(1.0 - plan)
        src *= src.dtype.type(plan)
        src += luma
        return src


class HueJitterAug(Augmenter):
    """Rotate the colours by uniform(-hue, hue) half turns in YIQ space; makes a new image.

    Parameters
    ----------
    hue : float             >= 0
    rng : optional          see `gpuio.image.draws`
    """

    def __init__(self, hue: float, *, rng: Rng = None) -> None:
        super().__init__(hue=hue)
        self.hue, self.draws = hue, own_draws(rng)

    def draw(self, shape: Shape, draws: Draws) -> tuple[Any, Shape]:
        turn = (self.draws or draws).uniform(-self.hue, self.hue) * np.pi
        cos, sin = np.cos(turn), np.sin(turn)
        inner = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
        return np.array(_FROM_YIQ) @ inner @ np.array(_TO_YIQ), shape

    def apply(self, src: Any, plan: Any) -> NDArray:
        ops.require_floats(src, "HueJitterAug")
        return _recolor(src, plan, "HueJitterAug")


def _recolor(src: Any, matrix: npt.NDArray[Any], where: str) -> NDArray:
    """Multiply every pixel by a 3 x 3 matrix."""
    _require_rgb(src, where)
    flat = np.asarray(src).reshape(-1, 3) @ matrix.T.astype(src.dtype)
    return host_array(flat.reshape(src.shape))


class ColorJitterAug(RandomOrderAug):
    """Jitter brightness, contrast and saturation in random order; zero leaves one out.

    Parameters
    ----------
    brightness, contrast, saturation : float    >= 0
    rng : optional                              see `gpuio.image.draws`; of order and jitters
    """

    def __init__(
        self, brightness: float, contrast: float, saturation: float, *, rng: Rng = None
    ) -> None:
        draws = own_draws(rng)
        chosen: list[Augmenter] = []
        if brightness > 0:
            chosen.append(BrightnessJitterAug(brightness, rng=draws))
        if contrast > 0:
            chosen.append(ContrastJitterAug(contrast, rng=draws))
        if saturation > 0:
            chosen.append(SaturationJitterAug(saturation, rng=draws))
        super().__init__(chosen, rng=draws)


class LightingAug(Augmenter):
    """Add noise along the principal components of the colours, in place.

    Parameters
    ----------
    alphastd : float        standard deviation of the three coefficients
    eigval : array[3]       eigenvalues
    eigvec : array[3, 3]    eigenvectors, one per column
    rng : optional          see `gpuio.image.draws`; None is `numpy.random` here
    """

    def __init__(self, alphastd: float, eigval: Any, eigvec: Any, *, rng: Rng = None) -> None:
        super().__init__(alphastd=alphastd, eigval=eigval, eigvec=eigvec)
        self.alphastd, self.eigval, self.eigvec = alphastd, eigval, eigvec
        self.draws = own_draws(rng)

    def draw(self, shape: Shape, draws: Draws) -> tuple[Any, Shape]:
        alpha = (self.draws or draws).normals(self.alphastd, 3)
        return np.dot(np.asarray(self.eigvec) * alpha, np.asarray(self.eigval)), shape

    def apply(self, src: Any, plan: Any) -> Any:
        ops.require_floats(src, "LightingAug")
        src += plan.astype(src.dtype)
        return src


class ColorNormalizeAug(Augmenter):
    """Subtract `mean` and divide by `std`, in place; either may be None.

    Parameters
    ----------
    mean, std : array[3], number or None

    Notes
    -----
    Both are kept as float32; `dumps` shows them as they were given.
    """

    def __init__(self, mean: Any, std: Any) -> None:
        super().__init__(mean=mean, std=std)
        self.mean, self.std = _as_float32(mean), _as_float32(std)

    @property
    def is_random(self) -> bool:
        return False

    def draw(self, shape: Shape, draws: Draws) -> tuple[Any, Shape]:  # noqa: ARG002
        return None, shape

    def apply(self, src: Any, plan: Any) -> Any:  # noqa: ARG002
        return ops.color_normalize(src, self.mean, self.std)


def _as_float32(value: Any) -> Any:
    """Return an array as float32; numbers and None as they are."""
    if isinstance(value, (np.ndarray, list, tuple)):
        return host_array(np.array(value, np.float32, subok=False))
    return value


class RandomGrayAug(Augmenter):
    """With probability `p`, give all channels 0.21 R + 0.72 G + 0.07 B; makes a new image.

    Parameters
    ----------
    p : float               in [0, 1]
    rng : optional          see `gpuio.image.draws`
    """

    def __init__(self, p: float, *, rng: Rng = None) -> None:
        super().__init__(p=p)
        self.p, self.draws = p, own_draws(rng)

    def draw(self, shape: Shape, draws: Draws) -> tuple[Any, Shape]:
        return (self.draws or draws).random() < self.p, shape

    def apply(self, src: Any, plan: Any) -> Any:
        if not plan:
            return src
        ops.require_floats(src, "RandomGrayAug")
        return _recolor(src, np.tile(np.array(_GRAY), (3, 1)), "RandomGrayAug")
