"""Every option of ImageRecordIter, declared once.

The declaration gives the constructor's keywords, their conversion from MXNet's texts, their checks,
their documentation and the printed table. Names and defaults are MXNet 1.9.1's; options of our own
say so.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs

from gpuio.errors import OptionError
from gpuio.options import convert
from gpuio.options.declare import option
from gpuio.options.extras import ExtraOptions
from gpuio.options.files import label_width
from gpuio.options.record import RecordOptions

__all__ = ["ImageRecordOptions"]

_OFF_AT_ZERO = "0 switches it off."
_number = convert.number()
_fraction = convert.number(0.0)


def _dtype(value: Any) -> str:
    """Return the dtype's name from a name, a NumPy dtype or type; None means float32."""
    if value is None or value == "None":
        return "float32"
    name = value if isinstance(value, str) else getattr(value, "__name__", None) or str(value)
    name = getattr(value, "name", name)
    return convert.choice("float32", "float16", "bfloat16", "uint8", "int8")(name)


def _inherited_last(_: type, fields: list[Any]) -> list[Any]:
    """Let MXNet's options stand before those that are ours alone."""
    return sorted(fields, key=lambda field: field.inherited)


@attrs.frozen(kw_only=True, field_transformer=_inherited_last)
class ImageRecordOptions(ExtraOptions, RecordOptions):
    """The options of `ImageRecordIter`; each field's metadata holds its documentation."""

    order_seed: ClassVar[int] = 111  # MXNet's constant, added to `seed` for the order
    ratio: ClassVar[bool] = False  # the normalisation multiplies

    # what is read
    path_imgrec: str | tuple[str, ...] = option(
        "",
        convert.each_path,
        "The .rec file, or several: a list, 'a.rec;b.rec', a directory, or a regular expression as "
        "the last part of the path.",
        differs="Several files may also come as a list; a directory is read in sorted order.",
    )
    path_imgidx: str | tuple[str, ...] = option(
        "",
        convert.each_path,
        "The .idx file of each .rec. With it `shuffle` is a full permutation and parts hold equal "
        "numbers of records.",
        differs="MXNet crashes on a missing or foreign index; here it is an error, unless reindex.",
    )
    path_imglist: str = option(
        "",
        convert.text,
        "A .lst file whose labels replace those in the records; looked up by the record's id.",
    )
    aug_seq: str = option(
        "aug_default",
        convert.choice("aug_default", ""),
        "Augmenters to apply, in order: 'aug_default', or '' for none, when every stored image "
        "already has the size of data_shape.",
        differs="With '' an image of another size is a RecordError; MXNet reads stray memory.",
    )
    label_width: int | str = option(
        1,
        label_width,
        "Number of float labels a record has; or 'auto', the number that records looked at when "
        "the files are opened agree on; or 'ragged', any: rows are filled up with -1 to the "
        "largest number, and the batch's label_count holds each row's.",
        differs="'auto' and 'ragged' are ours.",
    )
    data_shape: tuple[int, int, int] = option(
        None,
        convert.optional(convert.shape),
        "Shape of one image in the batch: channels (1 gray, 3 RGB, 4 RGBA), height, width. "
        "Required.",
        unit="pixels",
    )
    batch_size: int = option(
        None,
        convert.optional(convert.positive),
        "Images a batch. Required.",
        differs="MXNet takes 0; here it is an OptionError.",
    )
    num_parts: int = option(
        1, convert.positive, "Number of parts (shards) the records are divided into."
    )
    part_index: int = option(
        0, convert.integer(0), "The part this iterator reads, 0 <= part_index < num_parts."
    )

    # order
    shuffle: bool = option(
        False,
        convert.switch,
        "Shuffle the records of each epoch: all of them with path_imgidx, within chunks of 8 MiB "
        "without.",
    )
    seed: int = option(
        0,
        convert.integer(),
        "Seed of the order; without seed_aug also of the augmentation.",
        differs="MXNet's augmentation ignores it and is not repeatable with more than one thread.",
    )
    shuffle_chunk_size: int = option(
        0,
        convert.integer(0),
        "Shuffle chunks of about this size instead of records, without path_imgidx only. "
        + _OFF_AT_ZERO,
        unit="MiB",
    )
    shuffle_chunk_seed: int = option(0, convert.integer(), "Seed of the order of the chunks.")
    round_batch: bool = option(
        True,
        convert.switch,
        "Complete the last batch of an epoch with records of the next one (`last_batch='borrow'`); "
        "False pads it with zeros (`last_batch='pad'`).",
        differs="With False MXNet leaves stale memory in the padded rows and reports pad 0; here "
        "they are zeros and pad is their number.",
    )
    last_batch: str | None = option(
        None,
        convert.optional(convert.choice("borrow", "pad", "partial", "discard")),
        "What an epoch's short last batch becomes: 'borrow' completes it with records of the next "
        "epoch, which then starts after them; 'pad' with zeros; 'partial' leaves it shorter; "
        "'discard' drops it. None follows round_batch.",
        ours=True,
    )

    # the machine
    preprocess_threads: int = option(
        4,
        convert.positive,
        "Threads that decode and augment.",
        differs="They change nothing but the speed: results are the same for any number.",
    )
    prefetch_buffer: int = option(
        4,
        convert.integer(1),
        "Batches made ahead of the one asked for.",
        differs="MXNet makes up to 16 ahead whatever this says, and overwrites batches you hold; "
        "here a batch lives as long as you hold it.",
    )
    ctx: str = option(
        "auto",
        convert.choice("auto", "cpu", "gpu", "cpu_pinned"),
        "Where batches are made and live: 'gpu', 'cpu', or 'auto', the GPU if there is a usable "
        "one. 'cpu_pinned' is the CPU.",
        differs="In MXNet it only sets the number of threads; batches never reach a GPU.",
    )
    device_id: int = option(
        0,
        convert.integer(-1),
        "The GPU's number; without effect on the CPU.",
    )
    dtype: str = option(
        "float32",
        _dtype,
        "Type of the data: float32, float16, bfloat16 (on the host the dtype of the package "
        "ml_dtypes), uint8 (raw pixels: mean, std and scale have no "
        "effect) or int8 (the rounded mean is subtracted; std and scale have no effect).",
        differs="float16 and bfloat16 are ours.",
    )
    data_name: str = option("data", convert.text, "Name of the data in provide_data.")
    label_name: str = option("softmax_label", convert.text, "Name of the labels in provide_label.")
    verbose: bool = option(
        True,
        convert.switch,
        "Log what was opened, at level INFO of the logger 'gpuio'.",
        differs="MXNet prints to stderr.",
    )
    max_pixels: int = option(
        64_000_000,
        convert.positive,
        "Refuse an image whose header claims more pixels, before anything is allocated.",
        unit="pixels",
        ours=True,
    )

    on_error: str = option(
        "raise",
        convert.choice("raise", "skip", "zero", "replace"),
        "What becomes of a record that cannot be used: 'raise' an error; 'skip' moves the good "
        "rows up and counts the freed ones at the end, zeros, in pad; 'zero' leaves its image "
        "zeros; 'replace' puts another record of the same part there. Batches keep their shape "
        "and number.",
        ours=True,
    )
    max_bad: int = option(
        1000,
        convert.integer(0),
        "Distinct bad records after which the run stops whatever on_error says.",
        ours=True,
    )
    error_log: str = option(
        "", convert.text, "A file that gets a line of JSON for every bad record.", ours=True
    )

    # geometry
    resize: int = option(
        -1,
        convert.integer(-1),
        "Scale the shorter edge to this size first. -1 is off.",
        unit="pixels",
    )
    rand_crop: bool = option(False, convert.switch, "Crop at a random place, not the centre.")
    random_resized_crop: bool = option(
        False,
        convert.switch,
        "Crop a random area of a random aspect ratio (max/min_random_area, max/min_aspect_ratio) "
        "and resize it to data_shape.",
    )
    max_rotate_angle: int = option(
        0,
        convert.integer(0),
        "Rotate by a random whole angle in [-v, v]. " + _OFF_AT_ZERO,
        unit="degrees",
    )
    rotate: int = option(
        -1, convert.integer(), "Rotate by this angle if it is above 0.", unit="degrees"
    )
    rotate_list: tuple[int, ...] = option(
        (),
        convert.integer_list,
        "Rotate by one of these angles, drawn uniformly; overrides the two above.",
        unit="degrees",
        differs="A Python list is taken as it is written; MXNet reads its first element as 0.",
    )
    max_aspect_ratio: float = option(
        0.0,
        _fraction,
        "Largest aspect ratio of the affine step or the random resized crop; without "
        "min_aspect_ratio the range is [1-v, 1+v].",
    )
    min_aspect_ratio: float | None = option(
        None, convert.optional(_fraction), "Smallest aspect ratio."
    )
    max_shear_ratio: float = option(0.0, _fraction, "Shear by a random ratio in [-v, v].")
    max_random_scale: float = option(1.0, _fraction, "Largest random scale of the affine step.")
    min_random_scale: float = option(1.0, _fraction, "Smallest random scale of the affine step.")
    max_img_size: float = option(
        1e10, _fraction, "Largest side after the affine step.", unit="pixels"
    )
    min_img_size: float = option(
        0.0, _fraction, "Smallest side after the affine step.", unit="pixels"
    )
    max_crop_size: int = option(
        -1, convert.integer(-1), "Largest side of a random square crop. -1 is off.", unit="pixels"
    )
    min_crop_size: int = option(
        -1, convert.integer(-1), "Smallest side of a random square crop. -1 is off.", unit="pixels"
    )
    max_random_area: float = option(
        1.0, _fraction, "Largest fraction of the area that random_resized_crop takes."
    )
    min_random_area: float = option(
        1.0, _fraction, "Smallest fraction of the area that random_resized_crop takes."
    )
    pad: int = option(
        0,
        convert.integer(0),
        "Border on all four sides before the crop.",
        unit="pixels",
    )
    fill_value: int = option(
        255, convert.integer(0, 255), "Value of border pixels of the pad and affine steps."
    )
    inter_method: int = option(
        1,
        convert.integer(0, 10),
        "Interpolation: 0 nearest, 1 bilinear, 2 bicubic, 3 area, 4 Lanczos, 9 by size (bicubic "
        "up, area down, else bilinear), 10 one of 0 to 4, drawn each time.",
    )
    mirror: bool = option(False, convert.switch, "Flip every image left to right.")
    rand_mirror: bool = option(False, convert.switch, "Flip every other image, drawn at random.")

    # colour
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

    # normalisation: (pixel - mean) * scale / std
    mean_img: str = option(
        "",
        convert.text,
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
    max_random_contrast: float = option(
        0.0, _fraction, "Multiply the normalised image by a random factor in [1-v, 1+v]."
    )
    max_random_illumination: float = option(
        0.0, _fraction, "Add a random number in [-v, v] after the mean is subtracted."
    )

    def __attrs_post_init__(self) -> None:
        self.check()
        for name in ("std_r", "std_g", "std_b", "std_a"):
            if getattr(self, name) == 0:
                raise OptionError(f"{name}: expected a number other than 0: it is a divisor")
