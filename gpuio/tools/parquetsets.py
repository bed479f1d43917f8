"""Parquet files of images as the datasets library has them: a column image {bytes, path}, a label.

Needs pyarrow: ``pip install 'gpuio[parquet]'``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gpuio.errors import BackendError, FormatError, OptionError, StorageError
from gpuio.storage.paths import unusable
from gpuio.tools.sample import Foreign, Sample, shard_paths, whole_label

__all__ = ["read_parquet", "write_parquet"]

_IMAGES = ("image", "img", "jpg", "jpeg", "png")
_LABELS = ("label", "labels", "fine_label", "cls", "class", "target")
_ROWS = 64  # read at once
_GROUP = 100  # rows of a row group, as the datasets library writes images


def _arrow() -> Any:
    """Return pyarrow with its parquet module.

    Raises
    ------
    BackendError        it is not installed
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise BackendError(
            "Parquet needs pyarrow, which is not installed: pip install 'gpuio[parquet]'"
        ) from error
    return pa


def write_parquet(
    samples: Iterable[Sample], file: BinaryIO, names: Mapping[int, str], *, several: bool
) -> None:
    """Write samples as one Parquet file.

    Parameters
    ----------
    samples : iterable of Sample
    file : binary file
    names : dict            of the classes
    several : bool          the column "label" holds lists of numbers, not classes

    Raises
    ------
    FormatError             a label is not one class, and `several` is false
    """
    arrow = _arrow()
    picture = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    kind = arrow.list_(arrow.float32()) if several else arrow.int64()
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    if several:
        number = {"dtype": "float32", "_type": "Value"}
        features["label"] = {"feature": number, "_type": "Sequence"}
    elif names and sorted(names) == list(range(len(names))):
        told = [names[number] for number in sorted(names)]
        features["label"] = {"names": told, "_type": "ClassLabel"}
    else:
        features["label"] = {"dtype": "int64", "_type": "Value"}
    schema = arrow.schema(
        [("image", picture), ("label", kind)],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    waiting = iter(samples)
    with arrow.parquet.ParquetWriter(file, schema) as writer:
        while group := list(itertools.islice(waiting, _GROUP)):
            images = [
                {"bytes": bytes(one.blob), "path": f"{one.name}{one.suffix}"} for one in group
            ]
            labels = [one.labels.tolist() if several else _class(one) for one in group]
            writer.write_table(arrow.table({"image": images, "label": labels}, schema=schema))


def _class(sample: Sample) -> int:
    """Return the class that a sample's label is."""
    label = whole_label(sample.labels)
    if label is None:
        raise FormatError(
            f"{sample.name}: its labels {sample.labels.tolist()[:4]} are not one class, as those "
            "of the records looked at first are: --label-lists writes lists"
        )
    return label


def read_parquet(source: str, image: str | None = None, label: str | None = None) -> Foreign:
    """Return the samples of a Parquet file, or of those of a folder.

    Parameters
    ----------
    source : str
    image, label : str, optional        the columns; by default the first of the usual names

    Raises
    ------
    StorageError            there is none, or it cannot be read
    FormatError             it is not a Parquet file
    OptionError             there is no such column
    BackendError            pyarrow is not installed
    """
    arrow = _arrow()
    paths = shard_paths(source, ".parquet")
    if not paths:
        raise StorageError("the folder holds no .parquet file", path=source)
    opened = []
    for path in paths:
        try:
            opened.append(arrow.parquet.ParquetFile(path))
        except OSError as error:
            raise unusable("cannot open", error, path) from error
        except arrow.ArrowInvalid as error:
            raise FormatError(f"not a Parquet file: {error}", path=str(path)) from error
    schema = opened[0].schema_arrow
    columns = [
        _column(schema.names, given, usual, what)
        for given, usual, what in ((image, _IMAGES, "image"), (label, _LABELS, "label"))
    ]
    made_of: list[object] = [[path.name, path.stat().st_size] for path in paths]
    count = sum(file.metadata.num_rows for file in opened)
    samples = (
        one
        for path, file in zip(paths, opened, strict=True)
        for one in _samples(path, file, columns)
    )
    return Foreign(samples, count, _names(schema, columns[1]), [*made_of, columns])


def _column(names: Sequence[str], given: str | None, usual: Sequence[str], what: str) -> str:
    """Return the name of a column."""
    known = [one for one in ([given] if given else usual) if one in names]
    if not known:
        asked = f"no column {given}" if given else f"no column of a usual name for the {what}"
        raise OptionError(
            f"{asked}: the file has {', '.join(names)}; name one with --{what}-column"
        )
    return known[0]


def _names(schema: Any, label: str) -> dict[int, str]:
    """Return the class names in the metadata that the datasets library writes."""
    try:
        told = json.loads((schema.metadata or {})[b"huggingface"])
        return dict(enumerate(told["info"]["features"][label]["names"]))
    except (KeyError, TypeError, ValueError):
        return {}


def _samples(path: Path, file: Any, columns: Sequence[str]) -> Iterator[Sample]:
    """Yield the rows of one file."""
    number = 0
    for batch in file.iter_batches(batch_size=_ROWS, columns=list(columns)):
        for row in batch.to_pylist():
            picture, label = (row[column] for column in columns)
            blob = picture.get("bytes") if isinstance(picture, dict) else picture
            problem = ""
            labels = np.zeros(1, np.float32)
            try:
                labels = np.atleast_1d(np.asarray(label, np.float32))
            except (TypeError, ValueError):
                problem = f"its label is {label!r}, not a number"
            if label is None:
                problem = "it has no label"
            if not isinstance(blob, bytes):
                blob, problem = b"", "it holds no encoded image"
            yield Sample(f"{path.name} row {number}", labels, blob, problem=problem)
            number += 1
