"""Options that MXNet never had, each of them off by default.

Invariant: switching one on changes nothing that another option draws: what is random here comes
from random streams of its own, and the defaults give MXNet's batches to the bit.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from gpuio.options import convert
from gpuio.options.declare import option

__all__ = ["ExtraOptions"]


def _colour(value: Any) -> str | float | tuple[float, ...]:
    """Return 'mean', 'random', a number in [0, 255], or one for each channel."""
    byte = convert.within(0, 255)
    value = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    if isinstance(value, str) and value not in ("mean", "random"):
        items: Any = [item for item in value.strip("()[] ").split(",") if item.strip()]
        if not items:
            raise ValueError(f"expected 'mean', 'random' or numbers, got {value!r}")
        value = items if value.strip()[0] in "([" or len(items) > 1 else items[0]
    if value in ("mean", "random"):
        return str(value)
    if isinstance(value, (list, tuple)):
        return tuple(byte(item) for item in value)
    return byte(value)


@attrs.frozen(kw_only=True, slots=False)
class ExtraOptions:
    """Options of `ImageRecordIter` that are ours alone and change images or labels."""

    # geometry
    aspect_distribution: str = option(
        "uniform",
        convert.choice("uniform", "loguniform"),
        "How random_resized_crop draws the aspect ratio (width over height): 'uniform' as MXNet, "
        "which also swaps the sides of every other crop; 'loguniform' as torchvision's "
        "RandomResizedCrop: uniform in the logarithm, never swapped, and where ten tries do not "
        "fit, the largest centred crop whose ratio is in the range.",
        ours=True,
    )

    # policies of random operations
    auto_augment: str | None = option(
        None,
        convert.optional(convert.choice("randaugment", "trivialaugment")),
        "Random operations on the finished window, before mirror: 'randaugment' takes "
        "auto_augment_num_ops of one magnitude, 'trivialaugment' one of a random magnitude, both "
        "with torchvision's ranges, from its fourteen: identity, shear_x, shear_y, translate_x, "
        "translate_y, rotate, brightness, saturation, contrast, sharpness, posterize, solarize, "
        "autocontrast, equalize. An image's moves are joined into one bilinear warp, made "
        "first, with fill_value outside; the others follow in the order drawn.",
        ours=True,
    )
    auto_augment_num_ops: int | None = option(
        None,
        convert.optional(convert.integer(1, 4)),
        "Operations an image with 'randaugment', 1 to 4. None means 2.",
        ours=True,
    )
    auto_augment_magnitude: int | None = option(
        None,
        convert.optional(convert.integer(0, 30)),
        "Magnitude of the operations with 'randaugment', 0 to 30. None means 9.",
        ours=True,
    )

    # random erasing
    erase_prob: float = option(
        0.0,
        convert.within(0.0, 1.0),
        "Probability that a random rectangle of an image is erased (cutout): after mirror, before "
        "the normalisation. 0 switches it off.",
        ours=True,
    )
    erase_area: tuple[float, float] = option(
        (0.02, 0.33),
        convert.pair(0.0, 1.0),
        "Smallest and largest part of the image that is erased.",
        ours=True,
    )
    erase_ratio: tuple[float, float] = option(
        (0.3, 3.3),
        convert.pair(0.0, 1e6),
        "Smallest and largest ratio of the erased rectangle, height over width, drawn uniformly in "
        "its logarithm. Where ten tries do not fit, nothing is erased.",
        ours=True,
    )
    erase_value: Any = option(
        0.0,
        _colour,
        "What an erased pixel becomes, before the normalisation: a number, one for each channel "
        "(R, G, B, A), 'mean' (mean_r to mean_a) or 'random' (one colour per image).",
        unit="of 0..255",
        ours=True,
    )

    # labels, and mixtures of images
    num_classes: int | None = option(
        None,
        convert.optional(convert.positive),
        "Labels become rows of this many weights, float32 (batch_size, num_classes): 1 at the "
        "record's class, a whole number from 0. Rows without an image become zeros.",
        ours=True,
    )
    mixup_alpha: float = option(
        0.0,
        convert.number(0.0),
        "Mix each image and its label with another's of the batch, by a share that is drawn for "
        "the batch from Beta(v, v). Needs num_classes and a dtype of floats. 0 switches it off.",
        ours=True,
    )
    cutmix_alpha: float = option(
        0.0,
        convert.number(0.0),
        "Put a rectangle of another image of the batch into each, and weigh the labels by the "
        "areas; the rectangle is drawn for the batch, its area by Beta(v, v). With mixup_alpha as "
        "well, each batch takes one of the two, drawn. Needs what mixup_alpha needs.",
        ours=True,
    )
