"""info: what a record file holds, from its headers only."""

from __future__ import annotations

import argparse
import collections
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.pipeline.boxes import boxes_text, count_boxes
from gpuio.recordio.index import RecordTable
from gpuio.recordio.layouts import recognise
from gpuio.recordio.sniff import spread
from gpuio.tools.arguments import at_least
from gpuio.tools.classnames import label_text
from gpuio.tools.entries import (
    Entry,
    Records,
    add_files_arguments,
    entries,
    named,
    named_files,
    open_file,
)
from gpuio.tools.mending import repair_line
from gpuio.tools.progress import add_progress, progress
from gpuio.tools.quality import jpeg_quality

__all__ = ["add_arguments", "run", "survey"]

EXAMPLES = ("gpuio info train.rec", "gpuio info train.rec --labels --json")
EXITS = {1: "some records looked at are not images, or the file is damaged"}

_SHOWN = 12  # most common values of a count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_files_arguments(parser)
    parser.add_argument(
        "--sample", type=at_least(1), default=10_000, help="records to look into, at most"
    )
    parser.add_argument(
        "--labels", action="store_true", help="read every label, for the number of classes"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Print what each file holds.

    Returns
    -------
    int         0 all records looked at are images, 1 some are not, or the file is damaged, 3 a file
                could not be read
    """
    found: list[dict[str, Any]] = []
    for path, idx in named_files(args):
        records = open_file(path, idx, progress=args.progress)
        with progress(f"looking into {path}", args.progress) as advance:
            facts = survey(records, args.sample, every_label=args.labels, advance=advance)
        if not args.json:
            print("\n" * bool(found) + _text(facts))
        found.append(facts)
    if args.json:
        print(json.dumps(found[0] if len(found) == 1 else {"files": found}, indent=1))
    return 1 if any(facts["unusable"] for facts in found) else 0


def survey(
    records: Records,
    sample: int = 10_000,
    *,
    every_label: bool = False,
    advance: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Look into records, evenly spread over the file.

    Parameters
    ----------
    records : Records           of one file, as plain
    sample : int                records to look into, at most
    every_label : bool          compare the number of classes with every label, not only with those
                                of the records looked into
    advance : callable(done, total), optional

    Returns
    -------
    dict of JSON types          the file's layout; counts by format, size, channels, subsampling,
                                process, quality, label width, orientation; labels; boxes of a
                                detection set, None for another; records that are not images, with
                                their reasons; record sizes in bytes
    """
    table = records.table
    chosen = np.unique(spread(0, len(table), min(sample, len(table))))
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    unusable: list[dict[str, Any]] = []
    pixels: list[int] = []
    labels: list[npt.NDArray[np.float32]] = []
    markers = 0
    for done, entry in enumerate(entries(records, chosen), 1):
        if advance is not None:
            advance(done, len(chosen))
        if entry.error is not None:
            unusable.append(
                {
                    "record": entry.number,
                    "key": entry.key,
                    "offset": entry.offset,
                    "reason": entry.error.message,
                }
            )
        elif entry.info is None:
            markers += 1  # InsightFace's header and identity records hold no image
        else:
            pixels.append(entry.info.height * entry.info.width)
            labels.append(entry.labels)
            _count(counts, entry)
    lengths = table.length
    described = _labels(labels)
    return {
        "path": table.paths[0],
        "bytes": int(table.sizes[0]),
        "records": len(table),
        "looked_at": len(chosen),
        **_layout(table, records.contents.payload, described["largest"], every_label=every_label),
        "record_bytes": {
            "smallest": int(lengths.min()),
            "median": int(np.median(lengths)),
            "largest": int(lengths.max()),
        },
        "mean_pixels": round(float(np.mean(pixels))) if pixels else 0,
        "identity_records": markers,
        "counts": {name: dict(counter.most_common(_SHOWN)) for name, counter in counts.items()},
        "counted": {name: counter.total() for name, counter in counts.items()},
        "labels": described,
        "boxes": count_boxes(labels),
        "unusable": unusable[:100],
        "unusable_count": len(unusable),
    }


def _layout(
    table: RecordTable, payload: str, largest: float | None, *, every_label: bool
) -> dict[str, Any]:
    """Return how the records are arranged, with InsightFace's numbers.

    `largest` is the largest first label seen; the number of classes is not below it.
    """
    if payload == "raw":
        return {"layout": "bare images"}
    found = recognise(table, payload=payload)
    (faces,) = found.faces
    if faces is None:
        return {"layout": "plain"}
    classes = found.num_classes() if every_label else found.stated_classes()
    if classes is not None and largest is not None:
        classes = max(classes, math.floor(largest) + 1)
    return {
        "layout": "insightface",
        "images": faces.images,
        "identities": faces.identities,
        "num_classes": classes,
    }


def _count(counts: dict[str, collections.Counter[str]], entry: Entry) -> None:
    """Count what an image's header says."""
    info = entry.info
    assert info is not None
    counts["format"][info.format] += 1
    counts["size"][f"{info.width}x{info.height}"] += 1
    counts["channels"][str(info.channels)] += 1
    counts["label width"][str(len(entry.labels))] += 1
    counts["orientation"][str(info.orientation)] += 1
    if info.format == "jpeg":
        counts["subsampling"][info.subsampling] += 1
        counts["process"][info.process] += 1
        quality = jpeg_quality(entry.blob)
        if quality is not None:
            counts["quality"][f"{'' if quality[1] else '~'}{quality[0]}"] += 1


def _labels(each: list[npt.NDArray[np.float32]]) -> dict[str, Any]:
    """Return a histogram of the records' first labels, and how many labels are not classes."""
    values = np.concatenate(each) if each else np.empty(0, np.float32)
    finite = values[np.isfinite(values)]
    first = np.array([labels[0] for labels in each if len(labels)], np.float32)
    distinct, counts = np.unique(first[np.isfinite(first)], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_SHOWN]
    return {
        "values": len(values),
        "distinct": len(distinct),
        "smallest": float(distinct[0]) if len(distinct) else None,
        "largest": float(distinct[-1]) if len(distinct) else None,
        "rarest_count": int(counts.min()) if len(counts) else 0,
        "nan": int(np.isnan(values).sum()),
        "infinite": int(np.isinf(values).sum()),
        "negative": int((finite < 0).sum()),
        "fractional": int((finite != np.floor(finite)).sum()),
        "most_common": {label_text(distinct[at]): int(counts[at]) for at in order},
    }


def _text(facts: dict[str, Any]) -> str:
    """Return the facts as lines."""
    size = facts["record_bytes"]
    lines = [f"{facts['path']}: {facts['bytes']:,} bytes, {facts['records']:,} records"]
    lines.append(
        f"looked into {facts['looked_at']:,}; record bytes {size['smallest']:,} to "
        f"{size['largest']:,}, median {size['median']:,}; mean {facts['mean_pixels']:,} pixels"
    )
    if facts["layout"] == "insightface":
        lines.append(
            f"layout: InsightFace, {facts['images']:,} images and {facts['identities']:,} "
            f"identities; classes: {facts['num_classes']}"
        )
    else:
        lines.append(f"layout: {facts['layout']}")
    for name, counter in facts["counts"].items():
        total = facts["counted"][name]
        shown = [f"{value} ({count}, {count / total:.1%})" for value, count in counter.items()]
        others = total - sum(counter.values())
        shown += [f"others ({others}, {others / total:.1%})"] if others else []
        lines.append(f"{name}: {', '.join(shown)}")
    if facts["boxes"] is None:
        lines += _label_text(facts["labels"])
    else:
        lines += boxes_text(facts["boxes"])
    if facts["identity_records"]:
        lines.append(f"records with labels and no image: {facts['identity_records']}")
    lines += [
        f"unusable: {named(bad['key'], bad['record'])} at byte {bad['offset']}: {bad['reason']}"
        for bad in facts["unusable"][:20]
    ]
    if facts["unusable_count"] > 20:
        lines.append(f"and {facts['unusable_count'] - 20} more unusable records")
    if facts["unusable_count"]:
        lines.append(repair_line(facts["path"]))
    return "\n".join(lines)


def _label_text(labels: dict[str, Any]) -> list[str]:
    """Return the labels as lines."""
    if not labels["values"]:
        return []
    lines = []
    if labels["distinct"]:
        smallest, largest = label_text(labels["smallest"]), label_text(labels["largest"])
        common = ", ".join(f"{value} ({count})" for value, count in labels["most_common"].items())
        lines.append(
            f"first labels: {labels['distinct']:,} values from {smallest} to "
            f"{largest}, the rarest {labels['rarest_count']} times; most common: "
            f"{common}"
        )
    odd = ("nan", "infinite", "negative", "fractional")
    if any(labels[name] for name in odd):
        counted = ", ".join(f"{labels[name]} {name}" for name in odd if labels[name])
        lines.append(f"labels that are not classes: {counted}")
    return lines
