"""CreateDetAugmenter and CreateMultiRandCropAugmenter: detection augmenters from options."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuio.image.augment import CastAug, ForceResizeAug, ResizeAug
from gpuio.image.detaugment import (
    DetAugmenter,
    DetBorrowAug,
    DetHorizontalFlipAug,
    DetRandomSelectAug,
)
from gpuio.image.detcrop import DetRandomCropAug, DetRandomPadAug
from gpuio.image.draws import Rng, as_draws
from gpuio.image.recipes import MEAN, STD, color_augmenters, statistics

__all__ = ["CreateDetAugmenter", "CreateMultiRandCropAugmenter"]


def CreateMultiRandCropAugmenter(  # noqa: N802 -- MXNet's name
    min_object_covered: Any = 0.1,
    aspect_ratio_range: Any = (0.75, 1.33),
    area_range: Any = (0.05, 1.0),
    min_eject_coverage: Any = 0.3,
    max_attempts: Any = 50,
    skip_prob: float = 0,
    *,
    rng: Rng = None,
) -> DetRandomSelectAug:
    """Make a choice among several random crops.

    Parameters
    ----------
    min_object_covered, aspect_ratio_range, area_range, min_eject_coverage, max_attempts
        Those of `DetRandomCropAug`, or lists of them, one per crop; a list of one serves all.
    skip_prob : float, default 0        probability of no crop
    rng : optional                      one generator for all, see `gpuio.image.draws`

    Raises
    ------
    AssertionError                      lists of different lengths
    """
    draws = None if rng is None else as_draws(rng)
    given = (min_object_covered, aspect_ratio_range, area_range, min_eject_coverage, max_attempts)
    columns = [list(value) if isinstance(value, list) else [value] for value in given]
    count = max(len(column) for column in columns)
    for column in columns:
        assert len(column) in (1, count), f"lists of lengths {[len(c) for c in columns]}"
    rows = zip(*(column * count if len(column) == 1 else column for column in columns), strict=True)
    crops = [DetRandomCropAug(*row, rng=draws) for row in rows]
    return DetRandomSelectAug(crops, skip_prob=skip_prob, rng=draws)


def CreateDetAugmenter(  # noqa: N802 -- MXNet's name
    data_shape: tuple[int, int, int],
    resize: int = 0,
    rand_crop: float = 0,
    rand_pad: float = 0,
    rand_gray: float = 0,
    rand_mirror: bool = False,
    mean: Any = None,
    std: Any = None,
    brightness: float = 0,
    contrast: float = 0,
    saturation: float = 0,
    pca_noise: float = 0,
    hue: float = 0,
    inter_method: int = 2,
    min_object_covered: Any = 0.1,
    aspect_ratio_range: Any = (0.75, 1.33),
    area_range: Any = (0.05, 3.0),
    min_eject_coverage: Any = 0.3,
    max_attempts: Any = 50,
    pad_val: Any = (127, 127, 127),
    *,
    rng: Rng = None,
) -> list[DetAugmenter]:
    """Make the list of augmenters that ImageDetIter uses unless given another.

    In order: resize of the shorter edge, crop, flip, pad, resize to (height, width), cast to
    float32, then colours as in `CreateAugmenter`. The last resize and the cast are always there,
    the others only if asked for.

    Parameters
    ----------
    data_shape : (channels, height, width)  of the result
    resize : int, default 0                 shorter edge, pixels; 0 leaves it alone
    rand_crop, rand_pad : float, default 0  probabilities
    rand_gray, brightness, contrast, saturation, pca_noise, hue : float     as in CreateAugmenter
    rand_mirror : bool                      flip left to right with probability 0.5
    mean, std : None, True or numpy array   True is ImageNet's
    inter_method : {0, 1, 2, 3, 4, 9, 10}, default 2 (cubic)
    min_object_covered, aspect_ratio_range, area_range, min_eject_coverage, max_attempts
        As in `CreateMultiRandCropAugmenter`; the pad takes the upper end of `area_range`, and
        `aspect_ratio_range` and `max_attempts` as well, so it needs single values, not lists.
    pad_val : number, or one per channel    colour of the pad
    rng : optional                          one generator for all, see `gpuio.image.draws`
    """
    draws = None if rng is None else as_draws(rng)
    augs: list[DetAugmenter] = []
    if resize > 0:
        augs.append(DetBorrowAug(ResizeAug(resize, inter_method, rng=draws)))
    if rand_crop > 0:
        augs.append(
            CreateMultiRandCropAugmenter(
                min_object_covered,
                aspect_ratio_range,
                area_range,
                min_eject_coverage,
                max_attempts,
                skip_prob=1 - rand_crop,
                rng=draws,
            )
        )
    if rand_mirror:
        augs.append(DetHorizontalFlipAug(0.5, rng=draws))
    if rand_pad > 0:
        pad = DetRandomPadAug(
            aspect_ratio_range, (1.0, area_range[1]), max_attempts, pad_val, rng=draws
        )
        augs.append(DetRandomSelectAug([pad], 1 - rand_pad, rng=draws))
    size = (data_shape[2], data_shape[1])
    augs.append(DetBorrowAug(ForceResizeAug(size, inter_method, rng=draws)))
    augs.append(DetBorrowAug(CastAug()))
    colors = color_augmenters(
        brightness,
        contrast,
        saturation,
        hue,
        pca_noise,
        rand_gray,
        statistics(mean, np.array(MEAN), "mean"),
        statistics(std, np.array(STD), "std"),
        rng=draws,
    )
    return augs + [DetBorrowAug(color) for color in colors]
