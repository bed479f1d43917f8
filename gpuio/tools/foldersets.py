"""Class folders, as torchvision's ImageFolder has them: FOLDER/CLASS/any/where/IMAGE."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from gpuio.errors import StorageError
from gpuio.storage.files import read_whole
from gpuio.tools.classnames import label_text
from gpuio.tools.extract import write_image
from gpuio.tools.sample import Foreign, Sample

__all__ = ["read_folders", "write_into_folder"]

# torchvision.datasets.folder.IMG_EXTENSIONS
_IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def write_into_folder(
    sample: Sample, folder: Path, names: Mapping[int, str], *, resume: bool
) -> None:
    """Write a sample's image into the folder of its first label.

    Raises
    ------
    StorageError        it is there and another one, or cannot be written
    """
    label = sample.labels[0] if len(sample.labels) else 0
    name = names.get(int(label), label_text(label)) if np.isfinite(label) else label_text(label)
    # a name is one folder, whatever it holds
    safe = name.replace("/", "_").replace("\0", "_")
    safe = f"_{safe}" if safe in {".", ".."} else safe
    write_image(folder / safe / f"{sample.name}{sample.suffix}", sample.blob, resume=resume)


def read_folders(source: str) -> Foreign:
    """Return the images of class folders; classes are numbered in the order of their names.

    Raises
    ------
    StorageError        it is no folder, or holds no folder with images
    """
    root = Path(source)
    if not root.is_dir():
        if not root.exists():
            raise StorageError("cannot open: no such file or folder", path=source)
        raise StorageError(
            "expected a .rec, .tar or .parquet file or a folder, by its name; --from says what "
            "another file is",
            path=source,
        )
    classes = sorted(one.name for one in root.iterdir() if one.is_dir() and one.name[0] != ".")
    found = [
        (str(path), number) for number, name in enumerate(classes) for path in _images(root / name)
    ]
    if not found:
        raise StorageError(
            "no image in a folder of this folder: expected FOLDER/CLASS/IMAGE; `gpuio im2rec` "
            "packs other trees",
            path=source,
        )
    made_of: list[object] = [[os.path.relpath(path, root), number] for path, number in found]
    return Foreign(_samples(found), len(found), dict(enumerate(classes)), made_of)


def _images(folder: Path) -> Iterator[Path]:
    """Yield the images below a folder in torchvision's order."""
    for where, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(files):
            if name.lower().endswith(_IMAGES):
                yield Path(where, name)


def _samples(found: list[tuple[str, int]]) -> Iterator[Sample]:
    for path, number in found:
        blob, problem = b"", ""
        try:
            blob = read_whole(path)
        except StorageError as error:
            problem = error.message
        yield Sample(path, np.array([number], np.float32), blob, problem=problem)
