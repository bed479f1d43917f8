"""Find InsightFace's records one by one, where neither keys nor places tell which is which.

That is so in a file without an index of its own whose records were shuffled, in what resync leaves
of a damaged one, and where the header record is damaged or lost. The records without an image are
few and short: each is read. The header states more images than any identity's range reaches, and as
many as there are. Builders write a record's key as its id, too: the ids of the images tell their
keys, and those of the identity records where images end.

Invariant: records are told apart only if all that could be read agrees; keys that the ids do not
give are stated as doubtful, never guessed.
"""

from __future__ import annotations

import struct

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError
from gpuio.recordio.face_rows import BARE, EXACT, JUNK, MOST, FaceRows, rounding, sample
from gpuio.recordio.framing import HEADER_BYTES, MAGIC, unframe
from gpuio.recordio.header import FORMAT
from gpuio.storage.stored import StoredFile

__all__ = ["scan_faces"]

_Int64 = npt.NDArray[np.int64]
_Heads = npt.NDArray[np.void]

_HEAD = np.dtype(
    [("sound", "?"), ("flag", "i8"), ("rest", "i8"), ("id", "i8"), ("label", "f8", (2,))]
)
_START = struct.Struct("<IIIfQQ")  # magic, part flag and length, flag, label, id, id2
_PAIR = struct.Struct("<2f")
_READ = _START.size + _PAIR.size
_NO_ID = -1
_NONE = (0, 0, 0, 0.0, 0, 0)
_MANY = 3  # so many records that state a range are worth a warning; a stray one is not
_UNNUMBERED = (
    "identity records are missing, and those that are left do not tell their numbers: read it with "
    "its own index (path_imgidx), or from an undamaged copy"
)
_NO_KEYS = (
    "the keys of the images are not known: without an index of its own they would be the records' "
    "ids, and these are not: read it with its index (path_imgidx; `gpuio rec2idx` keeps the keys "
    "of one beside the file, but cannot find them)"
)


def scan_faces(
    file: StoredFile,
    offset: _Int64,
    length: _Int64,
    key: _Int64,
    *,
    placed: bool,
    complete: bool,
) -> tuple[FaceRows | None, str]:
    """Find the layout by reading each record without an image.

    Parameters
    ----------
    file : StoredFile
    offset, length, key : int64[N]      of its records, in the order of the offsets
    placed : bool                       keys number the records by their places
    complete : bool                     no record is known to be missing between others

    Returns
    -------
    FaceRows or None                    None if the layout is not there, or cannot be told
    str                                 why it cannot be told; "" if it is not there

    Raises
    ------
    StorageError                        the file cannot be read
    """
    bare = length <= BARE
    bare[-1:] = length[-1:] <= BARE + JUNK
    rows = np.flatnonzero(bare)
    if len(rows) in (0, len(bare)):
        return None, ""
    few = _heads(file, offset, length, np.array(sample(rows)))
    if 2 * np.count_nonzero(_is_range(few)) <= len(few):
        return None, ""
    heads = _heads(file, offset, length, rows)
    is_range = _is_range(heads)
    records = _Records(file, offset, length, rows[is_range], heads[is_range])
    found = _by_header(records) if placed else None
    if found is None and (complete or not placed):
        found = _by_keys(records, key, placed=placed)
    if found is None and placed:
        found = _by_ids(records)
    if found is not None or len(records.rows) < _MANY:
        return found, ""
    return None, (
        f"{len(records.rows)} records have no image and two labels, as InsightFace's have that "
        "tell identities, and nothing that can be read tells its header from them"
    )


@attrs.frozen(eq=False)
class _Records:
    """A file, the rows of its records that have no image and state a range, and what these say."""

    file: StoredFile
    offset: _Int64
    length: _Int64
    rows: _Int64
    heads: _Heads

    @property
    def label(self) -> _Int64:
        """The ranges, int64[m, 2]."""
        made: _Int64 = self.heads["label"].astype(np.int64)
        return made

    def others(self) -> _Int64:
        """Return the rows of all other records, int64[n]."""
        return np.delete(np.arange(len(self.offset)), self.rows)

    def without(self, chosen: int) -> _Records:
        """Return the same without one of the ranges."""
        left = np.delete(self.rows, chosen), np.delete(self.heads, chosen)
        return attrs.evolve(self, rows=left[0], heads=left[1])


