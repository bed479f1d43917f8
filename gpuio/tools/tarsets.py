"""WebDataset's tar files: KEY.jpg beside KEY.cls, or KEY.json where labels are not one class.

Members of one sample follow each other and have one name up to the first dot behind the last slash,
as in WebDataset.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, StorageError
from gpuio.storage.paths import unusable
from gpuio.tools.sample import Foreign, Sample, shard_paths, whole_label

__all__ = ["read_tars", "write_tar"]

_IMAGES = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "ppm", "pgm", "gif")
_LABELS = ("label", "labels", "cls", "class", "target")


def write_tar(samples: Iterable[Sample], file: BinaryIO) -> None:
    """Write samples as one tar file."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            _add(tar, f"{sample.name}{sample.suffix}", bytes(sample.blob))
            label = whole_label(sample.labels)
            if label is None:
                told = json.dumps({"label": [float(f"{one:.9g}") for one in sample.labels]})
                _add(tar, f"{sample.name}.json", told.encode())
            else:
                _add(tar, f"{sample.name}.cls", str(label).encode())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def read_tars(source: str) -> Foreign:
    """Return the samples of a tar file, or of the tar files of a folder.

    Raises
    ------
    StorageError        there is none, or it cannot be read
    FormatError         when read: it is not a tar file, or is cut short
    """
    paths = shard_paths(source, ".tar")
    if not paths:
        raise StorageError("the folder holds no .tar file", path=source)
    try:
        made_of: list[object] = [[path.name, path.stat().st_size] for path in paths]
    except OSError as error:
        raise unusable("cannot open", error, source) from error
    return Foreign((one for path in paths for one in _samples(path)), 0, {}, made_of)


def _samples(path: Path) -> Iterator[Sample]:
    """Yield the samples of one tar file."""
    name, parts = "", dict[str, bytes]()
    try:
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isfile() else None
                if content is None:
                    continue
                folder, slash, last = member.name.rpartition("/")
                stem, _, kind = last.partition(".")
                if folder + slash + stem != name and parts:
                    yield _sample(name, parts)
                    parts = {}
                name = folder + slash + stem
                parts[kind.lower()] = content.read()
    except (tarfile.TarError, EOFError) as error:
        raise FormatError(f"not a whole tar file: {error}", path=str(path)) from error
    except OSError as error:
        raise unusable("cannot read", error, path) from error
    if parts:
        yield _sample(name, parts)


def _sample(name: str, parts: dict[str, bytes]) -> Sample:
    """Return the sample of some members, by what stands behind the first dot of their names."""
    images = [kind for kind in parts if kind.rpartition(".")[2] in _IMAGES]
    labels, problem = np.zeros(1, np.float32), ""
    try:
        if "cls" in parts:
            labels = np.array([float(parts["cls"])], np.float32)
        elif "json" in parts:
            labels = _of_json(json.loads(parts["json"]))
        else:
            problem = "no label: neither .cls nor .json"
    except (ValueError, TypeError) as error:
        problem = f"its label cannot be read: {error}"
    if len(images) != 1:
        problem = f"{len(images)} images"
    return Sample(name, labels, parts[images[0]] if images else b"", problem=problem)


def _of_json(told: Any) -> npt.NDArray[np.float32]:
    """Return the labels that a JSON value holds: a number, numbers, or an object of some."""
    if isinstance(told, dict):
        known = [one for one in _LABELS if one in told]
        if not known:
            raise ValueError(f"no {', '.join(_LABELS)} in .json")
        told = told[known[0]]
    return np.atleast_1d(np.asarray(told, np.float32))
