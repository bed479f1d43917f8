"""Options of the normalisation: (pixel - mean) * scale / std."""

from __future__ import annotations

import attrs

from gpuio.options import convert
from gpuio.options.declare import option

__all__ = ["NoiseOptions", "NormaliseOptions"]

_number = convert.number()
_fraction = convert.number(0.0)


@attrs.frozen(kw_only=True, slots=False)
class NormaliseOptions:
    """Options of all record iterators about the normalisation."""

    mean_img: str = option(
        "",
        convert.path,
        "A mean image file in MXNet's format, subtracted instead of mean_r to mean_a; computed "
        "over the part and written if it does not exist.",
    )
    mean_r: float = option(0.0, _number, "Mean of red (or gray), subtracted.")
    mean_g: float = option(0.0, _number, "Mean of green, subtracted.")
    mean_b: float = option(0.0, _number, "Mean of blue, subtracted.")
    mean_a: float = option(0.0, _number, "Mean of alpha, subtracted.")
    std_r: float = option(1.0, _number, "Divisor of red (or gray).")
    std_g: float = option(1.0, _number, "Divisor of green.")
    std_b: float = option(1.0, _number, "Divisor of blue.")
    std_a: float = option(1.0, _number, "Divisor of alpha.")
    scale: float = option(1.0, _number, "Multiplier, after the mean is subtracted.")


@attrs.frozen(kw_only=True, slots=False)
class NoiseOptions:
    """Random changes of the normalised image, for classification."""

    max_random_contrast: float = option(
        0.0, _fraction, "Multiply the normalised image by a random factor in [1-v, 1+v]."
    )
    max_random_illumination: float = option(
        0.0, _fraction, "Add a random number in [-v, v] after the mean is subtracted."
    )
