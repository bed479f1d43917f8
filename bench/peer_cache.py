"""gpuio with a cache of decoded images, as a peer of `peer_worker.py`: one epoch is timed."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

from peer_iterators import Gpuio

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cached"]


class Cached(Gpuio):
    """gpuio's ImageRecordIter on the CPU, in one epoch of a fresh iterator.

    `work` holds ``timed``, the epoch, 0 or 1; and ``disk_mb_per_s``, if reading from a cache on a
    disk is to be slowed down to that.
    """

    def __init__(self, work: dict[str, Any]) -> None:
        super().__init__(work)
        self.timed = work["timed"]
        if work.get("disk_mb_per_s"):
            slow_down(1e6 * work["disk_mb_per_s"])

    def batches(self) -> Iterator[tuple[int, Any]]:
        """Yield (images, array) of one epoch, after those before it."""
        it = self.mx.io.ImageRecordIter(**self.options)
        for _ in range(self.timed):
            for _ in it:
                pass
            it.reset()
        for batch in it:
            yield batch.data[0].shape[0] - batch.pad, batch.data[0]
        it.close()


def slow_down(bytes_per_s: float) -> None:
    """Let reading from a cache take as long as from a disk of that speed."""
    from gpuio.cache import disk
    from gpuio.cache.store import Store

    fetch = Store.fetch
    disk._major_faults = itertools.count().__next__  # noqa: SLF001 -- its pages are in memory

    def fetch_slowly(self: Any, found: Any, *, ahead: bool) -> int:
        begun = time.perf_counter()
        images: int = fetch(self, found, ahead=ahead)
        nbytes = int(self._kernels.sizes(found.slots[found.slots != 0]).sum())
        time.sleep(max(0.0, begun + nbytes / bytes_per_s - time.perf_counter()))
        return images

    Store.fetch = fetch_slowly  # type: ignore[method-assign]
