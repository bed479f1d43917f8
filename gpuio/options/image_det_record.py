"""Every option of ImageDetRecordIter, put together from mixins.

What it shares with ImageRecordIter is declared once for both; what is detection's alone, here.
Names and defaults are MXNet 1.9.1's; options of our own say so.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError
from gpuio.options import convert
from gpuio.options.declare import arranged, option
from gpuio.options.geometry import ResampleOptions
from gpuio.options.machine import DecoderOptions
from gpuio.options.record import RecordOptions

__all__ = ["SAMPLER_RANGES", "ImageDetRecordOptions"]

SAMPLER_RANGES = ("scales", "aspect_ratios", "overlaps", "sample_coverages", "object_coverages")

_share = convert.within(0.0, 1.0)
_several = convert.numbers_of(convert.number(0.0))
_EACH = " One value, or one for each sampler."
_OFF = "0 switches it off."


@attrs.frozen(kw_only=True, slots=False)
class BoxLabelOptions:
    """Which augmenter, and which labels, for detection."""

    aug_seq: str = option(
        "det_aug_default",
        convert.choice("det_aug_default", ""),
        "Augmenters to apply, in order: 'det_aug_default', or '' for none, when no stored image is "
        "larger than data_shape; labels are then handed out as they are stored.",
        differs="With '' a larger image is a RecordError; MXNet writes over other memory.",
    )
    label_width: int = option(
        -1,
        convert.integer(),
        "Numbers a label has. With 0 or less each record has its own width.",
    )
    label_pad_width: int = option(
        0,
        convert.integer(),
        "Labels are padded to this many numbers. 0 or less takes the widest label of the part, or "
        "of path_imglist. `sync_label_shape` makes two iterators agree.",
        differs="Damaged records are ignored when the widest label is computed.",
    )
    label_pad_value: float = option(-1.0, convert.number(), "What labels are padded with.")
    label_format: str = option(
        "mxnet",
        convert.choice("mxnet", "boxes"),
        "'mxnet': label[0] is float32 (batch_size, 4 + label_pad_width), rows of channels, height, "
        "width, n, the label's n numbers, padding. 'boxes': label[0] is float32 (batch_size, "
        "objects, object width), rows of id, left, top, right, bottom and what else an object has, "
        "padded; label[1] is int32 (batch_size,), the number of objects.",
        ours=True,
    )
    bad_boxes: str = option(
        "accept",
        convert.choice("accept", "drop", "raise"),
        "What becomes of wrong boxes: a number that is NaN or infinite, right not above left or "
        "bottom not above top, coordinates in pixels (above 2), more than 0.01 outside of the "
        "image, an id that is negative or not a whole number. 'accept' does what MXNet does: boxes "
        "without an area are dropped, others handed out as they are stored. 'drop' leaves them "
        "out. Both count them in stats()['bad_boxes'], name their records and log one warning. "
        "'raise' makes it a bad record, dealt with as on_error says.",
        ours=True,
    )


@attrs.frozen(kw_only=True, slots=False)
class StreamOptions:
    """Where the random numbers of detection come from."""

    aug_stream: str = option(
        "record",
        convert.choice("record", "mxnet"),
        "Where the augmentation's random numbers come from: 'record', a generator of our own keyed "
        "by seed, epoch and record; 'mxnet', the one generator that runs on from record to record "
        "for ever, as MXNet has it with preprocess_threads=1. There a record's numbers depend on "
        "all records before it, so that jumping to another place (a restored state, a reset in the "
        "middle of an epoch) reads the headers and labels of all that is in between; works without "
        "path_imgidx and reindex only.",
        ours=True,
    )


@attrs.frozen(kw_only=True, slots=False)
class BoxAugmentOptions:
    """The augmentation of detection, in its order."""

    random_hue_prob: float = option(
        0.0, _share, "Probability of a shift of the hue by up to max_random_hue. " + _OFF
    )
    max_random_hue: int = option(
        0, convert.integer(0), "Largest shift of the hue.", unit="of 0..180"
    )
    random_saturation_prob: float = option(
        0.0, _share, "Probability of a shift of the saturation. " + _OFF
    )
    max_random_saturation: int = option(
        0, convert.integer(0), "Largest shift of the saturation.", unit="of 0..255"
    )
    random_illumination_prob: float = option(
        0.0, _share, "Probability of a shift of the lightness. " + _OFF
    )
    max_random_illumination: int = option(
        0, convert.integer(0), "Largest shift of the lightness.", unit="of 0..255"
    )
    random_contrast_prob: float = option(
        0.0, _share, "Probability of a multiplication by a factor in [1-v, 1+v]. " + _OFF
    )
    max_random_contrast: float = option(
        0.0, convert.number(0.0), "Largest change of the contrast, v."
    )
    rand_mirror_prob: float = option(0.0, _share, "Probability of a flip left to right.")
    rand_pad_prob: float = option(
        0.0, _share, "Probability that an image is laid somewhere on a larger canvas. " + _OFF
    )
    max_pad_scale: float = option(
        1.0,
        convert.number(1.0),
        "Largest side of the canvas, in sides of the image; below 1.05 nothing is done.",
    )
    rand_crop_prob: float = option(
        0.0,
        _share,
        "Probability that the crop samplers are tried, in random order, until one fits. " + _OFF,
    )
    num_crop_sampler: int = option(1, convert.integer(0), "Number of crop samplers.")
    max_crop_trials: tuple[int, ...] = option(
        (25,), convert.numbers_of(convert.integer(0)), "Rectangles drawn by a sampler." + _EACH
    )
    min_crop_scales: tuple[float, ...] = option(
        (0.0,), _several, "Smallest scale of a crop, in sides of the image." + _EACH
    )
    max_crop_scales: tuple[float, ...] = option(
        (1.0,), _several, "Largest scale of a crop, at most 1." + _EACH
    )
    min_crop_aspect_ratios: tuple[float, ...] = option(
        (1.0,), _several, "Smallest aspect ratio of a crop, width over height." + _EACH
    )
    max_crop_aspect_ratios: tuple[float, ...] = option(
        (1.0,), _several, "Largest aspect ratio of a crop." + _EACH
    )
    min_crop_overlaps: tuple[float, ...] = option(
        (0.0,),
        _several,
        "Smallest intersection over union of the crop and one box at least." + _EACH,
    )
    max_crop_overlaps: tuple[float, ...] = option(
        (1.0,), _several, "Largest intersection over union with that box." + _EACH
    )
    min_crop_sample_coverages: tuple[float, ...] = option(
        (0.0,), _several, "Smallest part of the crop that that box covers." + _EACH
    )
    max_crop_sample_coverages: tuple[float, ...] = option(
        (1.0,), _several, "Largest part of the crop that that box covers." + _EACH
    )
    min_crop_object_coverages: tuple[float, ...] = option(
        (0.0,), _several, "Smallest part of that box that the crop covers." + _EACH
    )
    max_crop_object_coverages: tuple[float, ...] = option(
        (1.0,), _several, "Largest part of that box that the crop covers." + _EACH
    )
    crop_emit_mode: str = option(
        "center",
        convert.choice("center", "overlap"),
        "Which boxes stay with a crop: those whose centre it holds, or those of which more than "
        "emit_overlap_thresh lies in it.",
    )
    emit_overlap_thresh: float = option(
        0.3, convert.number(), "Part of a box that must lie in a crop, for 'overlap'."
    )
    resize_mode: str = option(
        "force",
        convert.choice("force", "shrink", "fit"),
        "How an image becomes data_shape's size at last: 'force' resizes it whatever its aspect; "
        "'shrink' makes it smaller, if it must be, and 'fit' smaller or larger, keeping its "
        "aspect: it lies in the upper left then, all else is 0 before the normalisation.",
    )


_CHANGES: dict[str, dict[str, Any]] = {
    "path_imgrec": {"default": "./data/imgrec.rec"},
    "path_imgidx": {"differs": "MXNet's detection iterator knows no index.", "ours": True},
    "path_imglist": {
        "meaning": "A .lst file whose labels replace those in the records; looked up by the "
        "record's id. With label_width <= 0 a label is all columns between the id and the last "
        "one."
    },
    "seed": {
        "meaning": "Seed of the order; with aug_stream='record' also of the augmentation.",
        "differs": "MXNet's augmentation ignores it.",
    },
    "round_batch": {
        "differs": "With False MXNet leaves the padded rows as the batch before had them; here "
        "they have no image and no object."
    },
    "device_id": {"ours": True},
    "dtype": {"differs": "MXNet's detection iterator has float32 alone."},
    "fill_value": {"default": 127, "meaning": "Value of the canvas's pixels."},
    "antialias": {
        "meaning": "Resize as Pillow's bilinear, whose filter widens as the image shrinks, "
        "wherever inter_method means bilinear (1, or 9 and 10 where they choose it)."
    },
    "mean_r": {
        "meaning": "Mean of red (or gray). The four are subtracted if one of them is above 0, and "
        "then instead of mean_img."
    },
    "mean_g": {"meaning": "Mean of green."},
    "mean_b": {"meaning": "Mean of blue."},
    "mean_a": {"meaning": "Mean of alpha."},
    "std_r": {"default": 0.0, "meaning": "Divisor of red (or gray). 0 or less is off."},
    "std_g": {"default": 0.0, "meaning": "Divisor of green. 0 or less is off."},
    "std_b": {"default": 0.0, "meaning": "Divisor of blue. 0 or less is off."},
    "std_a": {"default": 0.0, "meaning": "Divisor of alpha. 0 or less is off."},
    "scale": {"meaning": "Multiplier, at last."},
}


@attrs.frozen(
    kw_only=True,
    slots=False,
    field_transformer=arranged(
        ("path_imglist", BoxLabelOptions),
        ("last_batch", StreamOptions),
        ("dtype", "layout"),
        ("max_pixels", "exif", "truncated", "max_scans", "resync", "checksum", "reindex"),
        ("reindex", DecoderOptions),
        ("resize", BoxAugmentOptions),
        ("max_pad_scale", "fill_value"),
        ("resize_mode", "inter_method", ResampleOptions),
        **_CHANGES,
    ),
)
class ImageDetRecordOptions(RecordOptions, BoxLabelOptions, StreamOptions, BoxAugmentOptions):
    """The options of `ImageDetRecordIter`; each field's metadata holds its documentation."""

    order_seed: ClassVar[int] = 233
    ratio: ClassVar[bool] = True

    def __attrs_post_init__(self) -> None:
        self.check()
        if self.aug_stream == "mxnet" and (self.path_imgidx or self.reindex):
            raise OptionError("aug_stream: 'mxnet' works without path_imgidx and reindex only")
        if self.aug_stream == "mxnet" and self.shuffle in ("full", "block"):
            raise OptionError(
                f"aug_stream: 'mxnet' goes with MXNet's order, shuffle=True or False, not "
                f"{self.shuffle!r}"
            )
        if self.resize == 0:
            raise OptionError("resize: expected -1 (off) or at least 1 pixel, got 0")
        self.check_resampling()
        for name in ("hue", "saturation", "illumination"):
            shifted = getattr(self, f"max_random_{name}") and getattr(self, f"random_{name}_prob")
            if shifted and self.data_shape[0] != 3:
                raise OptionError(
                    f"max_random_{name}: works on three channels only; data_shape asks for "
                    f"{self.data_shape[0]}"
                )
        self._check_samplers()

    def _check_samplers(self) -> None:
        """Check what the crop samplers draw from."""
        names = [f"{end}_crop_{name}" for name in SAMPLER_RANGES for end in ("min", "max")]
        for name in ("max_crop_trials", *names):
            if len(getattr(self, name)) not in (1, self.num_crop_sampler):
                raise OptionError(
                    f"{name}: expected 1 value, or one for each of num_crop_sampler="
                    f"{self.num_crop_sampler}, got {len(getattr(self, name))}"
                )
        for name in SAMPLER_RANGES:
            low, high = (self.each(f"{end}_crop_{name}") for end in ("min", "max"))
            for least, most in zip(low, high, strict=True):
                if least > most or (name == "scales" and (least == most or most > 1)):
                    rule = "0 <= min < max <= 1" if name == "scales" else "min <= max"
                    raise OptionError(
                        f"min_crop_{name}, max_crop_{name}: expected {rule}, got {least:g} and "
                        f"{most:g}"
                    )

    def applied(
        self, mean: npt.NDArray[np.float32], std: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return means, 0 unless one of the four is above 0, and divisors, 1 but where above 0."""
        mean = mean if (mean > 0).any() else np.zeros_like(mean)
        return mean, np.where(std > 0, std, np.ones_like(std))

    def each(self, name: str) -> tuple[Any, ...]:
        """Return an option of the crop samplers, a value for each."""
        values: tuple[Any, ...] = getattr(self, name)
        return values * self.num_crop_sampler if len(values) == 1 else values
