"""Options whose pixels are compared with MXNet's, and how far each may differ, with the reason.

The tests of the live MXNet and of the golden files take their cases from here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import gpuio as mx
from parity.oracle import Epochs


class Bound(NamedTuple):
    """How far pixels may differ: by `levels` of 0..255 in at most a `share` of the values."""

    levels: int = 0
    share: float = 0.0


EXACT = Bound()
# BGR to HLS and back is float arithmetic, and where a value lies half way between two levels the
# last bit of a float decides; measured: 1 level in 1e-5 to 9e-5 of the values of few images
HLS = Bound(1, 2e-4)


class Case(NamedTuple):
    """Options beside the files and the batch size, and how far the pixels may differ."""

    options: dict[str, Any]
    bound: Bound = EXACT


MEANS = {"mean_r": 123.68, "mean_g": 116.779, "mean_b": 103.939}
STDS = {"std_r": 58.393, "std_g": 57.12, "std_b": 57.375}
U8 = {"dtype": "uint8"}
RRC = {
    "random_resized_crop": True,
    "min_random_area": 0.08,
    "max_random_area": 1.0,
    "min_aspect_ratio": 0.75,
    "max_aspect_ratio": 4 / 3,
}
AFFINE = {"resize": 64, "max_rotate_angle": 30, "max_shear_ratio": 0.2, "fill_value": 9, **U8}

# data_shape is (3, 48, 56) unless given; every image is larger, or `enlarging` says so
CASES: dict[str, Case] = {
    "resize and centre crop": Case({"resize": 64, **U8}),
    "centre crop alone": Case({**U8}),
    "mirror": Case({"resize": 64, "mirror": True, **U8}),
    "random crop and mirror": Case({"resize": 64, "rand_crop": True, "rand_mirror": True, **U8}),
    "random resized crop": Case({**RRC, "rand_mirror": True, **U8}),
    "random resized crop, area": Case({**RRC, "inter_method": 3, **U8}),
    "random resized crop of defaults": Case({"random_resized_crop": True, **U8}),
    "random resized crop after resize": Case({**RRC, "resize": 64, **U8}),
    "mean": Case({"resize": 64, **MEANS}),
    "mean, std and scale": Case({"resize": 64, **MEANS, **STDS, "scale": 1 / 255}),
    "mean, std, mirror": Case({"resize": 64, **MEANS, **STDS, "rand_mirror": True}),
    "scale": Case({"resize": 64, "scale": 0.0078125}),
    "random contrast": Case({"resize": 64, **MEANS, "max_random_contrast": 0.3}),
    "random illumination": Case(
        {"resize": 64, **MEANS, **STDS, "scale": 0.5, "max_random_illumination": 20.0}
    ),
    "int8": Case({"resize": 64, "dtype": "int8", **MEANS}),
    "int8 without mean": Case({"resize": 64, "dtype": "int8"}),
    "gray": Case({"resize": 64, "data_shape": [1, 48, 56], **U8}),
    "gray, normalised": Case(
        {"resize": 64, "data_shape": [1, 48, 56], "mean_r": 120.0, "std_r": 60.0}
    ),
    "nearest": Case({"resize": 64, "inter_method": 0, **U8}),
    "bilinear": Case({"resize": 64, "inter_method": 1, **U8}),
    "bicubic": Case({"resize": 64, "inter_method": 2, **U8}),
    "area": Case({"resize": 64, "inter_method": 3, **U8}),
    "Lanczos": Case({"resize": 64, "inter_method": 4, **U8}),
    "interpolation by size": Case({"resize": 64, "inter_method": 9, **U8}),
    "interpolation at random": Case({"resize": 64, "inter_method": 10, **U8}),
    "enlarging": Case({"data_shape": [3, 520, 540], **U8}),
    "enlarging at random": Case({"data_shape": [3, 520, 540], "rand_crop": True, **U8}),
    "resize that enlarges": Case({"resize": 600, **U8}),
    "pad": Case({"resize": 48, "pad": 8, "rand_crop": True, **U8}),
    "pad in gray": Case({"resize": 48, "pad": 5, "fill_value": 3, "data_shape": [1, 48, 56], **U8}),
    "crop sizes": Case(
        {"resize": 90, "rand_crop": True, "min_crop_size": 40, "max_crop_size": 80, **U8}
    ),
    "crop sizes in the centre": Case(
        {"resize": 90, "min_crop_size": 40, "max_crop_size": 80, **U8}
    ),
    "random rotation": Case({"resize": 64, "max_rotate_angle": 30, "fill_value": 0, **U8}),
    "rotation": Case({"resize": 64, "rotate": 37, **U8}),
    "rotation from a list": Case({"resize": 64, "rotate_list": "0,90,180,270", **U8}),
    "shear": Case({"resize": 64, "max_shear_ratio": 0.3, **U8}),
    "aspect": Case({"resize": 64, "max_aspect_ratio": 0.25, **U8}),
    "aspect from below": Case(
        {"resize": 64, "min_aspect_ratio": 0.5, "max_aspect_ratio": 1.5, **U8}
    ),
    "scales": Case({"resize": 64, "min_random_scale": 0.7, "max_random_scale": 1.4, **U8}),
    "image sizes": Case(
        {
            "resize": 64,
            "max_random_scale": 2.0,
            "max_img_size": 80.0,
            "min_img_size": 60.0,
            **U8,
        }
    ),
    "affine, all of it": Case(
        {**AFFINE, "max_aspect_ratio": 0.25, "min_random_scale": 0.9, "max_random_scale": 1.2}
    ),
    "affine, bicubic": Case({**AFFINE, "inter_method": 2}),
    "affine, Lanczos": Case({**AFFINE, "inter_method": 4}),
    "affine of a random resized crop": Case({**RRC, "max_rotate_angle": 20, **U8}),
    "brightness": Case({"resize": 64, "brightness": 0.4, **U8}),
    "contrast": Case({"resize": 64, "contrast": 0.4, **U8}),
    "saturation": Case({"resize": 64, "saturation": 0.4, **U8}),
    "brightness, contrast and saturation": Case(
        {"resize": 64, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, **U8}
    ),
    "hue": Case({"resize": 64, "random_h": 36, **U8}, HLS),
    "lightness": Case({"resize": 64, "random_l": 50, **U8}, HLS),
    "hue, lightness and saturation": Case(
        {"resize": 64, "random_h": 36, "random_s": 50, "random_l": 50, **U8}, HLS
    ),
    "pca noise": Case({"resize": 64, "pca_noise": 0.1, **U8}),
}


def full_options(case: dict[str, Any], paths: tuple[str, str], **more: Any) -> dict[str, Any]:
    """Return all options of a run: files with index, one thread, MXNet's random numbers."""
    return {
        "path_imgrec": paths[0],
        "path_imgidx": paths[1],
        "data_shape": [3, 48, 56],
        "batch_size": 8,
        "preprocess_threads": 1,
        "seed_aug": 7,
        "verbose": False,
        **case,
        **more,
    }


