"""Find the records behind damage: where framing is broken, the next head that can be believed.

A writer cuts a payload wherever the magic stands in it at a multiple of four from its start, so
that, counted from a record's first byte, the magic stands at multiples of four in heads alone. The
search lives on that: what holds a magic that is no head of its own was not written like this, and
its length is wrong. Whether a record's payload is damaged framing cannot tell; checksums can.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, GpuioWarning
from gpuio.recordio.framing import HEADER_BYTES, MAGIC, end_of_record, head_at, is_junk, walk
from gpuio.storage.local import LocalFile

__all__ = ["SkippedRange", "resync", "warn_of_skipped"]

Int64 = npt.NDArray[np.int64]

_WINDOW = 1 << 20  # most bytes searched at once
_FIRST_WINDOW = 4 << 10  # the next head is mostly near; a multiple of four
_NAMED = 5  # ranges that a warning lists
_SWALLOWER = "the record holds the head of another: its length is damaged"


@attrs.frozen
class SkippedRange:
    """Bytes of a file that are part of no record: [begin, end), and why."""

    path: str
    begin: int
    end: int
    reason: str

    def as_dict(self) -> dict[str, str | int]:
        """Return the fields as JSON types."""
        return attrs.asdict(self)


def resync(
    file: LocalFile, *, thorough: bool = False
) -> tuple[Int64, Int64, tuple[SkippedRange, ...]]:
    """Find every record of a file, going on behind damage.

    Parameters
    ----------
    file : LocalFile
    thorough : bool         read every byte, and give up a record that holds other records, because
                            its length is damaged; otherwise that is looked for beside damage only

    Returns
    -------
    offsets, lengths : int64[N]     place and framed size of each record, in bytes
    skipped : tuple of SkippedRange the bytes in no record, ascending

    Raises
    ------
    StorageError            the file cannot be read

    Notes
    -----
    Behind damage, a head is believed if it stands at a multiple of four from the record before it,
    its flags and lengths make a record that lies in the file and holds no magic but its parts', and
    another head, or the end of the file, follows. A record between two damaged ones, which nothing
    follows, is believed too. Where the size of the file says that bytes are missing or too many,
    heads at the distance from its end are looked for as well, and the first one of all is taken.
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


def _before_a_swallower(file: LocalFile, found: Int64, sizes: Int64) -> int:
    """Return how many records come before the first that holds another one."""
    for number, (start, size) in enumerate(zip(found.tolist(), sizes.tolist(), strict=True)):
        inside = _foreign_magics(file, start, start + size)
        # a writer that cuts nothing may leave a magic in a payload: only a record counts
        if any(_record_at(file, at) is not None for at in inside):
            return number
    return len(found)


def _behind(file: LocalFile, bad: int, last: int) -> tuple[list[tuple[int, int]], int]:
    """Search from a fault on.

    Parameters
    ----------
    file : LocalFile
    bad : int       byte of the fault
    last : int      where the record that ends there starts; `bad` if there is none

    Returns
    -------
    alone : list of (begin, end)        records that no head follows, ascending
    following : int                     a record after which walking goes on; the file's size if
                                        there is none; before `bad` if the last record, from which
                                        bytes are missing, reaches into it
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
    file: LocalFile, begin: int, bad: int, alone: list[tuple[int, int]], following: int
) -> int:
    """Return where records go on if bytes were lost or added; the file's size if they do not.

    Parameters
    ----------
    file : LocalFile
    begin : int         heads are looked for there and every four bytes on
    bad : int           a record that ends before this may be part of the last one's payload
    alone, following    what is believed if no bytes were lost or added, as `_behind` has it

    Notes
    -----
    A payload may hold a record file. So what lies in one of `alone` is no record, nor is what is
    believed if it lies in a record that is found here: that begins before it, and is taken.
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


def _magics(file: LocalFile, begin: int, end: int) -> Iterator[int]:
    """Yield where the magic stands in [begin, end), every fourth byte from `begin` looked at."""
    at, size = begin, _FIRST_WINDOW
    while at < end:
        data = file.read(at, min(size, end - at))
        words = np.frombuffer(data, "<u4", len(data) // 4)
        for found in np.flatnonzero(words == MAGIC).tolist():
            yield at + 4 * found
        at += size
        size = min(8 * size, _WINDOW)


def _record_at(file: LocalFile, start: int) -> int | None:
    """Return the end of the record at `start`; None if it is none or holds a foreign magic."""
    try:
        end = end_of_record(file, start)
    except FormatError:
        return None
    return None if _holds_foreign_magic(file, start, end) else end


def _holds_foreign_magic(file: LocalFile, start: int, end: int) -> bool:
    """Say whether the record [start, end) holds a magic that is no head of its parts."""
    return next(_foreign_magics(file, start, end), None) is not None


def _foreign_magics(file: LocalFile, start: int, end: int) -> Iterator[int]:
    """Yield where, in the record [start, end), magics stand that are no heads of its parts."""
    head = start
    for found in _magics(file, start, end):
        if found == head:
            _, length = head_at(file.read(head, HEADER_BYTES), 0)
            head += HEADER_BYTES + length + -length % 4
        else:
            yield found


def _starts_or_ends(file: LocalFile, at: int) -> bool:
    """Say whether a record's head stands at a place, or the file ends there."""
    if at + HEADER_BYTES > file.size:
        return at == file.size
    try:
        return head_at(file.read(at, HEADER_BYTES), 0)[0] in (0, 1)
    except FormatError:
        return False


def _fault_at(file: LocalFile, at: int) -> str:
    """Say what is wrong with the record at a place."""
    try:
        end_of_record(file, at)
    except FormatError as error:
        return error.message
    return _SWALLOWER


def warn_of_skipped(skipped: Sequence[SkippedRange], what: str) -> None:
    """Give one warning for the ranges of a file; `what` says what becomes of them."""
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
