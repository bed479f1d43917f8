"""InsightFace's layout: a header record, the images sorted by identity, one record per identity.

Keys define it. Key 0 is the header: no image, and the labels (n + 1, n + 1 + identities), or
(n + 1, identities); keys 1 to n are images; each key from n + 1 on is an identity's record, without
an image, whose labels are the range of its images' keys. Labels are float32, so that numbers beyond
2**24 are rounded; then the labels of the images give the exact range.

In the file the header comes first, between images and identities, or last, as its builder had it.
Where no index tells the keys, or only numbers the records by their places, the header is looked for
at these three places, and keys are counted from it. Where a few ids contradict that, or records are
known to be missing, face_scan reads the short records one by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, GpuioWarning
from gpuio.recordio.face_rows import BARE, EXACT, JUNK, MOST, FaceRows, is_range, rounding, sample
from gpuio.recordio.face_scan import scan_faces
from gpuio.recordio.framing import unframe
from gpuio.recordio.header import parse_image_record
from gpuio.recordio.sniff import Sniffed, sniff
from gpuio.storage.stored import StoredFile

__all__ = ["FaceRows", "find_faces", "identity_ranges"]

_Int64 = npt.NDArray[np.int64]
_NEAR = 8  # damaged images in front of the header that do not hide it


def find_faces(
    file: StoredFile,
    offset: _Int64,
    length: _Int64,
    key: _Int64,
    *,
    asked: bool,
    complete: bool = True,
) -> FaceRows | None:
    """Find the images of a file in InsightFace's layout; None if it has another layout.

    Parameters
    ----------
    file : StoredFile
    offset, length, key : int64[N]      of its records, in the order of the offsets; without an
                                        index the keys are 0 .. N-1
    asked : bool                        the user says that it has this layout: then only the header
                                        must be there
    complete : bool                     no record is known to be missing between others; else their
                                        places are not keys

    Raises
    ------
    FormatError         `asked`, and there is no header, or a key stands at several records
    """

    def look(row: int) -> Sniffed:
        return sniff(file, int(offset[row]), int(length[row]))

    zero = _row_of_zero(key)
    first = look(0 if zero is None else zero)
    headed = zero is not None and _is_header(first)
    head, header, trouble = zero or 0, first, ""
    found: FaceRows | None = None
    if complete or not _is_numbered_by_place(key):
        if headed:
            rows = FaceRows(offset, length, key, slice(0), np.empty(0, np.int64))
            found, trouble = _divided(rows, head, header, look)
            other = _by_length(rows, head, header, look) if trouble else None
            found, trouble = (found, trouble) if other is None else (other, "")
        else:
            found, head, header, trouble = _by_places(offset, length, key, look)
        if found is not None and not trouble and _is_in_order(found, look):
            return found
    scan, why = _scanned(file, offset, length, key, look, complete=complete)
    if scan is not None and not (scan.doubt and found is not None and not trouble):
        return scan
    if found is not None and (asked or not trouble):
        return found
    if not asked:
        if trouble:
            _warn(file, offset, head, header, trouble)
        elif why:
            _warn_of_unknown(file, why)
        return None
    if headed and trouble:
        what = f"labels {first.labels} and {trouble}"
    else:
        what = _named(first) if zero is not None else "no record of key 0"
    raise FormatError(
        "record_layout='insightface': expected a record of key 0 without an image whose two "
        f"labels count images and identities, found {what}" + (f"; {why}" if why else ""),
        path=file.path,
        key=int(key[zero or 0]),
        offset=int(offset[zero or 0]),
    )


def _is_in_order(rows: FaceRows, look: Callable[[int], Sniffed]) -> bool:
    """Whether the ids of some images do not say that these have other keys.

    Ids that are all the same, or count from another number, say nothing.
    """
    seen = {row: look(row) for row in sample(np.arange(len(rows.key))[rows.image])}
    if any(is_range(one) for one in seen.values()):
        return False
    ids = {row: one.identity for row, one in seen.items() if one.kind in ("image", "unknown")}
    moved = {number - int(rows.key[row]) for row, number in ids.items()}
    return len(moved) < 2 or len(set(ids.values())) == 1


def _scanned(
    file: StoredFile,
    offset: _Int64,
    length: _Int64,
    key: _Int64,
    look: Callable[[int], Sniffed],
    *,
    complete: bool,
) -> tuple[FaceRows | None, str]:
    """Find the layout by reading each short record, where there are some; as `scan_faces`."""
    if not (length[:-1] <= BARE).any() and int(length[-1]) > BARE + JUNK:
        return None, ""
    placed = _is_numbered_by_place(key)
    found, why = scan_faces(file, offset, length, key, placed=placed, complete=complete)
    return (found, "") if found is not None and _has_images(found, look) else (None, why)


def _row_of_zero(key: _Int64) -> int | None:
    """Return the row of key 0; None if there is none."""
    if key[0] == 0:
        return 0
    rows = np.flatnonzero(key == 0)
    return int(rows[0]) if len(rows) else None


def _is_header(record: Sniffed) -> bool:
    """Whether a record may be the header."""
    return is_range(record) and record.labels[0] >= 2


def _divided(
    rows: FaceRows, head: int, header: Sniffed, look: Callable[[int], Sniffed]
) -> tuple[FaceRows | None, str]:
    """Tell images from identities by their keys.

    Parameters
    ----------
    rows : FaceRows         with the keys; nothing is divided yet
    head : int              row of the header
    header : Sniffed        what stands there

    Returns
    -------
    FaceRows or None        None if a key stands at several records
    str                     what contradicts the header, "" if nothing does
    """
    if head == 0:
        others = rows.key[1:]
    elif head == len(rows.key) - 1:
        others = rows.key[:-1]
    else:
        others = np.delete(rows.key, head)
    order = None
    if not (others[1:] > others[:-1]).all():
        order = np.argsort(others, kind="stable")
        others = others[order]
        if not (others[1:] > others[:-1]).all():
            return None, "keys of the index stand at several records"

    def row_at(place: int) -> int:
        row = place if order is None else int(order[place])
        return row + (row >= head)

    count = int(header.labels[0])
    slack = rounding(count)
    begin, low, high = np.searchsorted(others, [1, count - slack, count + slack + 1]).tolist()
    stop = _bisect(low, high, lambda at: look(row_at(at)).kind == "empty") if slack else low
    stop = max(stop, begin)
    image: slice | _Int64
    if order is None:
        tail = np.arange(stop, len(others))
        if begin < head < stop:
            image = np.arange(begin, stop)
            image += image >= head
        else:
            behind = int(head <= begin)
            image = slice(begin + behind, stop + behind)
    else:
        image, tail = np.sort(order[begin:stop]), order[stop:].copy()
        image += image >= head
    tail += tail >= head
    made = attrs.evolve(rows, image=image, identity=tail)
    trouble = f"key {others[0]} lies before it" if begin else _trouble(made, header, look)
    return made, trouble


def _by_places(
    offset: _Int64, length: _Int64, key: _Int64, look: Callable[[int], Sniffed]
) -> tuple[FaceRows | None, int, Sniffed, str]:
    """Find the layout where keys say no more than places, and the first record is no header.

    Returns
    -------
    FaceRows or None        None if it is not there, or contradicted
    int, Sniffed, str       the row of what may be its header, what that holds, and what contradicts
                            it; "" if nothing does
    """
    bare = length <= BARE
    bare[-1] = length[-1] <= BARE + JUNK
    short = int(np.argmax(bare))
    if not bare[short] or not _is_numbered_by_place(key):
        return None, 0, Sniffed(""), ""
    last = len(key) - 1
    tail = len(key) - int(np.argmin(bare[::-1]))
    places = [last, short, *range(tail, min(tail + _NEAR, last))]
    for head in dict.fromkeys(one for one in places if one and bare[one]):
        header = look(head)
        if not _is_header(header):
            continue
        numbers = np.arange(len(key), dtype=np.int64)
        numbers[:head] += 1
        numbers[head] = 0
        rows = FaceRows(offset, length, numbers, slice(0), np.empty(0, np.int64), renumbered=True)
        off = abs(int(header.labels[0]) - 1 - head)
        trouble = "it does not stand behind the images"
        if head == last or off <= rounding(int(header.labels[0])):
            found, trouble = _divided(rows, head, header, look)
            if found is not None and not trouble:
                return found, head, header, ""
        found = _by_length(rows, head, header, look)
        if found is not None:
            return found, head, header, ""
        if int(header.labels[0]) - 1 == np.count_nonzero(~bare):
            return None, head, header, trouble
    return None, 0, Sniffed(""), ""


def _is_numbered_by_place(key: _Int64) -> bool:
    """Whether keys are 0, 1, 2, ... in the order of the file."""
    return bool(key[0] == 0 and key[-1] == len(key) - 1 and (key[1:] > key[:-1]).all())


def _by_length(
    rows: FaceRows, head: int, header: Sniffed, look: Callable[[int], Sniffed]
) -> FaceRows | None:
    """Tell images from identity records that stand among them by their lengths.

    None if there are not as many of each as the header says, or keys are not by place.
    """
    if not rows.renumbered and not _is_numbered_by_place(rows.key):
        return None
    image = rows.length > BARE
    image[head] = False
    other = ~image
    other[head] = False
    images, identities = int(image.sum()), int(other.sum())
    count, second = (int(label) for label in header.labels)
    if images + 1 != count or second not in (count + identities, identities) or not identities:
        return None
    numbers = np.zeros(len(rows.key), np.int64)
    numbers[image] = np.arange(1, count)
    numbers[other] = np.arange(count, count + identities)
    made = attrs.evolve(
        rows,
        key=numbers,
        image=np.flatnonzero(image),
        identity=np.flatnonzero(other),
        renumbered=True,
    )
    return None if _trouble(made, header, look) else made


def _named(record: Sniffed) -> str:
    """Name what a record is, for a message."""
    return f"a record of kind {record.kind!r} with {max(record.flag, 1)} label(s)"


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
    if not _has_images(rows, look):
        return "the records after it are not images"
    if rows.identities == 0:
        last = int(rows.key.max())
        return "" if np.float32(last + 1) == head.labels[0] else f"the last key is {last}"
    people = {row: look(row) for row in sample(rows.identity)}
    sound = {row: one for row, one in people.items() if one.kind != "damaged"}
    for row, one in (sound or people).items():
        if not is_range(one):
            return f"the record of key {rows.key[row]} is not an identity record"
    return ""


def _has_images(rows: FaceRows, look: Callable[[int], Sniffed]) -> bool:
    """Whether most of some records that should be images may be."""
    kept = sample(np.arange(len(rows.key))[rows.image])
    return 2 * sum(look(row).kind in ("image", "unknown") for row in kept) > len(kept)


def _warn(file: StoredFile, offset: _Int64, row: int, head: Sniffed, trouble: str) -> None:
    which = "the first record" if row == 0 else f"the record at byte {offset[row]:,}"
    warnings.warn(
        GpuioWarning(
            f"{file.path}: {which} looks like an InsightFace header (labels "
            f"{head.labels[0]:.0f}, {head.labels[1]:.0f}), but {trouble}: the file is read as "
            "plain; record_layout='insightface' insists, 'plain' silences this"
        ),
        stacklevel=5,
    )


def _warn_of_unknown(file: StoredFile, why: str) -> None:
    warnings.warn(
        GpuioWarning(
            f"{file.path}: {why}: the file is read as plain, those records too; give its own index "
            "(path_imgidx; `gpuio rec2idx` numbers records by their places, which is not enough), "
            "or record_layout='plain' to silence this"
        ),
        stacklevel=5,
    )


def identity_ranges(file: StoredFile, rows: FaceRows) -> dict[int, tuple[int, int]]:
    """Return the keys of each identity's images: number to (first, stop), first <= key < stop.

    Raises
    ------
    FormatError         an identity's record is damaged or does not hold a range of the images'
                        keys; or its numbers are rounded, and the images' labels do not give them;
                        or keys cannot be told
    """
    if rows.doubt:
        raise FormatError(f"identities: {rows.doubt}", path=file.path)
    tail = rows.identity
    last_key = max(int(rows.key[rows.image].max()), rows.count)
    ranges = np.empty((rows.identities, 2), np.int64)
    framed = file.read_ranges(rows.offset[tail], rows.length[tail])
    for number, (row, buffer) in enumerate(zip(tail.tolist(), framed, strict=True)):
        try:
            flag, labels, _, _, _ = parse_image_record(unframe(buffer))
            if flag < 2 or not (np.abs(np.asarray(labels)[:2]) < MOST).all():
                raise FormatError(f"expected two labels, the range of its keys, found {labels}")
            ranges[number] = np.asarray(labels)[:2]
        except (FormatError, ValueError) as error:
            raise _identity_error(file, rows, row, str(getattr(error, "message", error))) from None
    exact = _exact(file, rows, ranges).tolist()
    for row, (first, stop) in zip(tail.tolist(), exact, strict=True):
        if not 1 <= first <= stop <= last_key + 1:
            raise _identity_error(
                file,
                rows,
                row,
                f"keys {first} to {stop - 1} are not among the images' 1..{last_key}",
            )
    numbers = np.arange(len(tail)) if rows.first is None else rows.key[tail] - rows.first
    pairs = zip(numbers.tolist(), ranges.tolist(), strict=True)
    return {number: (first, stop) for number, (first, stop) in pairs}


def _identity_error(file: StoredFile, rows: FaceRows, row: int, what: str) -> FormatError:
    return FormatError(
        f"identities: {what}",
        path=file.path,
        key=int(rows.key[row]),
        offset=int(rows.offset[row]),
    )


def _exact(file: StoredFile, rows: FaceRows, ranges: _Int64) -> _Int64:
    """Correct the rounded ends of ranges, in place, by the labels of the images around them."""
    known: dict[tuple[int, int], int] = {}
    images = rows.images_by_key() if (ranges >= EXACT).any() else np.empty(0, np.int64)
    keys = rows.key[images]
    for number, side in zip(*np.nonzero(ranges >= EXACT), strict=True):
        place = int(ranges[number, side]), int(number + side)  # the end; whose first key it is
        if place not in known:
            known[place] = _first_key(file, rows, images, keys, *place)
        ranges[number, side] = known[place]
    return ranges


def _first_key(
    file: StoredFile, rows: FaceRows, images: _Int64, keys: _Int64, rounded: int, owner: int
) -> int:
    """Return the first key of identity `owner`, near a rounded one; after the images if none.

    `images` and `keys`, int64[n], are the rows and the keys of the images, by key.
    """

    def label(row: int) -> float:
        return sniff(file, int(rows.offset[row]), int(rows.length[row])).labels[0]

    slack = rounding(rounded)
    low, high = np.searchsorted(keys, [rounded - slack, rounded + slack + 1]).tolist()
    place = _bisect(low, high, lambda one: label(int(images[one])) >= owner)
    if place == len(images):
        return int(keys[-1]) + 1
    row = int(images[place])
    if label(row) != owner:
        raise _identity_error(
            file,
            rows,
            row,
            f"label {label(row):g} where the images of identity {owner} should begin: ranges "
            f"beyond key {EXACT:,} are rounded, and labels that are not the identities' numbers "
            "cannot correct them",
        )
    return int(rows.key[row])
