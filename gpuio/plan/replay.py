"""Execute one row of a batch's plan again: the image that is in the batch, from its bytes.

On the CPU this equals ``batch.data[0][3]``::

    batch = it.next()
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    again = replay(image, batch.plan[3], it.options)

A row may be changed first: without its mirror, say, or with another crop. What was
done to whole batches (mixup, cutmix) is not part of it: see ``batch.mix``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.decode.smaller import smaller, smaller_sizes
from gpuio.forking import working
from gpuio.kernels.plan.layout import PLAN
from gpuio.options.record import RecordOptions
from gpuio.plan.decode_scale import fitted

__all__ = ["denominator", "replay"]


def denominator(row: npt.NDArray[np.void], options: RecordOptions) -> int:
    """Return at which part of its size a row's JPEG was decoded: 1 / 1, 2, 4 or 8.

    OpenCV's ``IMREAD_REDUCED_COLOR_2``, ``_4`` and ``_8`` decode so.

    Parameters
    ----------
    row : PLAN[()] or PLAN[1]           such as ``batch.plan[3]``
    options : RecordOptions             such as ``iterator.options``
    """
    return _fitted(_rows(row), options)[1]


def replay(
    image: npt.NDArray[np.uint8],
    row: npt.NDArray[np.void],
    options: RecordOptions,
    mean_image: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[Any]:
    """Return what a row of a plan makes of an image.

    Parameters
    ----------
    image : uint8[src_h, src_w, C]      decoded, B, G, R (, A) or gray, not turned by its EXIF
                                        orientation: the row says how to turn it. With
                                        decode_scale="auto" decoded at 1 / `denominator`; an image
                                        of full size gives what decode_scale="off" gives. With
                                        cache_resize of full size, or as small as the row says
    row : PLAN[()] or PLAN[1]           such as ``batch.plan[3]``
    options : RecordOptions             such as ``iterator.options``: data_shape, dtype, layout,
                                        mean, std and scale are read, all else is in the row
    mean_image : float32[C, H, W]       of the option mean_img, where it is set

    Returns
    -------
    array[C, H, W] or [H, W, C]         host; of options.dtype, bfloat16 as uint16 bit patterns

    Raises
    ------
    ValueError                          the row does not fit the image
    """
    with working:
        from gpuio.kernels.cpu import augment

    rows = _rows(row)
    height, width = np.array(image.shape[:1]), np.array(image.shape[1:2])
    height, width = smaller_sizes(height, width, options.cache_resize)
    if options.cache_resize and (height, width) == (rows["src_h"], rows["src_w"]):
        image = smaller(image, int(height[0]), int(width[0]))
    if image.shape[:2] != (rows["src_h"][0], rows["src_w"][0]):
        rows = _fitted(rows, options)[0]
    C, H, W = options.data_shape
    made = augment.Normalisation(
        options.dtype, *options.normalisation(), options.layout, mean_image, ratio=options.ratio
    )
    out = np.zeros((H, W, C) if options.layout == "NHWC" else (C, H, W), made.storage)
    augment.augment(np.ascontiguousarray(image), rows, made, out, augment.Scratch())
    return out.view(np.float16) if options.dtype == "float16" else out


def _rows(row: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Return a row alone, PLAN[1]."""
    rows = np.zeros(1, PLAN)
    rows[0] = np.asarray(row).reshape(-1)[0]
    return rows


def _fitted(rows: npt.NDArray[np.void], options: RecordOptions) -> tuple[npt.NDArray[np.void], int]:
    """Return a JPEG's row as the options decode it, and the denominator of its scale."""
    channels, height, width = options.data_shape
    takes = np.array([options.decode_scale == "auto" and channels < 4])
    fit, scale = fitted(rows, takes, height, width)
    return fit, int(scale[0])
