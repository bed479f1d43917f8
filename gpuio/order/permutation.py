"""Permutations of any number of records, pure functions of their keys: a full shuffle's order.

Up to 2^24 records a Fisher-Yates shuffle, drawn from Philox, is kept as an array. Above, where the
array would cost more than it is worth, a Feistel network computes each place by itself.

Invariant: what is drawn here is part of the format of saved states. It never changes: golden
numbers in the tests hold it.

Sources: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Philox); Luby and
Rackoff, SIAM J. Comput. 17(2), 1988; Black and Rogaway, "Ciphers with arbitrary finite domains",
CT-RSA 2002 (cycle walking).
"""

from __future__ import annotations

import hashlib
import struct
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gpuio.forking import lock
from gpuio.order.rng import shuffle

__all__ = [
    "BLOCKS",
    "LARGEST_LISTED",
    "POOL",
    "RECORDS",
    "FullPasses",
    "Permutation",
    "permutation",
]

_Int64 = npt.NDArray[np.int64]
_UInt64 = npt.NDArray[np.uint64]

LARGEST_LISTED = 1 << 24  # 64 MiB as int32; a Feistel network of few places is biased
_DRAWN_AT_ONCE = 1 << 20
_ROUNDS = 6  # 4 fail a chi-square test at 10 places
_WORD = (1 << 64) - 1
_PASSES_KEPT = 2  # this one, and the next one for borrowed rows

RECORDS, BLOCKS, POOL = 0x7265636F7264, 0x626C6F636B73, 0x706F6F6C  # what is permuted: the tags


class Permutation(Protocol):
    """Of the numbers 0 .. count-1."""

    def at(self, places: _Int64) -> _Int64:
        """Return the numbers at some places, 0 <= place < count."""
        ...

    def place_of(self, number: int) -> int:
        """Return the place of a number."""
        ...


def permutation(
    count: int,
    seed: int,
    tag: int,
    pass_index: int,
    group: int = 0,
    *,
    most_listed: int = LARGEST_LISTED,
) -> Permutation:
    """Return a permutation of `count` numbers.

    Parameters
    ----------
    count : int             1 <= count <= 2^62
    seed : int              any sign; taken modulo 2^64
    tag : int               what is permuted, so that one seed permutes several things
    pass_index, group : int taken modulo 2^64
    most_listed : int       numbers of which an array is made at most, up to 2^24
    """
    key = [value & _WORD for value in (seed, tag, pass_index, group)]
    return _Listed(count, key) if count <= most_listed else _Feistel(count, key)


class _Listed:
    """A Fisher-Yates shuffle: place i takes what stands at a place drawn from 0 .. i."""

    def __init__(self, count: int, key: list[int]) -> None:
        seed, tag, pass_index, group = key
        bits = np.random.Philox(
            key=np.array([seed, tag], np.uint64),
            counter=np.array([0, 0, group, pass_index], np.uint64),
        )
        others = np.empty(max(count - 1, 0), np.uint32)
        for first in range(0, len(others), _DRAWN_AT_ONCE):
            stop = min(first + _DRAWN_AT_ONCE, len(others))
            sizes = np.arange(first + 2, stop + 2, dtype=np.uint64)
            words: _UInt64 = bits.random_raw(stop - first)
            # 40 bits of a word times at most 2^24: no rejection, and a bias below 2^-16
            others[first:stop] = ((words >> np.uint64(24)) * sizes) >> np.uint64(40)
        self._numbers = np.arange(count, dtype=np.int32)
        shuffle(self._numbers, others)

    def at(self, places: _Int64) -> _Int64:
        """Return the numbers at some places."""
        return self._numbers[places].astype(np.int64)

    def place_of(self, number: int) -> int:
        """Return the place of a number."""
        return int(np.flatnonzero(self._numbers == number)[0])


class _Feistel:
    """A balanced network over the next even number of bits, walked on while outside of the range.

    A number is inside after 4 steps at most on average, since the range has at least a quarter of
    the network's numbers.
    """

    def __init__(self, count: int, key: list[int]) -> None:
        bits = max(2, (count - 1).bit_length())
        self._count, self._half = count, (bits + 1) // 2
        digest = hashlib.blake2b(struct.pack("<4Q", *key), digest_size=4 * _ROUNDS).digest()
        self._keys = np.frombuffer(digest, "<u4").astype(np.uint64)

    def at(self, places: _Int64) -> _Int64:
        """Return the numbers at some places."""
        return self._walk(places, forward=True)

    def place_of(self, number: int) -> int:
        """Return the place of a number."""
        return int(self._walk(np.array([number], np.int64), forward=False)[0])

    def _walk(self, values: _Int64, *, forward: bool) -> _Int64:
        from gpuio.kernels.plan.feistel import walk

        made = np.empty(len(values), np.int64)
        walk(np.ascontiguousarray(values), self._keys, self._half, self._count, forward, made)
        return made


class FullPasses:
    """Passes over consecutive rows of the table, each in an order of its own: ``shuffle="full"``.

    Parameters
    ----------
    first_row, n_records : int      the rows, of all records or of one part
    seed : int
    """

    def __init__(self, first_row: int, n_records: int, seed: int) -> None:
        self.n_records = n_records
        self._first_row, self._seed = first_row, seed
        self._kept: dict[int, Permutation] = {}
        self._lock = lock()

    def rows(
        self,
        pass_index: int,
        first: int,
        stop: int,
        start: int,  # noqa: ARG002 -- of MXNet's numbers
        batch_size: int,  # noqa: ARG002 -- of MXNet's numbers
    ) -> tuple[_Int64, _Int64]:
        """Return the records at places of a pass, and their samples' numbers: see `Passes.rows`."""
        places = np.arange(first, stop, dtype=np.int64)
        if first == stop:
            return places, places
        order = self._pass(pass_index)
        return self._first_row + order.at(places), pass_index * self.n_records + places

    def _pass(self, pass_index: int) -> Permutation:
        with self._lock:
            found = self._kept.get(pass_index)
            if found is None:
                while len(self._kept) >= _PASSES_KEPT:
                    del self._kept[next(iter(self._kept))]
                found = permutation(self.n_records, self._seed, RECORDS, pass_index)
                self._kept[pass_index] = found
            return found

    def chunks(self, pass_index: int) -> tuple[_Int64, _Int64]:  # noqa: ARG002 -- all the same
        """Return the rows as one chunk: see `Passes.chunks`."""
        return np.array([self._first_row], np.int64), np.array([self.n_records], np.int64)

    def reach(self, pass_index: int) -> None:
        """Nothing stands before a pass."""
