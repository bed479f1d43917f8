"""What becomes of a record that cannot be used: one decision, in one place.

Invariant: whatever the policy, a batch keeps its shape and an epoch its number of batches, so that
ranks stay in step; and every bad record is counted and named.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.backend import Fault
from gpuio.errors import DecodeError, FormatError, GpuioError, RecordError, Where
from gpuio.forking import lock
from gpuio.pipeline.stats import Stats
from gpuio.recordio.framing import MENDED
from gpuio.recordio.resync import SkippedRange
from gpuio.storage.paths import open_regular, unusable
from gpuio.tasks.task import WrongLabel

__all__ = ["Accepted", "ErrorPolicy", "Repairable", "is_error_log"]

_log = logging.getLogger("gpuio")
_REPLACEMENTS_TRIED = 16


@attrs.frozen
class Accepted:
    """A record that is used, though its label is wrong.

    Attributes
    ----------
    position : int          row of the table
    where : Where
    wrong : WrongLabel      what is wrong
    """

    position: int
    where: Where
    wrong: WrongLabel


class Repairable(Protocol):
    """A finished batch whose bad rows can be moved or made again."""

    pad: int
    faults: list[Fault]
    accepted: list[Accepted]

    def __len__(self) -> int:
        """Return the number of rows."""

    def move_up(self, keep: npt.NDArray[np.int64]) -> None:
        """Move the rows `keep` (ascending, int64) to the front and zero the rest."""


class ErrorPolicy:
    """Apply `on_error` to finished batches.

    Parameters
    ----------
    on_error : {"raise", "skip", "zero", "replace"}
        raise: the batch's first bad record is raised. skip: good rows move up, the rows freed at
        the end are zeros and counted in `pad`. zero: the row's image is zeros, its label is kept if
        it could be read. replace: another record of the same part takes the row.
    max_bad : int               distinct bad records after which the run stops all the same
    log_path : str              a file that gets one JSON line a bad record or range; "" for none
    stats : Stats
    """

    def __init__(self, on_error: str, max_bad: int, log_path: str, stats: Stats) -> None:
        self.on_error, self.max_bad = on_error, max_bad
        self._log_path, self._stats = log_path, stats
        self._seen: set[tuple[str | None, int | None]] = set()
        self._warned: set[int] = set()  # rows of the table
        self._accepted = bytearray()  # 1 for a row of the table that was noted
        self._lock = lock()

    def settle(self, batch: Repairable, remake: Callable[[int, int], GpuioError | None]) -> None:
        """Deal with a batch's bad rows, in place.

        Parameters
        ----------
        batch : Repairable
        remake : callable(row, attempt) -> GpuioError or None
            put another record into a row; None when that worked

        Raises
        ------
        GpuioError      the first bad record under "raise"; under any policy when more than
                        `max_bad` records were bad
        """
        self.note_accepted(batch.accepted)
        if not batch.faults:
            return
        for fault in batch.faults:
            self._note(fault.error)
        if self.on_error == "raise":
            raise _with_next_step(batch.faults[0].error)
        for fault in batch.faults:
            _let_go(fault.error)
        with self._lock:
            bad = len(self._seen)
        if bad > self.max_bad:
            first = batch.faults[0].error
            raise type(first)(
                f"{bad} bad records, more than max_bad={self.max_bad}; the last one: "
                f"{first.message}",
                path=first.path,
                key=first.key,
                offset=first.offset,
            ) from first
        if self.on_error == "skip":
            keep = np.setdiff1d(np.arange(len(batch)), [fault.row for fault in batch.faults])
            lost = sum(fault.row < len(batch) - batch.pad for fault in batch.faults)
            batch.move_up(keep)
            batch.pad += lost
        elif self.on_error == "replace":
            for fault in batch.faults:
                self._replace(fault, remake)

    def _replace(self, fault: Fault, remake: Callable[[int, int], GpuioError | None]) -> None:
        """Try other records for a row until one is good."""
        error: GpuioError | None = fault.error
        for attempt in range(_REPLACEMENTS_TRIED):
            error = remake(fault.row, attempt)
            if error is None:
                return
            self._note(error)
        assert error is not None
        raise error

    def _note(self, error: GpuioError) -> None:
        """Count and name a bad record, once."""
        with self._lock:
            if (error.path, error.offset) in self._seen:
                return
            self._seen.add((error.path, error.offset))
        self._stats.add_fault(error)
        self._log(
            [
                {
                    "path": error.path,
                    "key": error.key,
                    "offset": error.offset,
                    "error": type(error).__name__,
                    "reason": error.message,
                    "policy": self.on_error,
                }
            ]
        )

    def note_accepted(self, records: Sequence[Accepted]) -> None:
        """Count and name records that are used, though their labels are wrong, each once.

        Raises
        ------
        StorageError        the log cannot be written
        """
        if not records:
            return
        with self._lock:
            warned = len(self._accepted) > 0
            new = [one for one in records if self._is_new(one.position)]
        for one in new:
            self._stats.add(bad_boxes=one.wrong.count)
            self._stats.add_accepted(*one.where, str(one.wrong))
        if not warned:
            what = RecordError(str(new[0].wrong), **new[0].where._asdict())
            _log.warning(
                "wrong boxes, which the option bad_boxes decides on: %s; stats() counts them, "
                "`gpuio verify --headers` names all",
                what,
            )
        self._log(
            [
                {
                    **one.where._asdict(),
                    "error": RecordError.__name__,
                    "reason": str(one.wrong),
                    "policy": "bad_boxes",
                }
                for one in new
            ]
        )

    def note_warning(self, position: int, where: Where) -> None:
        """Count and name a record whose image was decoded with a warning, once.

        Parameters
        ----------
        position : int          row of the table
        where : Where
        """
        with self._lock:
            if position in self._warned:
                return
            first = not self._warned
            self._warned.add(position)
        self._stats.add_warned(where)
        if first:
            _log.warning(
                "decoded with a warning of libjpeg, so part of the image may not be its own: "
                "%s; stats() counts them, `gpuio verify --decode` names all",
                DecodeError("damaged JPEG data", **where._asdict()),
            )

    def _is_new(self, position: int) -> bool:
        """Mark a row of the table; say whether it was not marked before."""
        missing = position + 1 - len(self._accepted)
        if missing > 0:
            self._accepted.extend(bytes(missing))
        new = not self._accepted[position]
        self._accepted[position] = 1
        return new

    def note_skipped(self, ranges: Sequence[SkippedRange]) -> None:
        """Name the ranges of the files that hold no record to read.

        Raises
        ------
        StorageError        the log cannot be written
        """
        self._stats.add_skipped(one.as_dict() for one in ranges)
        self._log(
            [
                {
                    "path": one.path,
                    "key": None,
                    "offset": one.begin,
                    "end": one.end,
                    "error": FormatError.__name__,
                    "reason": one.reason,
                    "policy": "resync",
                }
                for one in ranges
            ]
        )

    def _log(self, entries: list[dict[str, Any]]) -> None:
        """Append lines to the log."""
        if not (self._log_path and entries):
            return
        now = time.time()
        try:
            with open(self._log_path, "a", encoding="utf-8", opener=open_regular) as log:
                log.writelines(json.dumps({"time": now, **entry}) + "\n" for entry in entries)
        except OSError as failed:
            raise unusable("error_log cannot be written", failed, self._log_path) from failed


def is_error_log(head: bytes) -> bool:
    """Whether a file that begins with these bytes is an error_log."""
    return head.startswith(b'{"time": ')


def _with_next_step(error: GpuioError) -> GpuioError:
    """Return the error of a bad record with what to do about it."""
    step = "on_error='skip' goes on without such records"
    if isinstance(error, FormatError) and MENDED not in error.message:
        step = f"{MENDED}, and {step}"
    made = type(error)(
        f"{error.message}; {step}", path=error.path, key=error.key, offset=error.offset
    )
    made.__cause__ = error.__cause__
    return made.with_traceback(error.__traceback__)


def _let_go(error: BaseException | None) -> None:
    """Drop the tracebacks of an error that is not raised.

    Their frames hold the batch, which holds the error: the batch's memory could not be used again
    before the garbage collector came by.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