def iterate(
    iterator: str = "ImageRecordIter",
    *,
    epochs: int = 1,
    batches: int | None = None,
    **options: Any,
) -> Epochs:
    """Return some epochs of our iterator: the same question that `Oracle.iterate` asks MXNet."""
    data, label, pad, counts = [], [], [], []
    with getattr(mx.io, iterator)(**options, ctx="cpu") as it:
        for epoch in range(epochs):
            if epoch:
                it.reset()
            before = len(pad)
            for batch in it:
                data.append(batch.data[0].asnumpy())
                label.append(batch.label[0].asnumpy())
                pad.append(batch.pad)
                if len(pad) - before == batches:
                    break
            counts.append(len(pad) - before)
    return Epochs(np.stack(data), np.stack(label), np.array(pad), np.array(counts))


def whole_rows(epochs: Epochs, pad: np.ndarray) -> Epochs:
    """Return the epochs with the last `pad` rows of each batch, and all pads, set to zero.

    Without round_batch MXNet leaves stale memory behind an epoch's records, and calls pad 0.
    """
    data, label = epochs.data.copy(), epochs.label.copy()
    for batch in np.flatnonzero(pad):
        data[batch, -pad[batch] :], label[batch, -pad[batch] :] = 0, 0
    return epochs._replace(data=data, label=label, pad=np.zeros_like(epochs.pad))


def unlike(ours: np.ndarray, theirs: np.ndarray, bound: Bound, level: float = 1.0) -> str:
    """Say how two arrays of pixels differ beyond the bound; empty if they do not.

    `level` is what one level of 0..255 is worth in the arrays, after scale and std. Exactness is
    to the bit, floats included.
    """
    if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
        return f"{ours.dtype}{ours.shape} where MXNet has {theirs.dtype}{theirs.shape}"
    if ours.tobytes() == theirs.tobytes():
        return ""
    off = np.abs(ours.astype(np.float64) - theirs) / level
    worst, share = off.max(), np.count_nonzero(off) / off.size
    # the thousandth: a level of a float is not exact
    if bound.levels and worst <= bound.levels * 1.001 and share <= bound.share:
        return ""
    rows = np.flatnonzero(off.reshape(-1, *off.shape[-3:]).any(axis=(1, 2, 3)))
    return (
        f"{share:.2e} of the values differ, by up to {worst:.4g} levels, in {len(rows)} images, "
        f"first {rows[0]}; allowed: {bound.share:.2e} by {bound.levels}"
    )
