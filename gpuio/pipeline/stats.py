"""What a pipeline has done so far: counts, times and the records that failed.

Invariant: adding is safe from any thread and costs no more than a lock.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from gpuio.backend.protocol import Work
from gpuio.errors import GpuioError, Where
from gpuio.forking import lock

__all__ = ["Since", "Stats"]

_MAX_NAMED_FAULTS = 1000
_COUNTS = (
    *("batches", "images", "encoded_bytes", "cut_short"),
    *("faults", "bad_boxes", "decoded_with_warnings", "discarded"),
)
_SECONDS = ("read_s", "make_s", "wait_s")  # measured in any case
_STAGES = (
    *("file_s", "plan_s", "decode_s", "kernels_s", "mix_s"),
    "fetch_s",  # in which threads of their own were fetching, one of them or several
    "fetched_s",  # that the reading thread waited for them
    "starved_s",  # that a making thread waited for records
    "asked_s",  # from asking for a batch until it is handed out
    "consumer_s",  # from handing one out until the next one of its epoch is asked for
    "between_s",  # from an epoch's last batch until the next one's first is asked for
    "thread_s",  # of making threads, whether they worked or not
)
_CPU_EVERY_S = 0.1  # seconds between two looks at the CPU time of the process


@attrs.frozen(eq=False)
class Since:
    """What was measured since the first batch was handed out, and in all.

    Attributes
    ----------
    totals, since : dict        seconds by name, "images", "batches", "faults" and "read_bytes", and
                                how many batches stood read, and made, when one was asked for,
                                summed over these: in all; since then
    cores_used : float          cores that this process kept busy since then; None if not measured
    single : bool               no epoch had a second batch
    read_bytes : dict           bytes in all, by storage
    decoders : dict             images in all, by decoder
    """

    totals: dict[str, float]
    since: dict[str, float]
    cores_used: float | None
    single: bool
    read_bytes: dict[str, int]
    decoders: dict[str, int]


@attrs.define(eq=False)
class _Turns:
    """When batches were asked for and handed out, in seconds of `time.perf_counter`."""

    last: float = 0.0  # batch handed out; 0: none was
    inner: int = 0  # batches that were not the first of their epoch
    before: dict[str, float] | None = None  # totals when the first one was handed out
    begun: float = 0.0  # when that was, and when the process was last looked at
    looked: float = 0.0
    cpu_begun: float = 0.0  # CPU seconds of the process at these times
    cpu: float = 0.0

    def cores_used(self) -> float | None:
        """Return CPU seconds of the process over seconds, None before the second look."""
        wall = self.looked - self.begun
        return (self.cpu - self.cpu_begun) / wall if wall > 0 else None


class Stats:
    """Counters of one iterator, kept over its whole life.

    Parameters
    ----------
    timed : bool        measure each stage, not only reading, making and waiting as a whole

    Attributes
    ----------
    timed : bool
    """

    def __init__(self, *, timed: bool = True) -> None:
        self.timed = timed
        self._lock = lock()
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._seconds = dict.fromkeys((*_SECONDS, *_STAGES), 0.0)
        self._faults: list[dict[str, Any]] = []
        self._skipped: list[dict[str, Any]] = []
        self._accepted: list[dict[str, Any]] = []
        self._warned: list[dict[str, Any]] = []
        self._read: dict[str, int] = {}
        self._routes: dict[str, int] = {}
        self._ready = [0, 0]  # batches read, and made, at each hand-out, summed
        self._fetches, self._fetches_since = 0, 0.0  # under way; when the first of these began
        self._turns = _Turns()

    def add(self, **amounts: float) -> None:
        """Add to counters or seconds by name."""
        with self._lock:
            for name, amount in amounts.items():
                if name in self._counts:
                    self._counts[name] += int(amount)
                else:
                    self._seconds[name] += amount

    def add_file(self, seconds: float, read: Mapping[str, int]) -> None:
        """Add a read of files: its seconds, and bytes by storage."""
        with self._lock:
            self._seconds["file_s"] += seconds
            for storage, amount in read.items():
                self._read[storage] = self._read.get(storage, 0) + amount

    @contextlib.contextmanager
    def fetching(self) -> Iterator[None]:
        """Count the time in which at least one thread is inside of this."""
        with self._lock:
            if not self._fetches:
                self._fetches_since = time.perf_counter()
            self._fetches += 1
        try:
            yield
        finally:
            with self._lock:
                self._fetches -= 1
                if not self._fetches:
                    self._seconds["fetch_s"] += time.perf_counter() - self._fetches_since

    def add_read(self, seconds: float, plan_s: float, nbytes: int) -> None:
        """Add batches that were read, `plan_s` of the seconds drawing their plan.

        Parameters
        ----------
        nbytes : int            of their encoded images
        """
        with self._lock:
            self._seconds["read_s"] += seconds
            self._seconds["plan_s"] += plan_s
            self._counts["encoded_bytes"] += nbytes

    def add_made(self, seconds: float, starved_s: float, work: Work) -> None:
        """Add a share that was made, `seconds`, after `starved_s` of waiting for records."""
        with self._lock:
            total = self._seconds
            total["make_s"] += seconds
            total["starved_s"] += starved_s
            total["decode_s"] += work.decode_s
            total["kernels_s"] += work.kernels_s
            for route, images in work.routes.items():
                self._routes[route] = self._routes.get(route, 0) + images

    def add_taken(self, images: int, wait_s: float, cut_short: int, ready: tuple[int, int]) -> None:
        """Add a batch that the consumer took.

        Parameters
        ----------
        images : int
        wait_s : float          that it waited
        cut_short : int         JPEGs without their end that were accepted
        ready : (int, int)      batches that stood read, and made, when it was asked for
        """
        with self._lock:
            count = self._counts
            count["batches"] += 1
            count["images"] += images
            count["cut_short"] += cut_short
            self._seconds["wait_s"] += wait_s
            self._ready[0] += ready[0]
            self._ready[1] += ready[1]

    def hand_out(self, asked: float, now: float, *, first: bool, threads: int = 0) -> None:
        """Note that a batch was asked for and handed out, at these times of `time.perf_counter`.

        Parameters
        ----------
        first : bool            it is the first one of its epoch
        threads : int           that made batches since the one before; 0: it is not known
        """
        with self._lock:
            turns, total = self._turns, self._seconds
            total["asked_s"] += now - asked
            if turns.last:
                total["between_s" if first else "consumer_s"] += asked - turns.last
                total["thread_s"] += threads * (now - turns.last)
                turns.inner += not first
            turns.last = now
            if turns.before is None:
                turns.begun = turns.looked = now
                turns.cpu_begun = turns.cpu = time.process_time()
                turns.before = self._totals()
            elif now - turns.looked > _CPU_EVERY_S:
                turns.looked, turns.cpu = now, time.process_time()

    def fail(self, asked: float, now: float, *, first: bool, threads: int = 0) -> None:
        """Note that a batch was asked for and none could be given: shares say nothing of that."""
        with self._lock:
            turns, total = self._turns, self._seconds
            if turns.last:
                total["between_s" if first else "consumer_s"] += asked - turns.last
                total["between_s"] += now - asked
                total["thread_s"] += threads * (now - turns.last)
                turns.last = now

    def _totals(self) -> dict[str, float]:
        """Return the seconds, and the counts that rates are made of."""
        fetch_s = self._seconds["fetch_s"]
        if self._fetches:
            fetch_s += time.perf_counter() - self._fetches_since
        return {
            **self._seconds,
            "fetch_s": fetch_s,
            "images": self._counts["images"],
            "batches": self._counts["batches"],
            "faults": self._counts["faults"],
            "read_bytes": sum(self._read.values()),
            "ready_read": self._ready[0],
            "ready_made": self._ready[1],
        }

    def begin_again(self) -> None:
        """Let the next batch handed out be the first one that `since_first` counts from."""
        with self._lock:
            self._turns = _Turns()

    def as_numbers(self) -> dict[str, float]:
        """Return the seconds, summed over threads, and the number of batches."""
        with self._lock:
            return {**self._seconds, "batches": self._counts["batches"]}

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
                **{name: self._seconds[name] for name in _SECONDS},
                "failed_records": list(self._faults),
                "bad_box_records": list(self._accepted),
                "warned_records": list(self._warned),
                "skipped_ranges": list(self._skipped),
            }

    def since_first(self) -> Since:
        """Return what was measured since the first batch was handed out."""
        with self._lock:
            turns, totals = self._turns, self._totals()
            before = turns.before or totals
            return Since(
                totals=totals,
                since={name: value - before[name] for name, value in totals.items()},
                cores_used=turns.cores_used(),
                single=turns.inner == 0,
                read_bytes=dict(self._read),
                decoders=dict(self._routes),
            )
