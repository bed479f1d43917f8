"""InsightFace's layout: a header record, the images sorted by identity, one record per identity.

Record 0 has no image and the labels (n + 1, n + 1 + identities), or (n + 1, identities); keys 1 to
n are images; each key from n + 1 on is an identity's record, without an image, whose labels are the
range of its images' keys. Labels are float32, so that numbers above 2**24 are rounded; then the
labels of the images give the exact range.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, GpuioWarning
from gpuio.recordio.framing import unframe
from gpuio.recordio.header import parse_image_record
from gpuio.recordio.sniff import Sniffed, sniff, spread
from gpuio.storage.local import LocalFile

__all__ = ["FaceRows", "find_faces", "identity_ranges"]

_Int64 = npt.NDArray[np.int64]
_EXACT = 1 << 24  # from here on float32 rounds whole numbers: 2**24 + 1 becomes 2**24
_MOST = 1 << 40  # a larger number is not a count
_SAMPLED = 6  # records of the images, and of the identities, that are looked at


@attrs.frozen(eq=False)
class FaceRows:
    """Which rows of a file are images, and which are identities.

    Attributes
    ----------
    offset, length, key : int64[N]      of every record of the file, in the order of the offsets
    first, stop : int                   rows first .. stop-1 are images, the later ones identities
    """

    offset: _Int64
    length: _Int64
    key: _Int64
    first: int
    stop: int

    @property
    def images(self) -> int:
        """Number of images."""
        return self.stop - self.first

    @property
    def identities(self) -> int:
        """Number of identity records."""
        return len(self.offset) - self.stop


def find_faces(
    file: LocalFile, offset: _Int64, length: _Int64, key: _Int64, *, asked: bool
) -> FaceRows | None:
    """Find the images of a file in InsightFace's layout; None if it has another layout.

    Parameters
    ----------
    file : LocalFile
    offset, length, key : int64[N]      of its records, in the order of the offsets
    asked : bool                        the user says that it has this layout: then only the header
                                        must be there

    Raises
    ------
    FormatError         `asked`, and the first record is not a header, or keys are not ascending
    """
    head = sniff(file, int(offset[0]), int(length[0]))
    plausible = _is_range(head) and head.labels[0] >= 2
    if not plausible or not (np.diff(key) > 0).all():
        if asked:
            raise FormatError(
                "record_layout='insightface': expected a first record without an image whose two "
                "labels count images and identities, and ascending keys, found "
                + (f"labels {head.labels} and keys out of order" if plausible else _named(head)),
                path=file.path,
                key=int(key[0]),
                offset=int(offset[0]),
            )
        if plausible:
            _warn(file, head, "the keys of the index are not ascending")
        return None

    def look(row: int) -> Sniffed:
        return sniff(file, int(offset[row]), int(length[row]))

    count = int(head.labels[0])
    slack = _slack(count)
    low, high = np.searchsorted(key, [count - slack, count + slack + 1]).tolist()
    stop = _bisect(low, high, lambda row: look(row).kind == "empty") if slack else low
    rows = FaceRows(offset, length, key, 1, max(stop, 1))
    if not asked:
        trouble = _trouble(rows, head, look)
        if trouble:
            _warn(file, head, trouble)
            return None
    return rows


def _is_range(record: Sniffed) -> bool:
    """Whether a record has no image, and two whole numbers for labels."""
    return (
        record.kind == "empty"
        and record.flag >= 2
        and all(0 <= label < _MOST and label == int(label) for label in record.labels)
    )


def _named(record: Sniffed) -> str:
    """Name what a record is, for a message."""
    return f"a record of kind {record.kind!r} with {max(record.flag, 1)} label(s)"


def _slack(number: int) -> int:
    """Return how far float32 may have moved a number that reads as this one."""
    return 0 if number < _EXACT else int(np.spacing(np.float32(number)))


def _bisect(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the first number in low .. high-1 for which `holds` and all later ones; else high."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _trouble(rows: FaceRows, head: Sniffed, look: Callable[[int], Sniffed]) -> str:
    """Describe what contradicts the header; "" if nothing does."""
    if rows.images < 1:
        return "there is no record between it and the first identity"
    images = [look(row) for row in np.unique(spread(rows.first, rows.stop, _SAMPLED)).tolist()]
    if sum(one.kind in ("image", "unknown") for one in images) <= len(images) // 2:
        return "the records after it are not images"
    if rows.identities == 0:
        last = int(rows.key[-1])
        return "" if np.float32(last + 1) == head.labels[0] else f"the last key is {last}"
    for row in np.unique(spread(rows.stop, len(rows.key), _SAMPLED)).tolist():
        if not _is_range(look(row)):
            return f"the record of key {rows.key[row]} is not an identity record"
    return ""


def _warn(file: LocalFile, head: Sniffed, trouble: str) -> None:
    warnings.warn(
        GpuioWarning(
            f"{file.path}: the first record looks like an InsightFace header (labels "
            f"{head.labels[0]:.0f}, {head.labels[1]:.0f}), but {trouble}: the file is read as "
            "plain; record_layout='insightface' insists, 'plain' silences this"
        ),
        stacklevel=5,
    )


def identity_ranges(file: LocalFile, rows: FaceRows) -> dict[int, tuple[int, int]]:
    """Return the keys of each identity's images: number to (first, stop), first <= key < stop.

    Raises
    ------
    FormatError         an identity's record is damaged or does not hold a range of the images'
                        keys; or its numbers are rounded, and the images' labels do not give them
    """
    tail = slice(rows.stop, None)
    last_key = int(rows.key[rows.stop - 1])
    ranges = np.empty((rows.identities, 2), np.int64)
    framed = file.read_ranges(rows.offset[tail], rows.length[tail])
    for number, buffer in enumerate(framed):
        row = rows.stop + number
        try:
            flag, labels, _, _, _ = parse_image_record(unframe(buffer))
            if flag < 2 or not (np.abs(np.asarray(labels)[:2]) < _MOST).all():
                raise FormatError(f"expected two labels, the range of its keys, found {labels}")
            ranges[number] = np.asarray(labels)[:2]
        except (FormatError, ValueError) as error:
            raise _identity_error(file, rows, row, str(getattr(error, "message", error))) from None
    for row, (first, stop) in enumerate(_exact(file, rows, ranges).tolist(), rows.stop):
        if not 1 <= first <= stop <= last_key + 1:
            raise _identity_error(
                file,
                rows,
                row,
                f"keys {first} to {stop - 1} are not among the images' 1..{last_key}",
            )
    return {number: (first, stop) for number, (first, stop) in enumerate(ranges.tolist())}


def _identity_error(file: LocalFile, rows: FaceRows, row: int, what: str) -> FormatError:
    return FormatError(
        f"identities: {what}",
        path=file.path,
        key=int(rows.key[row]),
        offset=int(rows.offset[row]),
    )


def _exact(file: LocalFile, rows: FaceRows, ranges: _Int64) -> _Int64:
    """Correct the rounded ends of ranges, in place, by the labels of the images around them."""
    known: dict[tuple[int, int], int] = {}
    for number, side in zip(*np.nonzero(ranges >= _EXACT), strict=True):
        place = int(ranges[number, side]), int(number + side)  # the end; whose first key it is
        if place not in known:
            known[place] = _first_key(file, rows, *place)
        ranges[number, side] = known[place]
    return ranges


def _first_key(file: LocalFile, rows: FaceRows, rounded: int, owner: int) -> int:
    """Return the first key of identity `owner`, near a rounded one; after the images if none."""

    def label(row: int) -> float:
        return sniff(file, int(rows.offset[row]), int(rows.length[row])).labels[0]

    slack = _slack(rounded)
    span = np.searchsorted(rows.key, [rounded - slack, rounded + slack + 1])
    low, high = np.clip(span, rows.first, rows.stop).tolist()
    row = _bisect(low, high, lambda one: label(one) >= owner)
    if row == rows.stop:
        return int(rows.key[row - 1]) + 1
    if label(row) != owner:
        raise _identity_error(
            file,
            rows,
            row,
            f"label {label(row):g} where the images of identity {owner} should begin: ranges "
            f"beyond key {_EXACT:,} are rounded, and labels that are not the identities' numbers "
            "cannot correct them",
        )
    return int(rows.key[row])
