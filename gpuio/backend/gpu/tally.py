"""What a GPU's decode engines and the host's cores did of the decoding, and how long it took.

Invariant: adding is safe from any thread and costs no more than a lock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from gpuio.backend.protocol import Sample
from gpuio.forking import lock

__all__ = ["Tally"]


class Tally:
    """Counts of both sides; while somebody measures, each call is a sample instead.

    Attributes
    ----------
    measures : bool     whether calls are samples now: an engine's are to be waited for
    """

    def __init__(self) -> None:
        self._lock = lock()
        self._counts: dict[str, float] = {
            f"{side}_{what}": 0.0 if what == "s" else 0
            for side in ("engine", "host")
            for what in ("images", "bytes", "s")
        }
        self._samples: list[Sample] = []
        self.measures = False

    def add(self, side: str, images: int, encoded_bytes: int, work: float, seconds: float) -> None:
        """Add a call.

        Parameters
        ----------
        side : {"engine", "host"}
        images, encoded_bytes : int     that it decoded, and their size as they are stored
        work : float                    see `division.work_of`; looked at while somebody measures
        seconds : float
        """
        with self._lock:
            if self.measures:
                self._samples.append(Sample(side, images, work, seconds))
                return
            for what, amount in (("images", images), ("bytes", encoded_bytes), ("s", seconds)):
                self._counts[f"{side}_{what}"] += amount

    @contextlib.contextmanager
    def measuring(self) -> Iterator[list[Sample]]:
        """Give the samples of the calls made meanwhile; they are not counted."""
        with self._lock:
            self._samples, self.measures = [], True
        try:
            yield self._samples
        finally:
            with self._lock:
                self.measures = False

    def as_dict(self) -> dict[str, Any]:
        """Return images, bytes and seconds (summed over threads) of both sides."""
        with self._lock:
            return dict(self._counts)
