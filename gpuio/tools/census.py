"""What some records of a file hold, counted: labels, sizes, JPEG statistics, images twice.

One pass over the records; what is kept of each is a few numbers.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.recordio.sniff import spread as spread_rows
from gpuio.tasks.box_check import look_like_boxes
from gpuio.tools.classnames import class_names, label_text
from gpuio.tools.entries import Records, entries, named, named_files, open_file
from gpuio.tools.progress import progress
from gpuio.tools.quality import jpeg_quality

__all__ = ["Census", "census", "census_text", "count_files", "objects_of"]

_SHOWN = 10  # lines of a list
_BARS = 20  # widest bar of a histogram, characters
_DIGEST = 16  # bytes
_MEMBERS = 100  # of a group of equal images that are named
_KEPT = 1000  # unusable records, and groups of equal images, that are named


@attrs.define(eq=False)
class Census:
    """Counts of some records.

    Attributes
    ----------
    records : int               looked at
    images : int                of them, with an image
    others : int                with labels and no image, as in InsightFace's layout
    labels : Counter            of first labels; of a detection set, of the classes of its boxes
    boxes : bool                whether it is a detection set
    without_box : int           images of a detection set that have no box
    height, width, bytes : array of int      of each image; bytes of the encoded image
    counts : dict of Counter    "format", "channels", "subsampling", "process", "quality",
                                "orientation", "label width"
    unusable : list of (name, offset, reason)   of the first 1,000
    unusable_count : int
    equal : list of list of str     names of records with the same encoded image, the first 1,000
                                groups, 100 names each; empty where digests
                                    were not asked for
    copies : int                images that an earlier record had, of all
    """

    records: int = 0
    images: int = 0
    others: int = 0
    labels: collections.Counter[float] = attrs.Factory(collections.Counter)
    boxes: bool = False
    without_box: int = 0
    height: array[int] = attrs.Factory(lambda: array("q"))
    width: array[int] = attrs.Factory(lambda: array("q"))
    bytes: array[int] = attrs.Factory(lambda: array("q"))
    counts: dict[str, collections.Counter[str]] = attrs.Factory(
        lambda: collections.defaultdict(collections.Counter)
    )
    unusable: list[tuple[str, int, str]] = attrs.Factory(list)
    unusable_count: int = 0
    equal: list[list[str]] = attrs.Factory(list)
    copies: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as JSON types."""
        return {
            "records": self.records,
            "images": self.images,
            "without_image": self.others,
            "detection": self.boxes,
            "without_box": self.without_box,
            "labels": {label_text(label): count for label, count in self.labels.most_common()},
            "height": spread(self.height),
            "width": spread(self.width),
            "image_bytes": spread(self.bytes),
            "counts": {name: dict(one.most_common()) for name, one in self.counts.items()},
            "unusable_count": self.unusable_count,
            "unusable": [
                {"name": name, "offset": offset, "reason": reason}
                for name, offset, reason in self.unusable
            ],
            "copies": self.copies,
            "equal": self.equal,
        }


def census(
    records: Records,
    rows: npt.NDArray[np.int64] | None = None,
    *,
    digests: bool = False,
    advance: Callable[[int, int], None] | None = None,
) -> Census:
    """Count records.

    Parameters
    ----------
    records : Records
    rows : int64[n], optional       of its table; None: all
    digests : bool                  find images that are stored twice, byte for byte
    advance : callable(done, total), optional

    Raises
    ------
    StorageError            the file cannot be read
    """
    found = Census()
    total = len(records.table) if rows is None else len(rows)
    told, places = bytearray(), array("q")  # digests, and the rows that they are of
    labels: list[npt.NDArray[np.float32]] = []
    for done, entry in enumerate(entries(records, rows), 1):
        found.records += 1
        if advance is not None:
            advance(done, total)
        if entry.error is not None:
            found.unusable_count += 1
            if len(found.unusable) < _KEPT:
                found.unusable.append((entry.name, entry.offset, entry.error.message))
            continue
        info = entry.info
        if info is None:
            found.others += 1
            continue
        found.images += 1
        labels.append(entry.labels)
        if len(labels) == 1 << 16:
            _count_labels(found, labels)
            labels = []
        found.height.append(info.height)
        found.width.append(info.width)
        found.bytes.append(len(entry.blob))
        named = {"format": info.format, "channels": str(info.channels)}
        named |= {"orientation": str(info.orientation), "label width": str(len(entry.labels))}
        if info.format == "jpeg":
            named |= {"subsampling": info.subsampling, "process": info.process}
            quality = jpeg_quality(entry.blob)
            if quality is not None:
                named["quality"] = str(quality[0])
        for name, value in named.items():
            found.counts[name][value] += 1
        if digests:
            told += hashlib.blake2b(entry.blob, digest_size=_DIGEST).digest()
            places.append(done - 1)
    _count_labels(found, labels)
    if digests:
        found.copies, groups = _equal(np.frombuffer(told, np.uint64).reshape(-1, 2))
        found.equal = [[_name(records, rows, places[at]) for at in group] for group in groups]
    return found


def _equal(digests: npt.NDArray[np.uint64]) -> tuple[int, list[list[int]]]:
    """Return how many digests, uint64[n, 2], repeat another, and which are equal, in groups.

    Of many groups the first 1,000 are returned, of a large one the first 100 members.
    """
    order = np.lexsort((np.arange(len(digests)), digests[:, 1], digests[:, 0]))
    same = (digests[order][1:] == digests[order][:-1]).all(1)
    begins = np.flatnonzero(same & ~np.concatenate([[False], same[:-1]]))
    ends = np.flatnonzero(same & ~np.concatenate([same[1:], [False]])) + 2
    first = np.argsort(order[begins], kind="stable")[:_KEPT]
    groups = [
        order[begin : min(end, begin + _MEMBERS)].tolist()
        for begin, end in zip(begins[first].tolist(), ends[first].tolist(), strict=True)
    ]
    return int(np.count_nonzero(same)), groups


