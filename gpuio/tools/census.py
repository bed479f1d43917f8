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
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.decode.formats import FORMATS, ImageInfo
from gpuio.kernels.plan.box_label import ONE_OBJECT
from gpuio.recordio.sniff import spread as spread_rows
from gpuio.tasks.box_check import look_like_boxes
from gpuio.tools.blocks import Block
from gpuio.tools.classnames import class_names, label_text
from gpuio.tools.entries import Entry, Records, blocks, named, named_files, open_file
from gpuio.tools.mending import repair_line
from gpuio.tools.progress import progress
from gpuio.tools.quality import jpeg_qualities, jpeg_quality

__all__ = ["Census", "census", "census_text", "count_files", "objects_of"]

_SHOWN = 10  # lines of a list
_BARS = 20  # widest bar of a histogram, characters
_DIGEST = 16  # bytes
_PART_BITS = 4  # of a digest, by which they are divided
_MEMBERS = 100  # of a group of equal images that are named
_JPEG = FORMATS.index("jpeg")
_HEADS = ("kind", "height", "width", "channels", "orientation", "frame", "sampling", "size")
_COLUMNS = (*_HEADS, "labels", "quality")
_DECIDE = 1 << 16  # images
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
    height: array[int] = attrs.Factory(lambda: array("i"))
    width: array[int] = attrs.Factory(lambda: array("i"))
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
    found, labels = Census(), _Labels()
    total = len(records.table) if rows is None else len(rows)
    told = np.zeros((total if digests else 0, 2), np.uint64)
    known = np.zeros(len(told), np.bool_)  # records whose digest is there
    for block, others in blocks(records, rows):
        begun, images = found.records, _Images.of(block)
        if digests and block.sound.any():
            at_once = np.frombuffer(b"".join(map(_digest, block.blobs())), np.uint64)
            told[begun : begun + len(block.rows)][block.sound] = at_once.reshape(-1, 2)
            known[begun : begun + len(block.rows)] = block.sound
        rare: dict[int, npt.NDArray[np.float32]] = {}  # labels of images read in Python
        for at in np.flatnonzero(~block.sound).tolist():
            entry = others(at)
            if _is_image(found, entry):
                images.put(at, entry)
                rare[at] = entry.labels
                if digests:
                    told[begun + at] = np.frombuffer(_digest(entry.blob), np.uint64)
                    known[begun + at] = True
            if advance is not None:
                advance(begun + at + 1, total)
        found.records += len(block.rows)
        _count_images(found, images)
        labels.add(found, block, rare)
        if advance is not None:
            advance(found.records, total)
    labels.end(found)
    if digests:
        found.copies, groups = _equal(told, known)
        found.equal = [[_name(records, rows, at) for at in group] for group in groups]
    return found


def _digest(blob: bytes | memoryview) -> bytes:
    """Return what an encoded image is known by."""
    return hashlib.blake2b(blob, digest_size=_DIGEST).digest()


def _is_image(found: Census, entry: Entry) -> bool:
    """Count a record that is not an image; say whether it is one."""
    if entry.error is not None:
        found.unusable_count += 1
        if len(found.unusable) < _KEPT:
            found.unusable.append((entry.name, entry.offset, entry.error.message))
    elif entry.info is None:
        found.others += 1
    return entry.info is not None


def _equal(
    digests: npt.NDArray[np.uint64], known: npt.NDArray[np.bool_]
) -> tuple[int, list[list[int]]]:
    """Return how many digests, uint64[n, 2], repeat another, and which are equal, in groups.

    Those that are not `known`, bool[n], are not looked at. Of many groups the first 1,000 are
    returned, of a large one the first 100 members. Digests are sorted by their highest bits first,
    so that little memory is needed beside them.
    """
    copies, groups = 0, list[list[int]]()
    for part in range(1 << _PART_BITS):
        mine = np.flatnonzero(known & (digests[:, 0] >> np.uint64(64 - _PART_BITS) == part))
        some = digests[mine]
        order = np.lexsort((some[:, 1], some[:, 0]))  # equal ones stay in their order
        some, mine = some[order], mine[order]
        same = (some[1:] == some[:-1]).all(1)
        copies += int(np.count_nonzero(same))
        begins = np.flatnonzero(same & ~np.concatenate([[False], same[:-1]]))
        ends = np.flatnonzero(same & ~np.concatenate([same[1:], [False]])) + 2
        for group in np.argsort(mine[begins])[:_KEPT].tolist():
            begin = int(begins[group])
            groups.append(mine[begin : min(int(ends[group]), begin + _MEMBERS)].tolist())
        groups = sorted(groups)[:_KEPT]
    return copies, groups


def _name(records: Records, rows: npt.NDArray[np.int64] | None, at: int) -> str:
    """Return what the record of a row is called."""
    row = at if rows is None else int(rows[at])
    return named(records.key(row), int(records.number[row]))


