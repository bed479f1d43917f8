"""Every option of ImageRecordIter, put together from the mixins that declare them.

The declaration gives the constructor's keywords, their conversion from MXNet's texts, their checks,
their documentation and the printed table. Names and defaults are MXNet 1.9.1's; options of our own
say so, and those that are ours alone stand last.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from gpuio.errors import OptionError
from gpuio.options.colour import ColourOptions
from gpuio.options.convert import mxnet_float32
from gpuio.options.declare import arranged
from gpuio.options.extras import ExtraOptions
from gpuio.options.files import LabelOptions, LayoutOptions
from gpuio.options.geometry import CropOptions
from gpuio.options.normalise import NoiseOptions
from gpuio.options.record import RecordOptions

__all__ = ["ImageRecordOptions"]


@attrs.frozen(
    kw_only=True,
    slots=False,
    field_transformer=arranged(
        ("path_imglist", LabelOptions),
        ("resize", CropOptions),
        ("pad", "fill_value", "inter_method"),
        ("rand_mirror", ColourOptions),
        ("scale", NoiseOptions, LayoutOptions),
    ),
)
class ImageRecordOptions(
    RecordOptions,
    LabelOptions,
    CropOptions,
    ColourOptions,
    NoiseOptions,
    LayoutOptions,
    ExtraOptions,
):
    """The options of `ImageRecordIter`; each field's metadata holds its documentation."""

    order_seed: ClassVar[int] = 111
    ratio: ClassVar[bool] = False

    def __attrs_post_init__(self) -> None:
        self.check()
        for name in ("std_r", "std_g", "std_b", "std_a"):
            if mxnet_float32(getattr(self, name)) == 0:
                raise OptionError(f"{name}: expected a number other than 0: it is a divisor")
