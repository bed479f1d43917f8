"""Data sets in Python, as torchvision has them: ``dataset[i]`` is (image, label).

An image is a PIL image, an array, uint8 [height, width] or [height, width, 3], or the bytes or the
path of an encoded image.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from gpuio.errors import OptionError
from gpuio.storage.files import read_whole
from gpuio.tools.sample import Foreign, Sample

__all__ = ["read_dataset"]


def read_dataset(source: str, named: str, encoding: str, quality: int) -> Foreign:
    """Return the samples of ``CLASS(source)``.

    Parameters
    ----------
    source : str            what the class takes, a folder for most of torchvision's
    named : str             "module:CLASS", such as "torchvision.datasets:CIFAR10"
    encoding : {".png", ".jpg"}     of images that are pixels
    quality : int           of ".jpg"

    Raises
    ------
    OptionError             there is no such class, or it does not take `source`
    """
    module, colon, name = named.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)(source) if colon else None
    except (ImportError, AttributeError, TypeError, RuntimeError, OSError, ValueError) as error:
        raise OptionError(f"--dataset {named}: {type(error).__name__}: {error}") from error
    if made is None:
        raise OptionError(f"--dataset {named}: expected MODULE:CLASS")
    classes = getattr(made, "classes", None) or ()
    if isinstance(getattr(made, "class_to_idx", None), dict):
        names = {int(number): str(one) for one, number in made.class_to_idx.items()}
    else:
        names = {number: str(one) for number, one in enumerate(classes)}
    made_of: list[object] = [named, os.path.abspath(source), len(made), encoding, quality]  # noqa: PTH100
    return Foreign(_samples(made, encoding, quality), len(made), names, made_of)


def _samples(made: Any, encoding: str, quality: int) -> Iterator[Sample]:
    files = getattr(made, "samples", None)  # of an ImageFolder: the encoded images themselves
    for number in range(len(made)):
        blob, problem, labels = b"", "", np.zeros(1, np.float32)
        try:
            if isinstance(files, list) and files and isinstance(files[0][0], str):
                image, label = files[number]
            else:
                image, label = made[number]
            labels = np.atleast_1d(np.asarray(label, np.float32))
            blob = _encoded(image, encoding, quality)
        except (TypeError, ValueError, OSError) as error:
            problem = f"{type(error).__name__}: {error}"
        yield Sample(f"number {number}", labels, blob, problem=problem)


def _encoded(image: Any, encoding: str, quality: int) -> bytes:
    """Return an encoded image.

    Raises
    ------
    ValueError          it is not an image
    """
    import cv2

    if isinstance(image, bytes):
        return image
    if isinstance(image, str | os.PathLike):
        return read_whole(image)
    if hasattr(image, "convert"):  # PIL's
        image = image.convert("L" if image.mode in ("L", "1") else "RGB")
    pixels = np.asarray(image)
    gray = pixels.ndim == 2
    if pixels.dtype != np.uint8 or not (gray or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ValueError(
            f"expected an image, uint8 [height, width] or [height, width, 3], got {pixels.dtype} "
            f"{list(pixels.shape)}"
        )
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality] if encoding == ".jpg" else []
    done, encoded = cv2.imencode(encoding, pixels if gray else pixels[:, :, ::-1], flags)
    if not done:
        raise ValueError("OpenCV does not encode it")
    return encoded.tobytes()