@attrs.frozen(eq=False)
class _Images:
    """What the images of a block are: int64[n] each; 0 where a record has none, of kind, too."""

    is_image: npt.NDArray[np.bool_]
    columns: dict[str, npt.NDArray[np.int64]]

    @classmethod
    def of(cls, block: Block) -> _Images:
        """Return those of the sound records; `put` adds others."""
        columns = {name: np.zeros(len(block.rows), np.int64) for name in _COLUMNS}
        if block.heads is not None and block.sound.any():
            for name in _HEADS:
                columns[name][block.sound] = block.column(name)
            columns["labels"][block.sound] = block.label_counts()
            columns["quality"][block.sound] = jpeg_qualities(
                block.column("payload"), block.column("size")
            )
        return cls(block.sound.copy(), columns)

    def put(self, at: int, entry: Entry) -> None:
        """Take in an image that was read in Python."""
        assert entry.info is not None
        self.is_image[at] = True
        for name in _HEADS[:-1]:
            self.columns[name][at] = getattr(entry.info, name)
        quality = jpeg_quality(entry.blob)
        self.columns["quality"][at] = 0 if quality is None else quality[0]
        self.columns["size"][at], self.columns["labels"][at] = len(entry.blob), len(entry.labels)

    def counts(self) -> Iterator[tuple[str, str, int]]:
        """Yield each property, its value, and how many images have it."""
        some = {name: column[self.is_image] for name, column in self.columns.items()}
        yield from _named("format", some["kind"], lambda kind: FORMATS[kind])
        yield from _named("channels", some["channels"])
        yield from _named("orientation", some["orientation"])
        yield from _named("label width", some["labels"])
        is_jpeg = some["kind"] == _JPEG
        some = {name: column[is_jpeg] for name, column in some.items()}
        of_frame = some["sampling"] << 8 | some["channels"]
        yield from _named(
            "subsampling", of_frame, lambda one: _info(one & 255, one >> 8).subsampling
        )
        yield from _named("process", some["frame"], lambda frame: _info(0, 0, frame).process)
        yield from _named("quality", some["quality"][some["quality"] > 0])


def _info(channels: int, sampling: int, frame: int = 0) -> ImageInfo:
    """Return a JPEG's header of which only some is known."""
    return ImageInfo(_JPEG, 0, 0, channels, 8, frame=frame, sampling=sampling)


def _named(
    name: str, values: npt.NDArray[np.int64], text: Callable[[int], str] = str
) -> Iterator[tuple[str, str, int]]:
    """Yield a property's values as text, and how many images have each."""
    for value, count in _met(values):
        yield name, text(value), count


def _count_images(found: Census, images: _Images) -> None:
    """Add the images of a block."""
    found.images += int(np.count_nonzero(images.is_image))
    for column, name in ((found.height, "height"), (found.width, "width"), (found.bytes, "size")):
        some = images.columns[name][images.is_image]
        column.frombytes(some.astype(column.typecode).tobytes())
    for name, value, count in images.counts():
        found.counts[name][value] += count


class _Labels:
    """Counts labels, or the classes of boxes: what the first 65,536 images have decides."""

    def __init__(self) -> None:
        self._seen = 0  # images
        self._first: list[npt.NDArray[np.float32]] | None = []  # labels with room; None: decided
        self._deciding = 0  # of those labels, the ones that decide
        self._short = 0  # images whose labels have no room for a box

    def add(self, found: Census, block: Block, rare: Mapping[int, npt.NDArray[np.float32]]) -> None:
        """Add those of a block's images; `rare` are those of images read in Python, by place."""
        counts = np.zeros(len(block.rows), np.int64)
        single = np.zeros(len(block.rows), np.float32)
        long: dict[int, npt.NDArray[np.float32]] = {}  # labels with room for a box
        if block.heads is not None and block.sound.any():
            counts[block.sound], single[block.sound] = block.label_counts(), block.first_labels()
            if (counts >= ONE_OBJECT).any():
                long.update(zip(np.flatnonzero(block.sound).tolist(), block.labels(), strict=True))
        for at, label in rare.items():
            counts[at] = len(label)
            single[at] = label[0] if len(label) else 0
            long[at] = label
        is_image, is_long = block.sound.copy(), counts >= ONE_OBJECT
        is_image[list(rare)] = True
        images = int(np.count_nonzero(is_image))
        if self._first is not None or not found.boxes:
            _count_first(found, single[counts > 0])
        some = [long[at] for at in np.flatnonzero(is_long).tolist()]
        if self._first is not None:
            self._first += some
            decides = is_long & (self._seen + np.cumsum(is_image) <= _DECIDE)
            self._deciding += int(np.count_nonzero(decides))
        self._seen, self._short = self._seen + images, self._short + images - len(some)
        if self._first is not None:
            if self._seen >= _DECIDE:
                self.end(found)
        elif found.boxes:
            _count_boxes(found, some)

    def end(self, found: Census) -> None:
        """Count the boxes that were waited for, and images without one."""
        if self._first is not None:
            some, self._first = self._first, None
            found.boxes = look_like_boxes(some[: self._deciding])
            if found.boxes:
                found.labels.clear()
                _count_boxes(found, some)
        if found.boxes:
            found.without_box += self._short
        self._short = 0


def _count_first(found: Census, labels: npt.NDArray[np.float32]) -> None:
    """Count labels, in the order in which they are first met; every NaN is the same one."""
    for label, count in _met(labels):
        found.labels[math.nan if math.isnan(label) else label] += count


def _met(values: npt.NDArray[Any]) -> list[tuple[Any, int]]:
    """Return different values and how many there are of each, in the order of their first."""
    known, first, counts = np.unique(values, return_index=True, return_counts=True)
    order = np.argsort(first)
    return list(zip(known[order].tolist(), counts[order].tolist(), strict=True))


def _count_boxes(found: Census, labels: Sequence[npt.NDArray[np.float32]]) -> None:
    """Count the classes of boxes."""
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
            if counted.unusable_count:
                print(repair_line(path))
        found.append({"path": path, **counted.as_dict()})
    if args.json:
        print(json.dumps(found[0] if len(found) == 1 else {"files": found}, indent=1))
    return 1 if any(one["unusable_count"] for one in found) else 0
