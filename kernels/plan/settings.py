"""What the drawing kernels read of the options, in one row; and the codes they answer.

SETTINGS is that of classification; detection has DET_SETTINGS, and SAMPLERS, a row per sampler.
OPTIONS and DET_OPTIONS are the fields that are options of the same name; `gpuio.plan` makes the
others.

Whole numbers are int64, so that sizes multiply without overflow; real ones float32, as MXNet
stores its options.
"""

from __future__ import annotations

import numpy as np

from gpuio.kernels.plan.interpolation import OPENCV_COUNT

__all__ = [
    "CROP_FIXED",
    "CROP_NONE",
    "CROP_RESIZED",
    "CROP_SQUARE",
    "DET_OPTIONS",
    "DET_SETTINGS",
    "EMPTY",
    "FIT",
    "FORCE",
    "LARGER",
    "NO_IMAGE",
    "OPTIONS",
    "SAMPLERS",
    "SETTINGS",
    "SHRINK",
    "TOO_LARGE",
    "TOO_SMALL",
    "WRONG_SIZE",
]

CROP_NONE, CROP_FIXED, CROP_SQUARE, CROP_RESIZED = range(4)

FORCE, SHRINK, FIT = range(3)  # detection's resize_mode

NO_IMAGE = 1  # the row has no image, or one without pixels
EMPTY = 2  # a step would leave no pixel
TOO_LARGE = 3  # a step would make more than max_pixels
TOO_SMALL = 4  # smaller than max_crop_size
WRONG_SIZE = 5  # without an augmenter, not of the output's size
LARGER = 6  # without an augmenter, larger than the output

# the interpolation that makes the resizes of each of OpenCV's, by its code
_RESIZED_BY = ("resized_by", np.int64, (OPENCV_COUNT,))

OPTIONS = (
    ("max_pixels", np.int64),
    ("inter_method", np.int64),
    ("resize", np.int64),
    ("max_rotate_angle", np.int64),
    ("rotate", np.int64),
    ("pad", np.int64),
    ("fill_value", np.int64),
    ("rand_crop", np.int64),
    ("max_crop_size", np.int64),
    ("min_crop_size", np.int64),
    ("random_h", np.int64),
    ("random_s", np.int64),
    ("random_l", np.int64),
    ("mirror", np.int64),
    ("rand_mirror", np.int64),
    ("max_shear_ratio", np.float32),
    ("max_random_scale", np.float32),
    ("min_random_scale", np.float32),
    ("max_img_size", np.float32),
    ("min_img_size", np.float32),
    ("max_random_area", np.float32),
    ("min_random_area", np.float32),
    ("brightness", np.float32),
    ("contrast", np.float32),
    ("saturation", np.float32),
    ("pca_noise", np.float32),
    ("max_random_contrast", np.float32),
    ("max_random_illumination", np.float32),
)

SETTINGS = np.dtype(
    [
        ("mersenne", np.int64),  # 1: mt19937 seeded per row; 0: philox
        ("seed", np.int64),
        ("height", np.int64),  # of the output
        ("width", np.int64),
        ("crop", np.int64),  # CROP_NONE: no augmenter at all
        ("resize_on", np.int64),
        ("affine", np.int64),  # addresses of `draw_steps`; 0: there is no such step
        ("random_crop", np.int64),
        ("colours", np.int64),
        ("log_aspect", np.int64),  # draw the aspect ratio as torchvision, not as MXNet
        ("area_on", np.int64),  # random_resized_crop has a range to draw from
        ("jitter_on", np.int64),
        ("hls_on", np.int64),
        ("normalise", np.int64),  # draw max_random_contrast and max_random_illumination
        ("max_aspect_ratio", np.float32),
        ("min_aspect_ratio", np.float32),
        _RESIZED_BY,
        *OPTIONS,
    ],
    align=True,
)

DET_OPTIONS = (
    ("max_pixels", np.int64),
    ("inter_method", np.int64),
    ("resize", np.int64),
    ("max_random_hue", np.int64),
    ("max_random_saturation", np.int64),
    ("max_random_illumination", np.int64),
    ("fill_value", np.int64),
    ("max_random_contrast", np.float32),
    ("random_hue_prob", np.float32),
    ("random_saturation_prob", np.float32),
    ("random_illumination_prob", np.float32),
    ("random_contrast_prob", np.float32),
    ("rand_mirror_prob", np.float32),
    ("rand_pad_prob", np.float32),
    ("max_pad_scale", np.float32),
    ("rand_crop_prob", np.float32),
    ("emit_overlap_thresh", np.float32),
    ("label_pad_value", np.float32),
)

DET_SETTINGS = np.dtype(
    [
        ("continuing", np.int64),  # 1: the generator runs on from row to row; 0: philox, keyed
        ("seed", np.int64),
        ("channels", np.int64),  # of the output
        ("height", np.int64),
        ("width", np.int64),
        ("augment", np.int64),  # 0: no augmenter at all
        ("resize_on", np.int64),
        ("colour_on", np.int64),
        ("resize_mode", np.int64),
        ("emit_overlap", np.int64),  # 1: keep boxes by overlap, 0: by their centres
        _RESIZED_BY,
        *DET_OPTIONS,
    ],
    align=True,
)

SAMPLERS = np.dtype(
    [
        ("trials", np.int64),
        ("min_scale", np.float32),
        ("max_scale", np.float32),
        ("min_ratio", np.float32),
        ("max_ratio", np.float32),
        ("min_overlap", np.float32),  # intersection over union of crop and box
        ("max_overlap", np.float32),
        ("min_sample", np.float32),  # intersection over the crop's area
        ("max_sample", np.float32),
        ("min_object", np.float32),  # intersection over the box's area
        ("max_object", np.float32),
    ],
    align=True,
)
