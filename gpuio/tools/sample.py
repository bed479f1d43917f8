"""One image of another format on its way into a record file, or out of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

__all__ = ["SUFFIXES", "Foreign", "Sample", "shard_paths", "whole_label"]

SUFFIXES = {
    "bmp": ".bmp",
    "gif": ".gif",
    "jpeg": ".jpg",
    "png": ".png",
    "pnm": ".ppm",
    "tiff": ".tif",
    "webp": ".webp",
}


@attrs.frozen(eq=False)
class Sample:
    """An image and its labels.

    Attributes
    ----------
    name : str              without a suffix
    labels : float32[n]
    blob : bytes-like       the encoded image
    suffix : str            ".jpg", by what the image is
    problem : str           why it cannot become a record; "" where nothing is known
    """

    name: str
    labels: npt.NDArray[np.float32]
    blob: bytes | memoryview
    suffix: str = ""
    problem: str = ""


@attrs.frozen(eq=False)
class Foreign:
    """The samples of a data set of another format.

    Attributes
    ----------
    samples : iterator of Sample
    count : int             how many there are; 0 where only reading tells
    names : dict            number to name of each class; empty where there are none
    made_of : list          what tells another data set from this one, as JSON types
    """

    samples: Iterator[Sample]
    count: int
    names: Mapping[int, str]
    made_of: list[object]


def whole_label(labels: npt.NDArray[np.float32]) -> int | None:
    """Return a label that is one whole number, as a class is; None for another."""
    if len(labels) == 1 and np.isfinite(labels[0]) and labels[0] == np.floor(labels[0]):
        return int(labels[0])
    return None


def shard_paths(source: str, suffix: str) -> list[Path]:
    """Return a file, or the files of a folder that end in a suffix, sorted."""
    path = Path(source)
    return sorted(path.glob(f"*{suffix}")) if path.is_dir() else [path]
