"""Options that MXNet never had, each of them off by default.

Invariant: switching one on changes nothing that another option draws: what is random here comes
from random streams of its own, and the defaults give MXNet's batches to the bit.
"""

from __future__ import annotations

import attrs

from gpuio.sampling import convert
from gpuio.sampling.declare import option

__all__ = ["GPU_ONLY", "ExtraOptions"]

GPU_ONLY = ("decoder", "decoders", "hw_decoder_load")  # settings of the GPU backend
_ON_A_CPU = " Without effect where ctx='auto' takes the CPU; an OptionError with ctx='cpu'."


@attrs.frozen(kw_only=True)
class ExtraOptions:
    """The part of `ImageRecordIter`'s options that is ours alone."""

    # the batch's form
    layout: str = option(
        "NCHW",
        convert.choice("NCHW", "NHWC"),
        "Order of a batch's axes: 'NCHW' (rows, channels, height, width) or 'NHWC', channels last.",
        ours=True,
    )
    exif: str = option(
        "apply",
        convert.choice("apply", "ignore"),
        "Whether a JPEG's EXIF orientation turns the image upright; images of four channels are "
        "never turned, as in MXNet.",
        ours=True,
    )

    # the GPU's decoder
    decoder: str = option(
        "auto",
        convert.choice("auto", "dali", "nvimgcodec"),
        "The library that decodes on a GPU; 'auto' takes the best that is installed." + _ON_A_CPU,
        ours=True,
    )
    decoders: int = option(
        2, convert.positive, "Decode engines opened on a GPU at most." + _ON_A_CPU, ours=True
    )
    hw_decoder_load: float = option(
        0.65,
        convert.within(0.0, 1.0),
        "Share of a batch that the JPEG hardware of a GPU takes; its other cores decode the rest."
        + _ON_A_CPU,
        ours=True,
    )

    # geometry
    antialias: bool = option(
        False,
        convert.switch,
        "Resize as Pillow's and torchvision's bilinear, whose filter widens as the image shrinks, "
        "wherever inter_method means bilinear (1, or 9 and 10 where they choose it): resize, the "
        "resized crops and the enlargement of small images; not in the affine step.",
        ours=True,
    )
    aspect_distribution: str = option(
        "uniform",
        convert.choice("uniform", "loguniform"),
        "How random_resized_crop draws the aspect ratio (width over height): 'uniform' as MXNet, "
        "which also swaps the sides of every other crop; 'loguniform' as torchvision's "
        "RandomResizedCrop: uniform in the logarithm, never swapped, and where ten tries do not "
        "fit, the largest centred crop whose ratio is in the range.",
        ours=True,
    )
