"""Pictures of augmented images with their boxes, to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import BackendError
from gpuio.forking import working
from gpuio.image.draws import Draws
from gpuio.image.recipes import MEAN, STD

__all__ = ["BoxStyle", "draw_boxes", "show"]


@dataclass(frozen=True)
class BoxStyle:
    """How boxes are drawn; the fields are the arguments of `ImageDetIter.draw_next`."""

    color: Any
    thickness: int
    mean: Any
    std: Any
    clip: bool
    id2labels: Any
    draws: Draws


def draw_boxes(
    row: npt.NDArray[Any], boxes: npt.NDArray[Any], style: BoxStyle
) -> npt.NDArray[np.uint8]:
    """Return a picture of one sample.

    Parameters
    ----------
    row : float32[3, H, W]              R G B, as a batch has it
    boxes : float[objects, 5 or more]   id, xmin, ymin, xmax, ymax as fractions; objects that start
                                        left of the image are left out
    style : BoxStyle

    Returns
    -------
    uint8[H, W, 3]                      B G R
    """
    with working:
        import cv2

    image = np.array(row.transpose(1, 2, 0), np.float32)
    if style.std is not None:
        image *= np.array(STD if style.std is True else style.std, np.float32)
    if style.mean is not None:
        image += np.array(MEAN if style.mean is True else style.mean, np.float32)
    image = image[:, :, ::-1]
    if style.clip:
        image = image.clip(0, 255)
    picture = np.ascontiguousarray(image.astype(np.uint8))
    height, width = picture.shape[:2]
    for box in boxes:
        x0, y0 = int(box[1] * width), int(box[2] * height)
        if x0 < 0:
            continue
        x1, y1 = int(box[3] * width), int(box[4] * height)
        if style.color is not None:
            color = tuple(float(value) for value in style.color[::-1])
        else:
            color = tuple(float(value) for value in style.draws.uniforms(0, 255, 3))
        cv2.rectangle(picture, (x0, y0), (x1, y1), color, style.thickness)
        if style.id2labels is not None and int(box[0]) in style.id2labels:
            name = str(style.id2labels[int(box[0])])
            cv2.putText(picture, name, (x0 + 5, y0 + 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 2)
    return picture


def show(picture: npt.NDArray[np.uint8], window_name: str, wait_ms: int) -> None:
    """Show a picture in a window for `wait_ms` milliseconds (0: until a key is pressed).

    Raises
    ------
    BackendError        this OpenCV was built without windows
    """
    with working:
        import cv2

    try:
        cv2.imshow(window_name, picture)
        cv2.waitKey(wait_ms)
    except cv2.error as error:
        raise BackendError(
            "this OpenCV has no windows: install opencv-python instead of opencv-python-headless, "
            "or leave waitKey out and show the pictures that draw_next yields"
        ) from error
