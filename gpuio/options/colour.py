"""Options about the colours of an image."""

from __future__ import annotations

import attrs

from gpuio.options import convert
from gpuio.options.declare import option

__all__ = ["ColourOptions"]

_fraction = convert.number(0.0)


@attrs.frozen(kw_only=True, slots=False)
class ColourOptions:
    """The colours of classification; and the seed of all that is drawn."""

    brightness: float = option(0.0, _fraction, "Multiply by a random factor in [1-v, 1+v].")
    contrast: float = option(0.0, _fraction, "Blend with the mean gray by a factor in [1-v, 1+v].")
    saturation: float = option(
        0.0,
        _fraction,
        "Blend with the gray image by a factor in [1-v, 1+v].",
    )
    pca_noise: float = option(
        0.0, _fraction, "Standard deviation of the noise along the principal components of colour."
    )
    random_h: int = option(0, convert.integer(0), "Largest shift of the hue.", unit="of 0..180")
    random_s: int = option(
        0,
        convert.integer(0),
        "Largest shift of the saturation.",
        unit="of 0..255",
    )
    random_l: int = option(
        0,
        convert.integer(0),
        "Largest shift of the lightness.",
        unit="of 0..255",
    )
    seed_aug: int | None = option(
        None,
        convert.optional(convert.integer()),
        "Draw the augmentation from MXNet's own stream, seeded by the place in the batch (with an "
        "index) or in the chunk, as MXNet does: every batch repeats the same draws. None draws "
        "from a generator of our own keyed by seed, epoch and record.",
        differs="Without it MXNet is not repeatable.",
    )
