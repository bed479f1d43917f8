"""gpuio with a cache of decoded images, as a peer of `peer_worker.py`: some epochs are timed."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

from peer_iterators import Gpuio

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cached"]

LATER = 4  # epochs that are timed together: one of small images takes a tenth of a second


class Cached(Gpuio):
    """gpuio's ImageRecordIter on the CPU, in the first epoch of a fresh iterator, or in later ones.

    `work` holds ``timed``: 0, the first, or 1, those behind it; ``whole``, if its first batch is
    timed, too; and ``disk_mb_per_s``, if reading from a cache on a disk is to be slowed down to
    that.
    """

    def __init__(self, work: dict[str, Any]) -> None:
        super().__init__(work)
        self.timed, self.whole = work["timed"], work.get("whole")
        if work.get("disk_mb_per_s"):
            slow_down(1e6 * work["disk_mb_per_s"])

    def batches(self) -> Iterator[tuple[int, Any]]:
        """Yield (images, array) of the first epoch, or of later ones after it."""
        it = self.mx.io.ImageRecordIter(**self.options)
        for _ in range(self.timed):
            for _ in it:
                pass
            it.reset()
        if self.whole:
            yield 0, None
        for _ in range(LATER if self.timed else 1):
            for batch in it:
                yield batch.data[0].shape[0] - batch.pad, batch.data[0]
            it.reset()
        it.close()

    @staticmethod
    def to_numpy(batch: Any) -> list[Any]:
        """Return the images of a batch, one by one; of what comes before a first batch, none."""
        return [] if batch is None else list(batch.asnumpy().copy())


def slow_down(bytes_per_s: float) -> None:
    """Let reading from a cache take as long as from a disk of that speed."""
    from gpuio.cache import disk
    from gpuio.cache.store import Store

    fetch = Store.fetch
    disk._major_faults = itertools.count().__next__  # noqa: SLF001 -- its pages are in memory

    def fetch_slowly(self: Any, positions: Any, *, ahead: bool) -> Any:
        begun = time.perf_counter()
        found = fetch(self, positions, ahead=ahead)
        if found is not None:
            nbytes = int(self._kernels.sizes(found.slots[found.slots != 0]).sum())
            time.sleep(max(0.0, begun + nbytes / bytes_per_s - time.perf_counter()))
        return found

    Store.fetch = fetch_slowly  # type: ignore[method-assign]