def _heads(file: StoredFile, offset: _Int64, length: _Int64, rows: _Int64) -> _Heads:
    """Return what some records begin with: flag, two labels, id, and how many bytes follow them."""
    found: list[tuple[bool, int, int, int, tuple[float, float]]] = []
    read, start, pair = file.read, _START.unpack_from, _PAIR.unpack_from
    header, unknown = FORMAT.size, (False, 0, 0, _NO_ID, (0.0, 0.0))
    for at, size in zip(offset[rows].tolist(), length[rows].tolist(), strict=True):
        head = read(at, min(size, _READ))
        magic, word, flag, label, identity, _ = start(head) if len(head) >= _START.size else _NONE
        if word >> 29:  # in parts
            head = _joined(file, at, size)
            word = len(head) - HEADER_BYTES
            _, _, flag, label, identity, _ = start(head) if word >= header else _NONE
        rest = word - header - 4 * flag
        if magic != MAGIC or rest < 0 or HEADER_BYTES + word > size:
            found.append(unknown)
            continue
        labels = pair(head, _START.size) if flag >= 2 else (label, 0.0)
        found.append((True, flag, rest, identity if identity < MOST else _NO_ID, labels))
    return np.array(found, _HEAD)


def _joined(file: StoredFile, offset: int, length: int) -> bytes:
    """Return a record of several parts as if it were of one; nothing of a damaged one."""
    try:
        return bytes(HEADER_BYTES) + bytes(unframe(file.read(offset, length)))
    except FormatError:
        return b""


def _is_range(heads: _Heads) -> npt.NDArray[np.bool_]:
    """Whether each record has no image, and two whole numbers for labels."""
    label = heads["label"]
    with np.errstate(invalid="ignore"):
        whole = (label >= 0) & (label < MOST) & (label == np.floor(label))
    made: npt.NDArray[np.bool_] = heads["sound"] & (heads["flag"] >= 2) & (heads["rest"] == 0)
    made &= whole.all(axis=1)
    return made


def _by_header(records: _Records) -> FaceRows | None:
    """Find the header among the records that state a range."""
    images = records.others()
    chosen = _header_of(records, len(images))
    if chosen is None:
        return None
    first, second = records.label[chosen].tolist()
    people = second - first if second >= first else second
    slack = rounding(first)
    complete = (
        abs(first - 1 - len(images)) <= slack and abs(people - len(records.rows) + 1) <= 2 * slack
    )
    last = len(images) if complete else first - 1
    made = _numbered(records.without(chosen), images, last, complete=complete)
    return attrs.evolve(made, count=last)


def _header_of(records: _Records, images: int) -> int | None:
    """Return which range is the header's; None if that cannot be told."""
    label, identities = records.label, len(records.rows) - 1
    first, second = label[:, 0], label[:, 1]
    people = np.where(second >= first, second - first, second)
    slack = rounding(images + 1)
    exact = abs(first - 1 - images) <= slack
    exact &= abs(people - identities) <= 2 * slack
    if exact.any() or identities < 1:
        return int(np.argmax(exact)) if np.count_nonzero(exact) == 1 else None
    # records are missing: no identity reaches beyond the images that it states, and if some of
    # these are missing, too, its id is key 0, and the others' ids are keys behind all of them
    chosen = int(np.argmax(first))
    stated, slack = int(first[chosen]), rounding(int(first[chosen]))
    reached = np.delete(second, chosen).max() <= stated + slack
    if not reached or identities > people[chosen] + 2 * slack or images > stated - 1 + slack:
        return None
    ids = records.heads["id"]
    later = ids[chosen] == 0 and np.delete(ids, chosen).min() >= stated - slack
    return chosen if later or abs(images - stated + 1) <= slack else None


def _by_keys(records: _Records, key: _Int64, *, placed: bool) -> FaceRows | None:
    """Tell images from identity records by given keys, where the header is damaged or missing."""
    keys = key[records.rows]
    bounds = _bounds(records.label, keys)
    if bounds is None or key.min() < 0 or not _distinct(key):
        return None
    reached, first = bounds
    behind = (key >= keys.min()) | ((key >= reached) & (records.length <= BARE))
    image = np.flatnonzero((key > 0) & ~behind)
    identity = np.flatnonzero(behind)
    if not len(image):
        return None
    if placed:  # these are the layout's only in the plain order: then images' ids are the same
        heads = _heads(records.file, records.offset, records.length, image[[0, -1]])
        if (heads["id"] != key[image[[0, -1]]]).any():
            return None
    made = FaceRows(
        records.offset, records.length, key, image, identity[np.argsort(key[identity])], first=first
    )
    return made if first is not None else attrs.evolve(made, doubt=_UNNUMBERED)


