"""An endless, ordered stream of batches: the threads that read, make and mix them ahead."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

from gpuio.backend import Fault
from gpuio.errors import GpuioError
from gpuio.pipeline.finished_batch import BatchPosition, FinishedBatch
from gpuio.pipeline.prefetch import Prefetcher
from gpuio.pipeline.share import Loaded, Share, gather, gathered
from gpuio.pipeline.stats import Stats
from gpuio.plan.mix import Mixer

__all__ = ["BatchStream", "Stages"]

_READ_AHEAD = 2  # readings of encoded bytes held beyond what is being made

_Read = tuple[list[Loaded], GpuioError | None]


class Stages(Protocol):
    """What a stream puts into threads: the pipeline's own methods say what each does."""

    stats: Stats
    together: int
    read_at_once: int
    mixer: Mixer | None

    @property
    def calls(self) -> int: ...  # noqa: D102
    def positions(self, position: BatchPosition) -> Iterator[BatchPosition]: ...  # noqa: D102
    def groups(self, position: BatchPosition) -> Iterator[tuple[BatchPosition, ...]]: ...  # noqa: D102
    def load(self, group: tuple[BatchPosition, ...]) -> _Read: ...  # noqa: D102
    def ahead(self, groups: Iterable[_Read]) -> Prefetcher[Share, tuple[Share, list[Fault]]]: ...  # noqa: D102
    def mix_early(self, made: FinishedBatch) -> FinishedBatch: ...  # noqa: D102


class BatchStream:
    """An endless, ordered stream of batches; owns the threads until it is closed or dropped.

    Attributes
    ----------
    expected : BatchPosition or None    where the next batch is
    stood_ready : (int, int)            batches that stood read, and made, when the last one was
                                        asked for
    """

    expected: BatchPosition | None
    stood_ready = 0, 0

    def __init__(self, pipeline: Stages, position: BatchPosition) -> None:
        self._stats, self._pid = pipeline.stats, os.getpid()
        self._positions = pipeline.positions(position)
        self.expected = next(self._positions)
        self._together, self._shares_a_batch = pipeline.together, pipeline.calls
        self._read_at_once = pipeline.read_at_once
        self._ready: deque[FinishedBatch] = deque()  # of the group that was handed out last
        with contextlib.ExitStack() as started:  # all stages or none
            self._loads = started.enter_context(
                Prefetcher(
                    pipeline.load,
                    pipeline.groups(position),
                    depth=_READ_AHEAD,
                    workers=1,
                    name="gpuio-read",
                )
            )
            self._shares = started.enter_context(pipeline.ahead(self._loads))
            self._mixed: Prefetcher[FinishedBatch, FinishedBatch] | None = None
            if pipeline.mixer is not None:
                self._mixed = Prefetcher(
                    pipeline.mix_early,
                    gathered(self._shares),
                    depth=1,
                    workers=1,
                    name="gpuio-mix",
                )
            started.pop_all()

    def is_at(self, position: BatchPosition) -> bool:
        """Say whether `next` gives that position; never in a forked child, which has no threads."""
        return self.expected == position and self._pid == os.getpid()

    def next(self) -> FinishedBatch:
        """Wait for the next batch.

        Raises
        ------
        GpuioError          what happened while the batch was read or made; the stream ends there
        """
        self.stood_ready = self.ready if self._stats.timed else (0, 0)
        if self._mixed is not None:
            made = next(self._mixed)
        else:
            if not self._ready:
                self._ready.extend(gather(self._shares))
            made = self._ready.popleft()
        self.expected = _next_or_none(self._positions)
        return made

    def resize(self, threads: int) -> int:
        """Make batches with another number of threads; return how many there are."""
        return self._shares.resize(threads)

    @property
    def workers(self) -> int:
        """Threads that make batches."""
        return self._shares.workers

    @property
    def ready(self) -> tuple[int, int]:
        """Batches that stand read and not begun, and made and not taken."""
        made = self._shares.ready // self._shares_a_batch * self._together + len(self._ready)
        if self._mixed is not None:
            made += self._mixed.ready
        return self._loads.ready * self._read_at_once, made

    def close(self) -> None:
        """Stop and join the threads; may be called twice."""
        self._loads.close()
        self._shares.close()
        if self._mixed is not None:
            self._mixed.close()


def _next_or_none(positions: Iterator[BatchPosition]) -> BatchPosition | None:
    """Return the next position; None where an epoch cannot be made: asking for it says why."""
    try:
        return next(positions, None)
    except GpuioError:
        return None
