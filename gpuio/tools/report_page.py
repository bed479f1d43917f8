"""The page that `gpuio show --html` writes of a record file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from gpuio.tools.census import Census, named_label
from gpuio.tools.entries import Records
from gpuio.tools.page import bars, columns, gallery, page, section, table
from gpuio.tools.tiles import Tile

__all__ = ["file_page"]

_LABELS = 40  # bars of the histogram of labels
_BINS = 12
_BAD = 200  # rows of the table of unusable records
_NAMES = {
    "format": "Format",
    "subsampling": "JPEG: chroma subsampling",
    "process": "JPEG: process",
    "quality": "JPEG: quality, by libjpeg's scale",
    "channels": "Channels",
    "orientation": "EXIF orientation",
    "label width": "Labels per record",
}


def file_page(
    records: Records,
    counted: Census,
    names: Mapping[int, str],
    groups: Sequence[tuple[str, Sequence[Tile]]],
) -> str:
    """Return a page of HTML.

    Parameters
    ----------
    records : Records
    counted : Census        of the records looked at
    names : dict            of the classes
    groups : sequence of (title, tiles)     the contact sheet; a title may be ""
    """
    table_of = records.table
    path = Path(table_of.paths[0])
    facts = [
        ("bytes", int(table_of.sizes[0])),
        ("records", records.total),
        ("images", len(table_of)),
        ("looked at", counted.records),
        ("unusable, of those", counted.unusable_count),
        ("classes with a name", len(names)),
    ]
    parts = [section("File", table(facts))]
    parts.append(_labels(counted, names))
    parts += _sizes(counted)
    parts += [
        section(title, bars(*_by_value(counted.counts[name].most_common())))
        for name, title in _NAMES.items()
        if counted.counts.get(name)
    ]
    sheet = "".join(
        (f"<h3>{title}</h3>" if title else "") + gallery(tiles, wide=counted.boxes)
        for title, tiles in groups
    )
    whole = [columns(parts), section("Contact sheet", sheet)]
    if counted.unusable:
        rows = [(name, offset, reason) for name, offset, reason in counted.unusable[:_BAD]]
        more = counted.unusable_count - len(rows)
        said = f"{more:,} more are not listed" if more else ""
        head = ("record", "byte", "reason")
        whole.append(section("Unusable records", table(rows, head), said=said))
    return page(path.name, whole)


def _labels(counted: Census, names: Mapping[int, str]) -> str:
    """Return the histogram of labels, or of the classes of boxes."""
    most = sorted(  # those that are as common in ascending order, NaN last
        counted.labels.items(), key=lambda one: (-one[1], math.isnan(one[0]), one[0])
    )
    shown = [(named_label(label, names), count) for label, count in most[:_LABELS]]
    more = f"{len(most) - len(shown):,} more" if len(most) > len(shown) else ""
    if not counted.boxes:
        return section("Labels", bars(shown, more), said=f"{len(most):,} different first labels")
    said = f"{counted.labels.total():,} boxes; {counted.without_box:,} images have none"
    return section("Boxes of each class", bars(shown, more), said=said)


def _sizes(counted: Census) -> Iterator[str]:
    """Yield the histograms of sizes."""
    for title, values, unit in (
        ("Width", counted.width, "pixels"),
        ("Height", counted.height, "pixels"),
        ("Encoded image", counted.bytes, "bytes"),
    ):
        if values:
            yield section(title, bars(_binned(values)), said=unit)


def _binned(values: Sequence[int]) -> list[tuple[str, int]]:
    """Return numbers in bins of one width, or one by one where they are few."""
    distinct, counts = np.unique(np.asarray(values), return_counts=True)
    if len(distinct) <= _BINS:
        return [(f"{one:,}", int(count)) for one, count in zip(distinct, counts, strict=True)]
    low, high = int(distinct[0]), int(distinct[-1])
    step = -(-(high - low + 1) // _BINS)
    edges = np.arange(low, low + (_BINS + 1) * step, step)
    counts, _ = np.histogram(values, edges)
    return [
        (f"{begin:,} to {begin + step - 1:,}", int(count))
        for begin, count in zip(edges[:-1].tolist(), counts.tolist(), strict=True)
        if begin <= high
    ]


def _by_value(counts: list[tuple[str, int]]) -> tuple[list[tuple[str, int]], str]:
    """Return the most common values, sorted as numbers where they are some, and what is missing."""
    shown = counts[:_BINS]
    more = sum(count for _, count in counts[_BINS:])
    if all(name.lstrip("-").isdecimal() for name, _ in shown):
        shown.sort(key=lambda one: int(one[0]))
    return shown, f"{len(counts) - _BINS:,} other values, {more:,} images" if more else ""
