"""What an iterator's options make of a file's first images: a batch, and one image step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.decode.opencv import decode
from gpuio.errors import GpuioError, OptionError
from gpuio.kernels.plan.layout import PLAN
from gpuio.nd import asnumpy
from gpuio.tools.census import named_label
from gpuio.tools.classnames import label_text
from gpuio.tools.entries import Records, entries
from gpuio.tools.tiles import Tile, draw_boxes

__all__ = ["Step", "first_batch", "steps_of"]

_LEFT = ("mean_img", "mean_r", "mean_g", "mean_b", "mean_a", "std_r", "std_g", "std_b", "std_a")
_WITHOUT = (*_LEFT, "scale")  # the picture is what the pixels are before these
# step: (the field that switches it on, its fields)
_STEPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "resize": ("resize_h", ("resize_h", "resize_w", "resize_inter")),
    "pre_colour": ("pre_colour", ("pre_colour", "pre_colour_hls", "pre_colour_gain")),
    "flip": ("flip", ("flip",)),
    "expand": ("expand_h", ("expand_y", "expand_x", "expand_h", "expand_w", "fill")),
    "warp": ("warp_h", ("warp_h", "warp_w", "warp_inter", "warp", "fill")),
    "pad": ("pad", ("pad", "fill")),
    "upscale1": ("upscale1_h", ("upscale1_h", "upscale1_w", "upscale1_inter")),
    "upscale2": ("upscale2_h", ("upscale2_h", "upscale2_w", "upscale2_inter")),
    "crop": (
        "crop_h",
        ("crop_y", "crop_x", "crop_h", "crop_w", "crop_inter", "letterbox_h", "letterbox_w"),
    ),
    "post_affine": ("post_affine_on", ("post_affine_on", "post_affine")),
    "jitter": ("jitter", ("jitter", "jitter_order", "jitter_gain")),
    "hls": ("hls_on", ("hls_on", "hls")),
    "pca": ("pca_on", ("pca_on", "pca")),
    "tone": ("tone_count", ("tone_count", "tone_op", "tone_arg")),
    "mirror": ("mirror", ("mirror",)),
    "erase": ("erase_h", ("erase_y", "erase_x", "erase_h", "erase_w", "erase_value")),
}
_SIZES = {  # steps before the crop that change the size
    "resize": ("resize_h", "resize_w"),
    "expand": ("expand_h", "expand_w"),
    "warp": ("warp_h", "warp_w"),
    "upscale1": ("upscale1_h", "upscale1_w"),
    "upscale2": ("upscale2_h", "upscale2_w"),
}


@attrs.frozen(eq=False)
class Step:
    """What one step of a plan made.

    Attributes
    ----------
    name : str
    image : uint8[h, w, 3]      R G B, behind the step
    fields : dict               of the plan's row
    """

    name: str
    image: npt.NDArray[np.uint8]
    fields: Mapping[str, Any]


def first_batch(
    records: Records,
    idx: str | None,
    words: Sequence[str],
    count: int,
    names: Mapping[int, str],
    *,
    boxes: bool,
) -> tuple[list[Tile], list[Step]]:
    """Return the images of a batch, and the steps of the first one that can be decoded.

    Parameters
    ----------
    records : Records
    idx : str or None           the index
    words : sequence of str     options of the iterator, "NAME=VALUE"
    count : int                 images
    names : dict                of the classes
    boxes : bool                it is a detection set

    Raises
    ------
    OptionError                 a word is no option with a value, or the iterator's own error
    """
    from gpuio.io.detection import ImageDetRecordIter
    from gpuio.io.record import ImageRecordIter

    options = _options(words)
    given: dict[str, Any] = {
        "data_shape": (3, 224, 224),
        "batch_size": min(count, len(records.table)),
        "ctx": "cpu",
        "verbose": False,
        "path_imgrec": records.table.paths[0],
        "path_imgidx": idx or "",
        "last_batch": "partial",
        "on_error": "zero",
    }
    given |= {"label_format": "boxes"} if boxes else {"label_width": "ragged"}
    maker = ImageDetRecordIter if boxes else ImageRecordIter
    with maker(**given | options) as it:
        batch = it.next()
        data = asnumpy(batch.data[0]).astype(np.float32)
        labels = asnumpy(batch.label[0])
        plan, shape = batch.plan, it.options
    if shape.layout == "NCHW":
        data = data.transpose(0, 2, 3, 1)
    pictures = np.clip(np.rint(data), 0, 255).astype(np.uint8)[:, :, :, :3]
    pictures = np.repeat(pictures, 3, 3) if pictures.shape[3] == 1 else pictures
    tiles = []
    for row, picture in enumerate(pictures):
        image = np.ascontiguousarray(picture)
        if boxes:
            objects = labels[row][labels[row][:, 0] >= 0]
            draw_boxes(image, objects[:, :5], names)
            label = f"{len(objects)} boxes"
        else:
            label = _label(labels[row], names)
        name = records.key(row) if row < len(records.table) else row
        tiles.append(Tile(image, f"{row if name is None else name}", label))
    for row, entry in enumerate(entries(records, np.arange(len(tiles)))):
        try:
            image = decode(entry.blob, int(shape.data_shape[0]))
        except GpuioError as error:
            tiles[row] = attrs.evolve(tiles[row], bad=error.message, called=entry.name)
            continue
        return tiles, list(steps_of(image, plan[row], shape))
    return tiles, []


def _options(words: Sequence[str]) -> dict[str, Any]:
    """Return the options that words name."""
    options = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise OptionError(f"--augment {word}: expected NAME=VALUE, such as rand_mirror=1")
        if name in {"shuffle", "num_parts", "part_index"}:
            raise OptionError(f"--augment {word}: the file's first images are shown; leave it out")
        options[name] = value
    return {name: value for name, value in options.items() if name not in _WITHOUT}


def _label(label: npt.NDArray[Any], names: Mapping[int, str]) -> str:
    """Return what a row of labels is."""
    values = np.atleast_1d(label)
    if len(values) == 1:
        return named_label(float(values[0]), names)
    if len(values) > 8:  # soft labels of mixed images
        most = np.argsort(-values, kind="stable")[:2]
        parts = [f"{values[at]:.2f} {named_label(float(at), names)}" for at in most if values[at]]
        return ", ".join(parts)
    return " ".join(map(label_text, values.tolist()))


def steps_of(
    image: npt.NDArray[np.uint8], row: npt.NDArray[np.void], options: Any
) -> Iterator[Step]:
    """Yield what each step of a row makes of an image; steps that are off are left out.

    Parameters
    ----------
    image : uint8[h, w, C]      decoded, not turned
    row : PLAN[()]
    options : RecordOptions     of the iterator
    """
    from gpuio.plan.replay import replay

    plain = attrs.evolve(options, dtype="uint8", layout="NHWC", mean_img="")
    made = np.zeros(1, PLAN)
    for field in ("src_h", "src_w", "orient", "crop_inter"):
        made[field] = row[field]
    made["gain"] = 1
    turned = int(row["orient"]) >= 5
    size = tuple(int(row[one]) for one in (("src_w", "src_h") if turned else ("src_h", "src_w")))
    yield Step("decoded", _replayed(replay, image, made, plain, size), {"orient": row["orient"]})
    for name, (switch, fields) in _STEPS.items():
        if not row[switch]:
            continue
        for field in fields:
            made[field] = row[field]
        if name in _SIZES:
            size = tuple(int(row[one]) for one in _SIZES[name])
        elif name == "pad":
            size = tuple(side + 2 * int(row["pad"]) for side in size)
        behind = name in list(_STEPS)[list(_STEPS).index("crop") :]
        if behind:
            picture = replay(image, made[0], plain)
        else:
            picture = _replayed(replay, image, made, plain, size)
        told = {field: np.asarray(row[field]).tolist() for field in fields}
        yield Step(name, _coloured(picture), told)


def _replayed(
    replay: Any,
    image: npt.NDArray[np.uint8],
    made: npt.NDArray[np.void],
    options: Any,
    size: Sequence[int],
) -> npt.NDArray[np.uint8]:
    """Return the whole image as it is before the crop."""
    whole = made.copy()
    whole["crop_y"] = whole["crop_x"] = 0
    whole["crop_h"], whole["crop_w"] = size
    shape = (options.data_shape[0], *size)
    return _coloured(replay(image, whole[0], attrs.evolve(options, data_shape=shape)))


def _coloured(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return an image of three channels, R G B."""
    colour = picture[:, :, :3]
    return np.repeat(colour, 3, 2) if colour.shape[2] == 1 else np.ascontiguousarray(colour)