def _by_ids(records: _Records) -> FaceRows | None:
    """Tell identity records by their ids, where the header is damaged or missing."""
    ids = records.heads["id"]
    bounds = _bounds(records.label, ids)
    if bounds is None:
        return None
    images = records.others()
    bare = images[records.length[images] <= BARE]
    headers = bare[_heads(records.file, records.offset, records.length, bare)["id"] == 0]
    images = np.setdiff1d(images, headers)
    made = _numbered(records, images, int(ids.min()) - 1, complete=False)
    if made.doubt:
        return None
    return attrs.evolve(made, first=bounds[1], doubt="" if bounds[1] else _UNNUMBERED)


def _bounds(label: _Int64, keys: _Int64) -> tuple[int, int | None] | None:
    """Return where images end, and identity 0's key or None, by the keys of identity records.

    None if they cannot be those: each is behind all images, so behind all that a range reaches,
    and ranges follow one another.
    """
    if len(keys) == 0 or not _distinct(keys):
        return None
    label = label[np.argsort(keys)]
    reached, least = int(label.max()), int(keys.min())
    apart = (label[1:, 0] >= label[:-1, 1]).all() and (label[:, 0] <= label[:, 1]).all()
    if not apart or label.min() < 1 or least < reached - rounding(reached):
        return None
    return min(reached, least), least if label[0, 0] == 1 or reached == least else None


def _numbered(records: _Records, images: _Int64, last: int, *, complete: bool) -> FaceRows:
    """Return the rows with the layout's keys, by the records' ids.

    Parameters
    ----------
    records : _Records          the identity records
    images : int64[n]           rows of the images
    last : int                  the largest key that an image may have
    complete : bool             neither images nor identity records are missing
    """
    ids, first, doubt = records.heads["id"], None, ""
    if len(ids) and (not _distinct(ids) or ids.min() <= last - rounding(last)):
        order = np.argsort(records.label[:, 0], kind="stable")
        ids = last + 1 + np.argsort(order)
        doubt = "" if complete else _UNNUMBERED
    elif not complete and len(ids):
        begins = records.label[np.argmin(ids), 0] == 1
        first = int(ids.min()) if begins else last + 1
        doubt = "" if begins or last < EXACT else _UNNUMBERED
    keys = _image_keys(records, images, last)
    if keys is None:
        doubt, keys = _NO_KEYS, np.arange(1, len(images) + 1)
    key = np.zeros(len(records.offset), np.int64)
    key[images], key[records.rows] = keys, ids
    return FaceRows(
        records.offset,
        records.length,
        key,
        images,
        records.rows[np.argsort(ids)],
        renumbered=True,
        first=first,
        doubt=doubt,
    )


def _image_keys(records: _Records, images: _Int64, last: int) -> _Int64 | None:
    """Return the keys of images, which are their ids, int64[n]; None if the ids are not keys.

    A damaged image without an id gets a key that no other has.
    """
    most = last + rounding(last)

    def ids_of(rows: _Int64) -> tuple[_Int64, npt.NDArray[np.bool_]]:
        heads = _heads(records.file, records.offset, records.length, rows)
        known = heads["sound"] & (heads["rest"] > 0)
        ids: _Int64 = heads["id"]
        return ids, known

    if len(images) == 0:
        return None
    for rows in (np.array(sample(images)), images):
        ids, known = ids_of(rows)
        some = ids[known]
        if len(some) == 0 or some.min() < 1 or some.max() > most:
            return None
        if not _distinct(some):
            return None
    lost = np.count_nonzero(~known)
    if lost > most - len(some):
        return None
    if lost:
        ids[~known] = np.setdiff1d(np.arange(1, len(ids) + 1), some)[:lost]
    return ids


def _distinct(numbers: _Int64) -> bool:
    """Whether no number comes twice; NumPy's unique takes six times as long."""
    ordered = np.sort(numbers)
    return bool((ordered[1:] != ordered[:-1]).all())
