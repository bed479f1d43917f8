"""Options of ImageDetRecordIter whose images and labels are compared with MXNet's."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.cases import HLS, MEANS, STDS, Bound, Case

CROP = {
    "rand_crop_prob": 0.9,
    "min_crop_scales": 0.3,
    "max_crop_scales": 0.9,
    "min_crop_aspect_ratios": 0.5,
    "max_crop_aspect_ratios": 2.0,
}
PAD = {"rand_pad_prob": 0.6, "max_pad_scale": 3.0}
MIRROR = {"rand_mirror_prob": 0.5}
SAMPLERS = {
    **CROP,
    "rand_crop_prob": 1.0,
    "num_crop_sampler": 5,
    "max_crop_scales": 1.0,
    "min_crop_overlaps": [0.0, 0.1, 0.3, 0.5, 0.7],
    "max_crop_trials": 50,
}
SHIFTS = {
    "max_random_hue": 18,
    "random_hue_prob": 0.5,
    "max_random_saturation": 32,
    "random_saturation_prob": 0.5,
    "max_random_illumination": 32,
    "random_illumination_prob": 0.5,
}
CONTRAST = {"max_random_contrast": 0.5, "random_contrast_prob": 0.7}

CASES: dict[str, Case] = {
    "nothing": Case({}),
    "resize": Case({"resize": 64}),
    "mirror": Case(MIRROR),
    "pad": Case(PAD),
    "crop": Case(CROP),
    "mirror, pad and crop": Case({**MIRROR, **PAD, **CROP}),
    "resize, mirror, pad and crop": Case({"resize": 72, **MIRROR, **PAD, **CROP, "fill_value": 9}),
    "samplers by overlap": Case(SAMPLERS),
    "samplers by coverage": Case(
        {
            "rand_crop_prob": 1.0,
            "num_crop_sampler": 2,
            "min_crop_scales": [0.1, 0.3],
            "max_crop_scales": [0.5, 1.0],
            "min_crop_sample_coverages": [0.1, 0.0],
            "max_crop_sample_coverages": [0.9, 1.0],
            "min_crop_object_coverages": [0.2, 0.1],
            "max_crop_object_coverages": [0.8, 1.0],
            "max_crop_trials": [25, 10],
        }
    ),
    "boxes kept by overlap": Case(
        {**CROP, "crop_emit_mode": "overlap", "emit_overlap_thresh": 0.4}
    ),
    "contrast": Case(CONTRAST),
    "hue, saturation and lightness": Case(SHIFTS, HLS),
    "everything": Case(
        {**SHIFTS, **CONTRAST, **MIRROR, **PAD, **SAMPLERS, "resize": 80}, Bound(2, 2e-4)
    ),
    "shrink": Case({"resize_mode": "shrink", "resize": 60, "data_shape": [3, 70, 70]}),
    "shrink, padded": Case({"resize_mode": "shrink", "data_shape": [3, 150, 200], **PAD}),
    "fit": Case({"resize_mode": "fit", "data_shape": [3, 60, 60], **MIRROR}),
    "fit, cropped": Case({"resize_mode": "fit", **PAD, **CROP, "mean_r": 100.0, "std_r": 7.0}),
    "nearest": Case({"inter_method": 0, **CROP}),
    "bicubic": Case({"inter_method": 2, **CROP, "data_shape": [3, 100, 90]}),
    "area": Case({"inter_method": 3, **CROP}),
    "Lanczos": Case({"inter_method": 4, **CROP}),
    "interpolation by size": Case({"inter_method": 9, "resize": 80, **CROP}),
    "interpolation at random": Case({"inter_method": 10, "resize": 80, **CROP}),
    "gray": Case({"data_shape": [1, 48, 56], **MIRROR, **PAD, **CONTRAST}),
    "mean, std and scale": Case({**MEANS, **STDS, "scale": 1 / 255, **MIRROR}),
    "means of which one is above zero": Case(
        {"mean_a": 2.0, "mean_g": -4.0, "std_r": 0.5, "std_b": -3.0, "scale": 2.0}
    ),
    "means below zero": Case({"mean_r": -5.0, "mean_g": -4.0}),
    "labels padded wider": Case({"label_pad_width": 60, "label_pad_value": -7.5, **CROP}),
}
ROUNDS: dict[str, dict[str, Any]] = {
    "epochs": {"epochs": 4, "batch_size": 7, **MIRROR, **PAD, **CROP},
    "shuffled epochs": {"epochs": 3, "batch_size": 7, "shuffle": True, "seed": 4, **MIRROR, **CROP},
    "second of three parts": {"epochs": 3, "num_parts": 3, "part_index": 1, **MIRROR, **CROP},
}


def det_label(number: int) -> np.ndarray:
    """Return the label of a record: one to four boxes, headers and objects of two lengths."""
    rng = np.random.default_rng([5, number])
    header, width = ([9.0, 8.0], 6) if number % 3 == 0 else ([], 5)
    rows = []
    for identity in range(1 + number % 4):
        (left, top), (w, h) = rng.uniform(0, 0.7, 2), rng.uniform(0.05, 0.5, 2)
        right = left if rng.random() < 0.1 else min(left + w, 1.0)  # some have no area
        rows += [identity, left, top, right, min(top + h, 1.0)] + [0.5] * (width - 5)
    return np.float32([2 + len(header), width, *header, *rows])


def full_options(case: dict[str, Any], rec: str, **more: Any) -> dict[str, Any]:
    """Return all options of a run: one thread, MXNet's random numbers (which it does not ask)."""
    return {
        "path_imgrec": rec,
        "data_shape": [3, 48, 56],
        "batch_size": 8,
        "preprocess_threads": 1,
        "aug_stream": "mxnet",
        "verbose": False,
        **case,
        **more,
    }
