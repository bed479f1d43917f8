"""SETTINGS: what the drawing kernel reads of the options, in one row; and the codes it answers.

Whole numbers are int64, so that sizes multiply without overflow; real ones float32, as MXNet
stores its options.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "CROP_FIXED",
    "CROP_NONE",
    "CROP_RESIZED",
    "CROP_SQUARE",
    "EMPTY",
    "NO_IMAGE",
    "SETTINGS",
    "TOO_LARGE",
    "TOO_SMALL",
    "WRONG_SIZE",
]

CROP_NONE, CROP_FIXED, CROP_SQUARE, CROP_RESIZED = range(4)

NO_IMAGE = 1  # the row has no image, or one without pixels
EMPTY = 2  # a step would leave no pixel
TOO_LARGE = 3  # a step would make more than max_pixels
TOO_SMALL = 4  # smaller than max_crop_size
WRONG_SIZE = 5  # without an augmenter, not of the output's size

SETTINGS = np.dtype(
    [
        ("mersenne", np.int64),  # 1: mt19937 seeded per row; 0: philox
        ("seed", np.int64),
        ("height", np.int64),  # of the output
        ("width", np.int64),
        ("max_pixels", np.int64),
        ("crop", np.int64),  # CROP_NONE: no augmenter at all
        ("inter_method", np.int64),
        ("antialias", np.int64),  # bilinear resizes are TRIANGLE
        ("resize_on", np.int64),
        ("resize", np.int64),
        ("affine_on", np.int64),
        ("max_rotate_angle", np.int64),
        ("rotate", np.int64),
        ("pad", np.int64),
        ("fill_value", np.int64),
        ("rand_crop", np.int64),
        ("log_aspect", np.int64),  # draw the aspect ratio as torchvision, not as MXNet
        ("area_on", np.int64),  # random_resized_crop has a range to draw from
        ("max_crop_size", np.int64),
        ("min_crop_size", np.int64),
        ("jitter_on", np.int64),
        ("hls_on", np.int64),
        ("random_h", np.int64),
        ("random_s", np.int64),
        ("random_l", np.int64),
        ("mirror", np.int64),
        ("rand_mirror", np.int64),
        ("normalise", np.int64),  # draw max_random_contrast and max_random_illumination
        ("max_shear_ratio", np.float32),
        ("max_random_scale", np.float32),
        ("min_random_scale", np.float32),
        ("max_aspect_ratio", np.float32),
        ("min_aspect_ratio", np.float32),
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
    ],
    align=True,
)