def _name(records: Records, rows: npt.NDArray[np.int64] | None, at: int) -> str:
    """Return what the record of a row is called."""
    row = at if rows is None else int(rows[at])
    return named(records.key(row), int(records.number[row]))


def _count_labels(found: Census, labels: Sequence[npt.NDArray[np.float32]]) -> None:
    """Count labels, or the classes of boxes; what the first ones are decides."""
    if not labels:
        return
    if not found.labels and not found.without_box:
        found.boxes = look_like_boxes(labels)
    if not found.boxes:
        firsts = [float(one[0]) for one in labels if len(one)]
        found.labels.update(math.nan if math.isnan(one) else one for one in firsts)
        return
    for one in labels:
        classes = objects_of(one)[:, 0]
        found.without_box += len(classes) == 0
        found.labels.update(classes.tolist())


def objects_of(label: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the objects of a detection label: class, left, top, right, bottom; float32[n, 5]."""
    none = np.empty((0, 5), np.float32)
    if len(label) < 2 or not (2 <= label[0] <= len(label)) or not 5 <= label[1] <= len(label):
        return none
    header, width = int(label[0]), int(label[1])
    count = (len(label) - header) // width
    return label[header : header + count * width].reshape(count, width)[:, :5]


def spread(values: Sequence[int]) -> dict[str, int] | None:
    """Return smallest, quartiles and largest of numbers; None of none."""
    if not values:
        return None
    low, first, half, third, high = np.percentile(values, [0, 25, 50, 75, 100]).tolist()
    names = ("smallest", "quarter", "median", "three_quarters", "largest")
    return dict(zip(names, map(round, (low, first, half, third, high)), strict=True))


def census_text(found: Census, names: Mapping[int, str]) -> str:
    """Return the counts as lines; `names` are the classes'."""
    said = f"{found.records:,} records looked at: {found.images:,} images"
    lines = [f"{said}, {found.others:,} by their layout without, {found.unusable_count:,} unusable"]
    what = "boxes of each class" if found.boxes else "labels"
    total = found.labels.total()
    lines.append(f"{what}: {len(found.labels):,} different, {total:,} in all")
    most = found.labels.most_common()
    largest = most[0][1] if most else 1
    shown = most if len(most) <= 2 * _SHOWN else [*most[:_SHOWN], *most[-_SHOWN:]]
    for number, (label, count) in enumerate(shown):
        if number == _SHOWN and len(shown) < len(most):
            lines.append(f"  ... {len(most) - len(shown):,} more")
        bar = "#" * max(1, round(_BARS * count / largest))
        lines.append(f"  {named_label(label, names):20} {count:>9,} {bar}")
    if found.boxes:
        lines.append(f"images without a box: {found.without_box:,}")
    for what, values in (
        ("height", found.height),
        ("width", found.width),
        ("image bytes", found.bytes),
    ):
        told = spread(values)
        if told:
            lines.append(
                f"{what}: {told['smallest']:,} to {told['largest']:,}, median {told['median']:,}, "
                f"half of them {told['quarter']:,} to {told['three_quarters']:,}"
            )
    for name, counter in found.counts.items():
        told_of = ", ".join(f"{value} ({count:,})" for value, count in counter.most_common(_SHOWN))
        more = len(counter) - _SHOWN
        lines.append(f"{name}: {told_of}" + (f", {more:,} more" if more > 0 else ""))
    if found.copies:
        lines.append(f"images that an earlier record holds, byte for byte: {found.copies:,}")
        lines += [f"  {' = '.join(group[:5])}" for group in found.equal[:_SHOWN]]
    lines += [
        f"unusable: {name} at byte {offset}: {reason}"
        for name, offset, reason in found.unusable[:_SHOWN]
    ]
    if found.unusable_count > _SHOWN:
        lines.append(f"and {found.unusable_count - _SHOWN:,} more unusable records")
    return "\n".join(lines)


def named_label(label: float, names: Mapping[int, str]) -> str:
    """Return a label, and the name of its class where it has one."""
    name = names.get(int(label)) if np.isfinite(label) and label == np.floor(label) else None
    return label_text(label) if name is None else f"{label_text(label)} {name}"


def count_files(args: argparse.Namespace) -> int:
    """Print what the records of each file hold; return 1 if some are not images, else 0.

    `args` has records, idx, sample, json and progress.
    """
    found: list[dict[str, Any]] = []
    for path, idx in named_files(args):
        records = open_file(path, idx, progress=args.progress)
        total = len(records.table)
        rows = None
        if args.sample is not None and args.sample < total:
            rows = np.unique(spread_rows(0, total, args.sample))
        with progress(f"counting {path}", args.progress) as advance:
            counted = census(records, rows, digests=True, advance=advance)
        if not args.json:
            print(
                "\n" * bool(found) + f"{path}: {records.table.sizes[0]:,} bytes, {total:,} records"
            )
            print(census_text(counted, class_names(path)))
        found.append({"path": path, **counted.as_dict()})
    if args.json:
        print(json.dumps(found[0] if len(found) == 1 else {"files": found}, indent=1))
    return 1 if any(one["unusable_count"] for one in found) else 0
