"""The mean image: read, or computed over the part and written, in MXNet's file format."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError
from gpuio.nd import asnumpy, load, save
from gpuio.options.record import RecordOptions
from gpuio.storage.files import exists

__all__ = ["mean_image"]

_NAME = "mean_img"


def mean_image(
    options: RecordOptions, batches: Iterable[npt.NDArray[np.float32]]
) -> tuple[npt.NDArray[np.float32] | None, bool]:
    """Return the mean image that the options name, and whether it was made now.

    A missing file is made: the images of one pass are averaged in float32.

    Parameters
    ----------
    options : RecordOptions
    batches : iterable of float32[n, C, H, W]
        the images of one pass over the part, host; asked for only where the file is to be made

    Returns
    -------
    mean : float32[C, H, W] or None         R, G, B (, A) order, host; None where there is none to
                                            subtract (no mean_img, or dtype uint8)
    made : bool

    Raises
    ------
    FormatError         the file holds another number of arrays, or an image of another shape
    """
    if not options.mean_img or options.dtype == "uint8":
        return None, False
    made = not exists(options.mean_img)
    if made:
        save(options.mean_img, {_NAME: _averaged(batches, options.data_shape)})
    found = load(options.mean_img)
    arrays = list(found.values()) if isinstance(found, dict) else found
    shapes = [array.shape for array in arrays]
    if shapes != [options.data_shape]:
        raise FormatError(
            f"mean image file holds arrays of shapes {shapes}, expected one of "
            f"{options.data_shape}",
            path=options.mean_img,
        )
    return asnumpy(arrays[0]).astype(np.float32), made


def _averaged(
    batches: Iterable[npt.NDArray[np.float32]], shape: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """Average images, one after the other."""
    total = np.zeros(shape, np.float32)
    count = 0
    for images in batches:
        for image in images:
            total += image
            count += 1
    return total * np.float32(1 / count)
