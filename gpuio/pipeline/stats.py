"""What a pipeline has done so far: counts, times and the records that failed.

Invariant: adding is safe from any thread and costs no more than a lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gpuio.errors import GpuioError, Where
from gpuio.forking import lock

__all__ = ["Stats"]

_MAX_NAMED_FAULTS = 1000
_COUNTS = (
    *("batches", "images", "encoded_bytes", "cut_short"),
    *("faults", "bad_boxes", "decoded_with_warnings", "discarded"),
)


class Stats:
    """Counters of one iterator, kept over its whole life."""

    def __init__(self) -> None:
        self._lock = lock()
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._seconds = {"read_s": 0.0, "make_s": 0.0, "wait_s": 0.0}
        self._faults: list[dict[str, Any]] = []
        self._skipped: list[dict[str, Any]] = []
        self._accepted: list[dict[str, Any]] = []
        self._warned: list[dict[str, Any]] = []

    def add(self, **amounts: float) -> None:
        """Add to counters or seconds by name."""
        with self._lock:
            for name, amount in amounts.items():
                if name in self._counts:
                    self._counts[name] += int(amount)
                else:
                    self._seconds[name] += amount

    def add_fault(self, error: GpuioError) -> None:
        """Count a failed record and keep its name; past 1,000 only the count grows."""
        with self._lock:
            self._counts["faults"] += 1
            if len(self._faults) < _MAX_NAMED_FAULTS:
                self._faults.append(
                    {
                        "path": error.path,
                        "key": error.key,
                        "offset": error.offset,
                        "reason": f"{type(error).__name__}: {error.message}",
                    }
                )

    def add_accepted(self, path: str | None, key: Any, offset: int | None, reason: str) -> None:
        """Keep the name of a record that is used, though its label is wrong; 1,000 at most."""
        with self._lock:
            if len(self._accepted) < _MAX_NAMED_FAULTS:
                self._accepted.append(
                    {"path": path, "key": key, "offset": offset, "reason": reason}
                )

    def add_warned(self, where: Where) -> None:
        """Count a record whose image was decoded with a warning, and keep the names of 1,000."""
        with self._lock:
            self._counts["decoded_with_warnings"] += 1
            if len(self._warned) < _MAX_NAMED_FAULTS:
                self._warned.append(where._asdict())

    def add_skipped(self, ranges: Iterable[dict[str, Any]]) -> None:
        """Keep ranges of files (path, begin, end, reason) that hold no record to read."""
        with self._lock:
            self._skipped += ranges

    def as_dict(self) -> dict[str, Any]:
        """Return the counts, the seconds (summed over threads) and what could not be read."""
        with self._lock:
            return {
                **self._counts,
                **self._seconds,
                "failed_records": list(self._faults),
                "bad_box_records": list(self._accepted),
                "warned_records": list(self._warned),
                "skipped_ranges": list(self._skipped),
            }
