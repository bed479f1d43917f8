"""Find the records after damage: where framing is broken, the next header that can be trusted.

A writer splits a payload at every magic whose offset from the payload's start is a multiple of
four. So, counted from a record's first byte, an aligned magic is always a header. The search relies
on this: a record that contains an aligned magic not belonging to one of its own parts has a damaged
length. Framing cannot tell whether a payload is damaged; checksums can.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, GpuioWarning
from gpuio.recordio.framing import HEADER_BYTES, MAGIC, end_of_record, head_at, is_junk, walk
from gpuio.storage.stored import StoredFile

__all__ = ["SkippedRange", "resync", "warn_of_skipped"]

Int64 = npt.NDArray[np.int64]

_WINDOW = 1 << 20  # most bytes searched at once
_FIRST_WINDOW = 4 << 10  # the next header is mostly near; a multiple of four
_NAMED = 5  # ranges that a warning lists
_SWALLOWER = "the record contains the header of another record: its length is damaged"


@attrs.frozen
class SkippedRange:
    """Bytes of a file that belong to no record: [begin, end), and why."""

    path: str
    begin: int
    end: int
    reason: str

    def as_dict(self) -> dict[str, str | int]:
        """Return the fields as JSON types."""
        return attrs.asdict(self)


def resync(
    file: StoredFile, *, thorough: bool = False
) -> tuple[Int64, Int64, tuple[SkippedRange, ...]]:
    """Find every record of a file, continuing after damage.

    Parameters
    ----------
    file : StoredFile
    thorough : bool         read every byte, and drop a record that contains other records, because
                            its length is damaged; otherwise such records are searched for only next
                            to damage

    Returns
    -------
    offsets, lengths : int64[N]     offset and framed size of each record, in bytes
    skipped : tuple of SkippedRange the bytes in no record, ascending

    Raises
    ------
    StorageError            the file cannot be read

    Notes
    -----
    After damage, a header is trusted if its distance to the record before it is a multiple of four,
    if its flags and lengths make a record that lies in the file and contains only the magics of its
    own parts, and if another header or the end of the file follows. A record between two damaged
    ones, which no header follows, is trusted as well. If the size of the file is not a multiple of
    four from there, bytes were lost or added: then headers aligned to the end of the file are
    searched for as well, and the first one of all is taken.
    """
    offsets: list[Int64] = []
    lengths: list[Int64] = []
    skipped: list[SkippedRange] = []
    at = 0
    while at < file.size:
        found, sizes, error = walk(file, at, at + _WINDOW if thorough else None)
        kept = _before_a_swallower(file, found, sizes) if thorough else len(found)
        at = int(found[-1] + sizes[-1]) if len(found) else at
        if kept == len(found) and kept and error is not None:
            kept -= _holds_foreign_magic(file, int(found[-1]), at)
        if kept < len(found):
            at, reason = int(found[kept]), _SWALLOWER
        elif error is not None:
            junk = f"{file.size - at} trailing bytes after the last record"
            reason = junk if is_junk(file, at) else error.message
        else:
            offsets.append(found)
            lengths.append(sizes)
            continue
        alone, following = _behind(file, at, int(found[kept - 1]) if kept else at)
        if following < at:
            kept -= 1
            at, reason = int(found[kept]), _SWALLOWER
        offsets.append(found[:kept])
        lengths.append(sizes[:kept])
        for begin, end in [*alone, (following, following)]:
            if at < begin:
                skipped.append(SkippedRange(file.path, at, begin, reason))
            if begin < end:
                offsets.append(np.array([begin], np.int64))
                lengths.append(np.array([end - begin], np.int64))
                reason = _fault_at(file, end)
            at = end
    none = np.empty(0, np.int64)
    return np.concatenate([none, *offsets]), np.concatenate([none, *lengths]), tuple(skipped)


def _before_a_swallower(file: StoredFile, found: Int64, sizes: Int64) -> int:
    """Return how many records come before the first that contains another one."""
    for number, (start, size) in enumerate(zip(found.tolist(), sizes.tolist(), strict=True)):
        inside = _foreign_magics(file, start, start + size)
        # a writer that never splits may leave a magic in a payload: only a record counts
        if any(_record_at(file, at) is not None for at in inside):
            return number
    return len(found)


def _behind(file: StoredFile, bad: int, last: int) -> tuple[list[tuple[int, int]], int]:
    """Search from a fault on.

    Parameters
    ----------
    file : StoredFile
    bad : int       byte of the fault
    last : int      start of the record that ends there; `bad` if there is none

    Returns
    -------
    alone : list of (begin, end)        records that no header follows, ascending
    following : int                     a record from which walking continues; the file's size if
                                        there is none; before `bad` if the last record lost bytes
                                        and its stated length reaches into it
    """
    alone: list[tuple[int, int]] = []
    following = file.size
    for start in _magics(file, bad + 4, file.size):
        end = _record_at(file, start)
        if end is None:
            continue
        if _starts_or_ends(file, end):
            following = start
            break
        alone.append((start, end))
    others = [
        _shifted(file, last + 1 + (residue - last - 1) % 4, bad, alone, following)
        for residue in {0, file.size % 4} - {bad % 4}
    ]
    shifted = min(others, default=file.size)
    if shifted < file.size:
        return [(begin, end) for begin, end in alone if end <= shifted], shifted
    return alone, following


def _shifted(
    file: StoredFile, begin: int, bad: int, alone: list[tuple[int, int]], following: int
) -> int:
    """Return where records continue if bytes were lost or added; the file's size if nowhere.

    Parameters
    ----------
    file : StoredFile
    begin : int         headers are searched for at this byte and every four bytes after it
    bad : int           a record that ends before this may be part of the last one's payload
    alone, following    what is trusted if no bytes were lost or added, from `_behind`

    Notes
    -----
    A payload may contain a record file. So whatever lies inside one of `alone` is not a record; and
    a record that is found here, which begins earlier, replaces what lies inside it.
    """
    begins = np.array([start for start, _ in alone], np.int64)
    for start in _magics(file, begin, following):
        nearest = int(np.searchsorted(begins, start)) - 1
        if nearest >= 0 and start < alone[nearest][1]:
            continue
        end = _record_at(file, start)
        if end is not None and end > bad and _starts_or_ends(file, end):
            return start
    return file.size


def _magics(file: StoredFile, begin: int, end: int) -> Iterator[int]:
    """Yield the offsets of the magic in [begin, end), at every fourth byte from `begin`."""
    at, size = begin, _FIRST_WINDOW
    while at < end:
        data = file.read(at, min(size, end - at))
        words = np.frombuffer(data, "<u4", len(data) // 4)
        for found in np.flatnonzero(words == MAGIC).tolist():
            yield at + 4 * found
        at += size
        size = min(8 * size, _WINDOW)


def _record_at(file: StoredFile, start: int) -> int | None:
    """Return the end of the record at `start`; None if there is none or it has a foreign magic."""
    try:
        end = end_of_record(file, start)
    except FormatError:
        return None
    return None if _holds_foreign_magic(file, start, end) else end


def _holds_foreign_magic(file: StoredFile, start: int, end: int) -> bool:
    """Say whether the record [start, end) contains a magic that is not one of its own headers."""
    return next(_foreign_magics(file, start, end), None) is not None


def _foreign_magics(file: StoredFile, start: int, end: int) -> Iterator[int]:
    """Yield the offsets of magics in the record [start, end) that are not its own headers."""
    head = start
    for found in _magics(file, start, end):
        if found == head:
            _, length = head_at(file.read(head, HEADER_BYTES), 0)
            head += HEADER_BYTES + length + -length % 4
        else:
            yield found


def _starts_or_ends(file: StoredFile, at: int) -> bool:
    """Say whether a record's header is at an offset, or the file ends there."""
    if at + HEADER_BYTES > file.size:
        return at == file.size
    try:
        return head_at(file.read(at, HEADER_BYTES), 0)[0] in (0, 1)
    except FormatError:
        return False


def _fault_at(file: StoredFile, at: int) -> str:
    """Describe what is wrong with the record at an offset."""
    try:
        end_of_record(file, at)
    except FormatError as error:
        return error.message
    return _SWALLOWER


def warn_of_skipped(skipped: Sequence[SkippedRange], what: str) -> None:
    """Give one warning for the ranges of a file; `what` says what happens to them."""
    if not skipped:
        return
    named = "; ".join(f"[{one.begin}, {one.end}): {one.reason}" for one in skipped[:_NAMED])
    more = f"; and {len(skipped) - _NAMED} more" if len(skipped) > _NAMED else ""
    warnings.warn(
        GpuioWarning(
            f"{skipped[0].path}: {sum(one.end - one.begin for one in skipped):,} bytes in "
            f"{len(skipped)} ranges {what}: {named}{more}"
        ),
        stacklevel=3,
    )
