"""The mean image: read, or computed over the part and written, in MXNet's file format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError
from gpuio.nd import asnumpy, load, save
from gpuio.pipeline.pipeline import BatchPosition
from gpuio.tasks.task import Task

if TYPE_CHECKING:
    from gpuio.pipeline.opening import Opened

__all__ = ["mean_image"]

_NAME = "mean_img"


def mean_image(
    task: Task, open_pipeline: Callable[[Task], Opened]
) -> tuple[npt.NDArray[np.float32] | None, bool]:
    """Return the mean image that the options name, and whether it was made now.

    A missing file is made: every record of the part is read once, with the options' own
    augmentation and normalisation, and averaged in float32.

    Parameters
    ----------
    task : Task
    open_pipeline : callable

    Returns
    -------
    mean : float32[C, H, W] or None         R, G, B (, A) order, host; None where there is none to
                                            subtract (no mean_img, or dtype uint8)
    made : bool

    Raises
    ------
    FormatError         the file holds another number of arrays, or an image of another shape
    """
    options = task.options
    if not options.mean_img or options.dtype == "uint8":
        return None, False
    made = not Path(options.mean_img).exists()
    if made:
        save(options.mean_img, {_NAME: _averaged(task, open_pipeline)})
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


def _averaged(task: Task, open_pipeline: Callable[[Task], Opened]) -> npt.NDArray[np.float32]:
    """Average the part's images as the options make them."""
    # what is bad is logged by the iterator itself, which meets it again
    plain = task.unmixed(
        mean_img="",
        dtype="float32",
        layout="NCHW",
        last_batch="pad",
        verbose=False,
        error_log="",
    )
    opened = open_pipeline(plain)
    total = np.zeros(task.options.data_shape, np.float32)
    count = 0
    try:
        pipeline = opened.pipeline
        for number in range(pipeline.order.epoch(0, 0).batches):
            batch = pipeline.next(BatchPosition(0, 0, number))
            images = asnumpy(batch.data)
            for image in images[: len(images) - batch.pad]:
                total += image
                count += 1
    finally:
        opened.close()
    return total * np.float32(1 / count)
