"""CreateAugmenter: the usual list of augmenters from one set of options."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.image.augment import (
    Augmenter,
    CastAug,
    CenterCropAug,
    HorizontalFlipAug,
    RandomCropAug,
    RandomSizedCropAug,
    ResizeAug,
)
from gpuio.image.color import (
    ColorJitterAug,
    ColorNormalizeAug,
    HueJitterAug,
    LightingAug,
    RandomGrayAug,
)
from gpuio.image.draws import Rng, as_draws
from gpuio.options.normalise import beside_bytes
from gpuio.plan.imagenet import EIGENVALUES, EIGENVECTORS

__all__ = ["CreateAugmenter", "color_augmenters", "statistics"]

_log = logging.getLogger("gpuio")

# ImageNet's statistics, R G B on a scale of 0 to 255, as MXNet has them
MEAN = (123.68, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


def CreateAugmenter(  # noqa: N802 -- MXNet's name
    data_shape: tuple[int, int, int],
    resize: int = 0,
    rand_crop: bool = False,
    rand_resize: bool = False,
    rand_mirror: bool = False,
    mean: Any = None,
    std: Any = None,
    brightness: float = 0,
    contrast: float = 0,
    saturation: float = 0,
    hue: float = 0,
    pca_noise: float = 0,
    rand_gray: float = 0,
    inter_method: int = 2,
    *,
    rng: Rng = None,
) -> list[Augmenter]:
    """Make the list of augmenters that ImageIter uses unless given another.

    In order: resize, crop to (height, width), flip, cast to float32, jitter of brightness,
    contrast and saturation, jitter of hue, noise, gray, normalisation. Crop and cast are always
    there, the others only if asked for.

    Parameters
    ----------
    data_shape : (channels, height, width)      of the result
    resize : int, default 0             shorter edge before the crop, pixels; 0 leaves it alone
    rand_crop : bool                    crop at a random place instead of the centre
    rand_resize : bool                  crop 8 % to 100 % of the area, aspect 3/4 to 4/3; needs
                                        `rand_crop`
    rand_mirror : bool                  flip left to right with probability 0.5
    mean, std : None, True or array     True is ImageNet's; an array has a first axis of 1 or 3
    brightness, contrast, saturation, hue : float, default 0    jitter, see the augmenters
    pca_noise : float, default 0        `LightingAug`'s standard deviation
    rand_gray : float, default 0        probability of a gray image
    inter_method : {0, 1, 2, 3, 4, 9, 10}, default 2 (cubic)
    rng : optional                      one generator for all, see `gpuio.image.draws`

    Raises
    ------
    AssertionError      `rand_resize` without `rand_crop`, or another kind of `mean` or `std`
    """
    draws = None if rng is None else as_draws(rng)
    augs: list[Augmenter] = []
    if resize > 0:
        augs.append(ResizeAug(resize, inter_method, rng=draws))
    size = (data_shape[2], data_shape[1])
    if rand_resize:
        assert rand_crop, "rand_resize crops at random: it needs rand_crop=True"
        ratio = (3.0 / 4.0, 4.0 / 3.0)
        augs.append(RandomSizedCropAug(size, 0.08, ratio, inter_method, rng=draws))
    elif rand_crop:
        augs.append(RandomCropAug(size, inter_method, rng=draws))
    else:
        augs.append(CenterCropAug(size, inter_method, rng=draws))
    if rand_mirror:
        augs.append(HorizontalFlipAug(0.5, rng=draws))
    augs.append(CastAug())
    return augs + color_augmenters(
        brightness,
        contrast,
        saturation,
        hue,
        pca_noise,
        rand_gray,
        statistics(mean, np.array(MEAN, np.float32), "mean"),
        statistics(std, np.array(STD, np.float32), "std"),
        rng=draws,
    )


def color_augmenters(
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    pca_noise: float,
    rand_gray: float,
    mean: Any,
    std: Any,
    *,
    rng: Rng,
) -> list[Augmenter]:
    """Return the colour half of the list; `mean` and `std` are arrays or None."""
    augs: list[Augmenter] = []
    if brightness or contrast or saturation:
        augs.append(ColorJitterAug(brightness, contrast, saturation, rng=rng))
    if hue:
        augs.append(HueJitterAug(hue, rng=rng))
    if pca_noise > 0:
        values, vectors = np.array(EIGENVALUES), np.array(EIGENVECTORS)
        augs.append(LightingAug(pca_noise, values, vectors, rng=rng))
    if rand_gray > 0:
        augs.append(RandomGrayAug(rand_gray, rng=rng))
    if mean is not None or std is not None:
        lists = ([] if one is None else np.ravel(one).tolist() for one in (mean, std))
        if doubt := beside_bytes(*lists):
            _log.warning("augmenters: %s", doubt)
        augs.append(ColorNormalizeAug(mean, std))
    return augs


def statistics(value: Any, default: npt.NDArray[Any], name: str) -> Any:
    """Resolve `mean` or `std`; `default` stands for True."""
    if value is True:
        return default
    if value is not None:
        assert isinstance(value, np.ndarray) and value.shape[:1] in ((1,), (3,)), (  # noqa: PT018
            f"{name}: expected None, True or an array whose first axis is 1 or 3"
        )
    return value
