"""The order of ``shuffle="block"``: blocks of neighbouring records, mixed in a pool of some blocks.

The records are cut into blocks of one number of records; the blocks are permuted and dealt into
pools; the records of a pool are permuted. Blocks can be read whole, one after the other.

Invariant: the record at a place is a pure function of (number of records, records per block, blocks
per pool, seed, pass, place): nothing of it depends on ranks, batches, or what was read before.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.forking import lock
from gpuio.order.permutation import BLOCKS, POOL, Permutation, permutation

__all__ = ["BlockPasses", "Pool", "block_records"]

_Int64 = npt.NDArray[np.int64]

_MIB = 1 << 20
_LISTED = 1 << 20  # blocks: few places of an order that is a hundred times as long are asked for
_PASSES_KEPT, _POOLS_KEPT = 2, 4  # where a batch may begin and end, and where one reads ahead


def block_records(records: int, total_bytes: int, block_mib: float) -> int:
    """Return how many records a block of about so many MiB holds, at least 1.

    Parameters
    ----------
    records, total_bytes : int      of the whole set, so that every part has the same blocks
    block_mib : float
    """
    mean = max(-(-total_bytes // max(records, 1)), 1)
    return max(int(block_mib * _MIB) // mean, 1)


@attrs.frozen
class Pool:
    """Records of a pass that are mixed with each other.

    Attributes
    ----------
    pass_index, number : int            which pool of which pass
    first, stop : int                   its places in the pass
    blocks : tuple of (first, stop)     rows of the table of each block, in the order of the pass
    """

    pass_index: int
    number: int
    first: int
    stop: int
    blocks: tuple[tuple[int, int], ...]


@attrs.frozen(eq=False)
class _Pass:
    """One pass: its blocks' order, and where the last block stands, which may be shorter."""

    blocks: Permutation
    short_at: int  # place of the last block among the blocks
    short_pool: int  # the pool that holds it


class BlockPasses:
    """Passes over consecutive rows of the table, mixed pool by pool.

    Parameters
    ----------
    first_row, n_records : int      the rows, of all records or of one part
    per_block : int                 records of a block; the last one may have fewer
    per_pool : int                  blocks of a pool at most; pools differ by one block at most
    seed : int
    """

    def __init__(
        self, first_row: int, n_records: int, per_block: int, per_pool: int, seed: int
    ) -> None:
        self.n_records = n_records
        self._first_row, self._seed, self._per_block = first_row, seed, per_block
        self._blocks = -(-n_records // per_block)
        self._pools = -(-self._blocks // per_pool)
        self._lacking = self._blocks * per_block - n_records  # records, of the last block
        self._passes: dict[int, _Pass] = {}
        self._mixed: dict[tuple[int, int], Permutation] = {}
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
        position = np.empty_like(places)
        done = first
        while done < stop:
            number = self.pool_at(pass_index, done)
            begin, end = self.span(pass_index, number)
            upto = min(end, stop)
            some = places[done - first : upto - first] - begin
            position[done - first : upto - first] = self._in_pool(pass_index, number, some)
            done = upto
        return position, pass_index * self.n_records + places

    def pool_at(self, pass_index: int, place: int) -> int:
        """Return the number, in its pass, of the pool that holds a place."""
        now = self._pass(pass_index)
        if place >= self._edge(now.short_pool + 1) * self._per_block - self._lacking:
            place += self._lacking
        return ((place // self._per_block + 1) * self._pools - 1) // self._blocks

    def pool(self, pass_index: int, number: int) -> Pool:
        """Return a pool of a pass."""
        now = self._pass(pass_index)
        places = np.arange(self._edge(number), self._edge(number + 1), dtype=np.int64)
        low = now.blocks.at(places) * self._per_block
        high = np.minimum(low + self._per_block, self.n_records)
        blocks = zip((low + self._first_row).tolist(), (high + self._first_row).tolist(),
                     strict=True)  # fmt: skip
        first, stop = self.span(pass_index, number)
        return Pool(pass_index, number, first, stop, tuple(blocks))

    @property
    def pools(self) -> int:
        """How many pools a pass has."""
        return self._pools

    def _edge(self, number: int) -> int:
        """Return the first block's place of a pool, or the end behind the last pool."""
        return self._blocks * number // self._pools

    def span(self, pass_index: int, number: int) -> tuple[int, int]:
        """Return where a pool's places begin and end in the pass."""
        short = self._pass(pass_index).short_pool
        begin, end = (self._edge(at) * self._per_block for at in (number, number + 1))
        return begin - self._lacking * (number > short), end - self._lacking * (number >= short)

    def _in_pool(self, pass_index: int, number: int, places: _Int64) -> _Int64:
        """Return the table's rows at some places of a pool."""
        now = self._pass(pass_index)
        at = self._mix(pass_index, number).at(places)
        if number == now.short_pool:
            gone = (now.short_at - self._edge(number) + 1) * self._per_block - self._lacking
            at = np.where(at >= gone, at + self._lacking, at)
        block, row = np.divmod(at, self._per_block)
        found: _Int64 = now.blocks.at(self._edge(number) + block) * self._per_block
        return found + row + self._first_row

    def _pass(self, pass_index: int) -> _Pass:
        with self._lock:
            found = self._passes.get(pass_index)
            if found is None:
                blocks = permutation(
                    self._blocks, self._seed, BLOCKS, pass_index, most_listed=_LISTED
                )
                at = blocks.place_of(self._blocks - 1)
                found = _Pass(blocks, at, ((at + 1) * self._pools - 1) // self._blocks)
                _keep(self._passes, pass_index, found, _PASSES_KEPT)
            return found

    def _mix(self, pass_index: int, number: int) -> Permutation:
        begin, end = self.span(pass_index, number)
        with self._lock:
            found = self._mixed.get((pass_index, number))
            if found is None:
                found = permutation(end - begin, self._seed, POOL, pass_index, number)
                _keep(self._mixed, (pass_index, number), found, _POOLS_KEPT)
            return found

    def chunks(self, pass_index: int) -> tuple[_Int64, _Int64]:  # noqa: ARG002 -- all the same
        """Return the rows as one chunk: see `Passes.chunks`."""
        return np.array([self._first_row], np.int64), np.array([self.n_records], np.int64)

    def reach(self, pass_index: int) -> None:
        """Nothing stands before a pass."""


def _keep(held: dict[Any, Any], key: Any, value: Any, most: int) -> None:
    """Add an entry; drop the oldest ones."""
    while len(held) >= most:
        del held[next(iter(held))]
    held[key] = value
