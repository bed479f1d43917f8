"""Drawn pictures, and what a planner's plans make of them, by the NumPy reference."""

import numpy as np

from gpuio.plan.planner import Planner
from gpuio.plan.request import PlanRequest
from support import reference

PICTURES = [[40, 50], [50, 40], [23, 90], [64, 64], [130, 33]]  # heights and widths


def picture(height, width, channels=3):
    """Return uint8[height, width, channels], B G R: busy, and without a generator behind it."""
    y, x = np.mgrid[:height, :width]
    planes = [y * 5 + x, x * 4 + y // 2, (y * 7) ^ (x * 13)]
    return np.stack(planes[:channels], 2).astype(np.uint8)


def execute(options, sizes):
    """Draw the plan of one batch of pictures, MXNet's number of a row being its row; execute it.

    Returns
    -------
    array[B, C, H, W]       of options.dtype
    """
    rows = np.arange(len(sizes))
    heights, widths = np.array(sizes, np.int32).T
    plan = Planner(options).draw(PlanRequest(heights, widths, rows * 0, rows, rows))
    C, H, W = options.data_shape
    mean = np.float32([getattr(options, f"mean_{c}") for c in "rgba"[:C]])
    std = np.float32([getattr(options, f"std_{c}") for c in "rgba"[:C]])
    images = [picture(*size, C) for size in sizes]
    return np.stack(
        [
            reference.augment(image, row, H, W, options.dtype, mean, std, options.scale)
            for image, row in zip(images, plan, strict=True)
        ]
    )
