"""A contact sheet: many small images on one picture."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError
from gpuio.storage.atomic import writing

__all__ = ["check_sheet", "contact_sheet", "stacked", "write_sheet"]

_SUFFIXES = (".png", ".jpg", ".jpeg")
_MARGIN = 4  # pixels between images
_TITLE = 16  # pixels for a line of text
_PAPER = 255


def contact_sheet(
    images: Sequence[npt.NDArray[np.uint8]],
    titles: Sequence[str] | None = None,
    columns: int | None = None,
) -> npt.NDArray[np.uint8]:
    """Arrange images in rows.

    Parameters
    ----------
    images : sequence of uint8[height, width, 3 or 1]       R G B or gray
    titles : sequence of str, optional                      one per image, ASCII
    columns : int, optional                                 default: as square as possible

    Returns
    -------
    uint8[height, width, 3]         R G B
    """
    import cv2

    columns = columns or max(1, math.ceil(math.sqrt(len(images))))
    cell_h = max((image.shape[0] for image in images), default=1)
    cell_w = max((image.shape[1] for image in images), default=1)
    head = _TITLE if titles else 0
    rows = max(1, math.ceil(len(images) / columns))
    sheet: Any = np.full(
        (
            rows * (cell_h + head + _MARGIN) + _MARGIN,
            columns * (cell_w + _MARGIN) + _MARGIN,
            3,
        ),
        _PAPER,
        np.uint8,
    )
    for number, image in enumerate(images):
        y = _MARGIN + number // columns * (cell_h + head + _MARGIN)
        x = _MARGIN + number % columns * (cell_w + _MARGIN)
        if titles:
            text = _fitting(titles[number].encode("ascii", "replace").decode(), cell_w)
            origin = (x + 1, y + _TITLE - 4)
            cv2.putText(sheet, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, 16)
        sheet[y + head : y + head + image.shape[0], x : x + image.shape[1]] = image
    return sheet  # type: ignore[no-any-return]


def _fitting(text: str, width: int) -> str:
    """Return as much of a text as a cell is wide; what is cut ends in two dots."""
    import cv2

    def wide(some: str) -> int:
        return int(cv2.getTextSize(some, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)[0][0])

    if wide(text) <= width:
        return text
    while text and wide(f"{text}..") > width:
        text = text[:-1]
    return f"{text}.."


def stacked(sheets: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Return pictures, uint8[h, w, 3], below each other, on paper as wide as the widest."""
    width = max(sheet.shape[1] for sheet in sheets)
    return np.concatenate(
        [
            np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0)), constant_values=_PAPER)
            for sheet in sheets
        ]
    )


def check_sheet(path: str | os.PathLike[str]) -> None:
    """Raise OptionError if a picture's name does not say which format it has."""
    suffix = Path(path).suffix
    if suffix.lower() not in _SUFFIXES:
        found = f"has the suffix {suffix}" if suffix else "has no suffix"
        raise OptionError(
            f"the picture's name {found}: expected {' or '.join(_SUFFIXES)}, which says its format",
            path=os.fspath(path),
        )


def write_sheet(path: str | os.PathLike[str], sheet: npt.NDArray[np.uint8]) -> None:
    """Write a picture, all of it or nothing.

    Parameters
    ----------
    path : path                         .png or .jpg
    sheet : uint8[height, width, 3]     R G B

    Raises
    ------
    OptionError         another suffix
    StorageError        it cannot be written
    """
    import cv2

    check_sheet(path)
    _, encoded = cv2.imencode(Path(path).suffix.lower(), sheet[:, :, ::-1])
    with writing(path) as file:
        file.write(encoded.tobytes())
