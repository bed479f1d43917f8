"""What notebooks show of iterators, batches, record files and plans: small grids, as HTML.

Called by ``_repr_html_`` of those, through `gpuio.hooks`. Nothing moves: no batch is made for it,
and a record file stays where it is.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import GpuioError
from gpuio.nd import asnumpy
from gpuio.tools.classnames import class_names, label_text
from gpuio.tools.entries import open_file
from gpuio.tools.page import gallery, table
from gpuio.tools.tiles import Tile, tiles_of

__all__ = ["batch_html", "iterator_html", "plan_html", "record_html"]

_IMAGES = 12
_EDGE = 96
_ROWS = 8
_STYLE = (
    "<style>.gpuio .gallery{display:flex;flex-wrap:wrap;gap:6px}.gpuio figure{margin:0}"
    ".gpuio figcaption{font-size:80%;opacity:.75}.gpuio td,.gpuio th{text-align:left;"
    "padding:0 .8em 0 0}.gpuio .bad figcaption{color:#c0392b}</style>"
)


def _framed(title: str, *parts: str) -> str:
    return f'{_STYLE}<div class="gpuio"><code>{html.escape(title)}</code>{"".join(parts)}</div>'


def batch_html(batch: Any) -> str:
    """Return the first images of a batch with their labels; without images its repr."""
    data = batch.data[0] if batch.data else None
    shape = tuple(getattr(data, "shape", ()))
    layout = "NCHW" if len(shape) == 4 and shape[1] in (1, 3, 4) else "NHWC"
    if data is None or len(shape) != 4 or shape[1 if layout == "NCHW" else 3] not in (1, 3, 4):
        return _framed(repr(batch))
    pixels = asnumpy(data[:_IMAGES]).astype(np.float32)
    pixels = pixels.transpose(0, 2, 3, 1) if layout == "NCHW" else pixels
    label = asnumpy(batch.label[0][:_IMAGES]) if batch.label else None
    good = len(pixels) if batch.index is None else len(np.atleast_1d(asnumpy(batch.index)))
    tiles = [
        Tile(image, f"{row}", "" if label is None else _label(label[row]))
        for row, image in enumerate(_bytes(pixels)[:good])
    ]
    parts = [gallery(tiles)]
    if batch.plan is not None:
        summary = f"<summary>plan: {len(batch.plan)} rows</summary>"
        parts.append(f"<details>{summary}{_plan_table(batch.plan)}</details>")
    return _framed(repr(batch), *parts)


def _bytes(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return images of three channels; what is not 0 to 255 is stretched to it, all alike."""
    finite = np.nan_to_num(pixels[..., :3])
    low, high = float(finite.min(initial=0)), float(finite.max(initial=0))
    if low < 0 or high > 255 or 0 < high <= 1:
        finite = (finite - low) * (255 / max(high - low, 1e-9))
    made = np.clip(np.rint(finite), 0, 255).astype(np.uint8)
    return np.repeat(made, 3, 3) if made.shape[3] == 1 else made


def _label(value: Any) -> str:
    """Return a row of labels, a few of them."""
    values = np.atleast_1d(value).reshape(-1)
    told = " ".join(map(label_text, values[:_ROWS].tolist()))
    return told + (" ..." if len(values) > _ROWS else "")


def plan_html(rows: npt.NDArray[np.void]) -> str:
    """Return the rows of a plan, the fields that say anything."""
    return _framed(f"plan of {rows.size} rows", _plan_table(rows))


def _plan_table(rows: npt.NDArray[np.void]) -> str:
    """Return a table of a plan's first rows: the fields that are not zero in all of them."""
    some = np.atleast_1d(np.asarray(rows))[:_ROWS]
    names = [name for name in some.dtype.names or () if np.any(some[name])]
    told = [[_value(row[name]) for name in names] for row in some]
    more = f"<p>{rows.size - len(some)} more rows</p>" if rows.size > len(some) else ""
    return f'<div style="overflow-x:auto">{table(told, names)}</div>{more}'


def _value(value: Any) -> str:
    return " ".join(f"{one:g}" for one in np.atleast_1d(value).tolist())


def record_html(record: Any) -> str:
    """Return the first images of a record file that is open for reading; else its repr."""
    path = record._path  # noqa: SLF001 -- its own name is MXNet's, a C string
    if record.flag != "r":
        return _framed(repr(record))
    return _framed(repr(record), _grid(path, getattr(record, "idx_path", None)))


def iterator_html(iterator: Any) -> str:
    """Return what an iterator hands out, its options, and the first images of its files."""
    rows = [
        (which, one[0], " x ".join(map(str, one[1])))
        for which in ("provide_data", "provide_label")
        for one in getattr(iterator, which, None) or ()
    ]
    parts = [table(rows)]
    options = getattr(iterator, "options", None)
    title = type(iterator).__name__
    paths = getattr(options, "path_imgrec", ())
    if options is not None and hasattr(options, "as_dict"):
        given = options.as_dict()
        parts.append(table([(name, f"{value!r}") for name, value in given.items()]))
        indexes = getattr(options, "path_imgidx", ())
        first = paths[0] if isinstance(paths, tuple | list) and paths else paths
        index = indexes[0] if isinstance(indexes, tuple | list) and indexes else indexes
        if isinstance(first, str) and first:
            parts.append(_grid(first, index if isinstance(index, str) and index else None))
    return _framed(title, *parts)


def _grid(path: str, idx: str | None) -> str:
    """Return the first images of a record file; "" where it cannot be read."""
    try:
        return gallery(_tiles(path, idx))
    except (GpuioError, ValueError):
        return ""


def _tiles(path: str, idx: str | None) -> Iterator[Tile]:
    records = open_file(path, idx, "auto")
    rows = np.arange(min(_IMAGES, len(records.table)))
    yield from tiles_of(records, rows, _EDGE, class_names(path), boxes=False)
