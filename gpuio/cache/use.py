"""One iterator's use of a store: what it looks for, what it leaves there, and how often it hits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.cache.store import Claim, Found, Store
from gpuio.forking import lock

__all__ = ["Cache"]

_Ints = npt.NDArray[np.int64]


class Cache:
    """Decoded images of one iterator's records.

    Parameters
    ----------
    kind : str              "host", "disk" or "device", for those who ask
    store : Store           may be shared
    share : float           of the rows that there is room for, 0 to 1
    release : callable      lets the store go, called once
    """

    def __init__(self, kind: str, store: Store, share: float, release: Callable[[], None]) -> None:
        self.kind, self._store, self._share = kind, store, share
        self.resident = len(store.memory.apart) > 0  # pixels are in the device's memory
        self._release: Callable[[], None] | None = release
        self._lock = lock()
        self._hits = self._misses = 0
        self._first: int | None = None  # pass in which the first record was kept

    def find(self, positions: _Ints) -> Found | None:
        """Return what is ready of rows of the table; None where nothing is.

        Parameters
        ----------
        positions : int64[n]    -1: no row
        """
        return None if self._release is None else self._store.find(positions)

    def count(self, hits: int, misses: int) -> None:
        """Count records whose pixels were found, and those whose were not."""
        with self._lock:
            self._hits += hits
            self._misses += misses

    def has(self, positions: _Ints) -> npt.NDArray[np.bool_]:
        """Say which rows of the table `find` would find now, as far as can be told unlooked-at.

        Parameters
        ----------
        positions : int64[n]    -1: no row
        """
        if self._release is None:
            return np.zeros(len(positions), np.bool_)
        return self._store.has(positions)

    def claim(
        self,
        positions: _Ints,
        pass_index: int,
        sizes: _Ints,
        heads: npt.NDArray[np.void],
        headers: npt.NDArray[np.void],
    ) -> Claim | None:
        """Take the rows that are to be kept and that nobody has; None where there are none.

        Of a set that does not fit, rows evenly spread over the table are kept; where room is left
        after a pass, others as they come.

        Parameters
        ----------
        positions : int64[n]    rows of the table; -1: no row
        pass_index : int        over the records
        sizes : int64[n]        bytes of the decoded images; 0: there is none to keep
        heads : HEADS[n]
        headers : HEADER[n]
        """
        if self._release is None:
            return None
        if self._first is None:
            self._first = pass_index
        share = self._share if pass_index <= self._first else 1.0
        return self._store.claim(positions, sizes, heads, headers, share)

    def settle(self, claim: Claim, kept: npt.NDArray[np.bool_], *, tried: bool) -> None:
        """Say what became of claimed rows of a share: see `Store.settle`."""
        self._store.settle(claim, kept, tried)

    def made_alone(self, images: int, seconds: float) -> None:
        """Take notice of a share made without this: its images, and the seconds of the thread."""

    def counts(self) -> dict[str, Any]:
        """Return what was found and what there is, for statistics.

        ``kind``; ``hits`` and ``misses``, records of this iterator so far; ``images`` and ``bytes``
        that the cache holds now, for all that share it.
        """
        with self._lock:
            found = {"kind": self.kind, "hits": self._hits, "misses": self._misses}
        return {**found, "images": self._store.ready, "bytes": self._store.memory.nbytes}

    def close(self) -> None:
        """Let the store go; may be called twice."""
        release, self._release = self._release, None
        if release is not None:
            release()
