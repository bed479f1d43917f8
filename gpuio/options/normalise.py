"""Options of the normalisation: (pixel - mean) * scale / std."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from gpuio.options import convert
from gpuio.options.declare import option

__all__ = ["NoiseOptions", "NormaliseOptions", "beside_bytes"]

_number = convert.number()
_fraction = convert.number(0.0)
_SMALL = 0.1  # a scale such as 1/255 makes 0 to 1 of pixels


def beside_bytes(mean: Sequence[float], std: Sequence[float], scale: float = 1.0) -> str:
    """Say that means or divisors are of pixels of 0 to 1, where pixels are 0 to 255.

    Parameters
    ----------
    mean, std : sequence of float   per channel; () where there are none
    scale : float                   multiplier, after the mean is subtracted

    Returns
    -------
    str         "" where there is no such doubt

    Notes
    -----
    MXNet computes (pixel - mean) * scale / std: `scale` does not change what a mean is of, but a
    small one goes with a small divisor.
    """
    wrong = []
    if 0 < max((abs(value) for value in mean), default=0) <= 1:
        wrong.append(f"mean={_listed(mean)}")
    if 0 < min((abs(value) for value in std), default=1) < 1 and scale > _SMALL:
        wrong.append(f"std={_listed(std)}")
    if not wrong:
        return ""
    return (
        f"{', '.join(wrong)}: pixels are 0 to 255 here, and so are means and divisors: multiply "
        "them by 255 (0.485 becomes 123.675) if they are of pixels of 0 to 1"
    )


def _listed(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


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
