"""Options about the machine: threads, device, the batch"s form, limits, what bad records become."""

from __future__ import annotations

from typing import Any

import attrs

from gpuio.options import convert
from gpuio.options.declare import option

__all__ = ["GPU_ONLY", "MAX_PIXELS", "MAX_SCANS", "DecoderOptions", "FormOptions", "MachineOptions"]

MAX_PIXELS = 64_000_000  # defaults: a header that claims more is refused
MAX_SCANS = 100

_ON_A_CPU = " Without effect where ctx='auto' takes the CPU; an OptionError with ctx='cpu'."


def _threads(value: Any) -> int | str | None:
    """Return a number of threads, at least 1; "auto"; or None."""
    if value == "auto":
        return "auto"
    try:
        return convert.optional(convert.positive)(value)  # type: ignore[no-any-return]
    except ValueError as error:
        raise ValueError(f"{error}; or 'auto'") from None


def _dtype(value: Any) -> str:
    """Return the dtype"s name from a name, a NumPy dtype or type; None means float32."""
    if value is None or value == "None":
        return "float32"
    name = value if isinstance(value, str) else getattr(value, "__name__", None) or str(value)
    name = getattr(value, "name", name)
    return convert.choice("float32", "float16", "bfloat16", "uint8", "int8")(name)


@attrs.frozen(kw_only=True, slots=False)
class MachineOptions:
    """Options of all record iterators about the machine."""

    preprocess_threads: int | str | None = option(
        None,
        _threads,
        "Threads that decode and augment. None: on the CPU as many as this process may use cores "
        "(by its affinity and its container's quota), 1 to 8; on the GPU, where it is the number "
        "of batches in work, 4, or with host_share, where it is the threads that decode on the "
        "host, as many as cores, 1 to 32. 'auto' starts with these and changes their number while "
        "they work, on the CPU up to its cores: more where you wait and they are busy, fewer where "
        "they idle.",
        differs="MXNet's default is 4. They change nothing but the speed: results are the same for "
        "any number.",
    )
    prefetch_buffer: int = option(
        4,
        convert.integer(1),
        "Batches made ahead of the one asked for; small ones more: those that are made as one on "
        "the CPU, at most 1 MiB of pixels, count as one.",
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
    stats: bool = option(
        True,
        convert.switch,
        "Measure what each stage takes, for stats() and report(). False: counts, bad records and "
        "three sums of seconds alone.",
        ours=True,
    )
    max_pixels: int = option(
        MAX_PIXELS,
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
        "", convert.path, "A file that gets a line of JSON for every bad record.", ours=True
    )


@attrs.frozen(kw_only=True, slots=False)
class FormOptions:
    """Options of our own, of all record iterators, about images and batches."""

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
    truncated: str = option(
        "raise",
        convert.choice("raise", "accept"),
        "What becomes of a JPEG that ends inside its scan data: 'raise' makes it a bad record, "
        "dealt with as on_error says; 'accept' keeps the part that is there, the rest gray (of a "
        "progressive one coarse), as MXNet does, and counts it in stats()['cut_short'].",
        ours=True,
    )
    max_scans: int = option(
        MAX_SCANS,
        convert.positive,
        "Refuse a JPEG of more scans before it is decoded, and one whose scans, taken together, "
        "visit more than 16 times max_pixels: a few bytes a scan keep a decoder busy for minutes.",
        ours=True,
    )
    decode_scale: str = option(
        "off",
        convert.choice("off", "auto"),
        "'auto' decodes a JPEG at 1/2, 1/4 or 1/8 of its size where resize or the resized crop "
        "shrinks it at least that much. The plan stays the same, the pixels do not: they are "
        "averages of more pixels (docs/beyond_mxnet.md has the differences). It saves time where "
        "photos are so large that they are decoded at 1/8, some ten megapixels for an output of "
        "224 x 224; at 1/2 and 1/4 decoding in full is faster. Nearest resizes, four channels and "
        "other formats are decoded in full. On a GPU the host decodes these images.",
        ours=True,
    )


@attrs.frozen(kw_only=True, slots=False)
class DecoderOptions:
    """Options of our own, of all record iterators, about the GPU's decoder."""

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
    decoder_room: int = option(
        0,
        convert.integer(0, 65535),
        "Side of a square image that a GPU's JPEG engines get room for when they start, so that "
        "they need not ask for more in the first batches; 0 leaves it to them." + _ON_A_CPU,
        unit="pixels",
        ours=True,
    )
    host_share: float | str = option(
        0.0,
        convert.word_or("auto", convert.within(0.0, 1.0)),
        "Share of a batch's decoding, by work, that the host's cores do while a GPU's engine does "
        "the rest. 0: the engine decodes all that it takes; 1: the host decodes all: either gives "
        "pixels of one decoder. Between them images of fewer than 65,536 pixels are the host's. "
        "'auto' finds the share at which both end together, from the first batches, which it makes "
        "on trial; it is logged, stands in state_dict(), and is used where such a state is loaded. "
        "Which image goes where depends on the share and the batch's place alone. The default is 0 "
        "until this has been measured on a GPU." + _ON_A_CPU,
        ours=True,
    )


GPU_ONLY = tuple(field.name for field in attrs.fields(DecoderOptions))  # what a CPU backend ignores
