"""MXNet's one generator for all records of a detection iterator, planned a chunk at a time.

MXNet's thread parses a chunk of the file from front to back and draws as it goes; shuffling moves
the finished images. So what a record draws depends on all records of the chunks before it and on
those before it in its own chunk, whatever the order in which they are handed out.

Invariant: a chunk's plan is a function of the files, the options, the pass and the chunk's number
in it: the state of the generator before a chunk is kept or found again by replay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.kernels.plan.layout import PLAN
from gpuio.order.epochs import Order
from gpuio.order.replay import Replay

__all__ = ["DetStream"]

_SEED = 233  # MXNet's constant, of its first thread
_CHUNKS_KEPT = 4  # a batch may begin in one and end in another, and the one after is read ahead

_Key = tuple[int, int]  # pass, number of the chunk in it
_State = npt.NDArray[np.uint32]
_Planned = tuple[int, npt.NDArray[np.void], npt.NDArray[np.float32]]  # first row, plan, labels


def _as_planned(planned: _Planned) -> _Planned:
    return planned


class DetStream:
    """Plans of records, drawn from one generator that never stops.

    Parameters
    ----------
    order : Order
    look : callable         positions to heights, widths and labels of the records there
    fill : callable         draws some rows and moves the generator's state on
    """

    def __init__(self, order: Order, look: Callable[..., Any], fill: Callable[..., Any]) -> None:
        from gpuio.kernels.plan.random_bits import mersenne_state

        self._order, self._look, self._fill = order, look, fill
        first: _State = mersenne_state(_SEED)
        self._chunks = Replay((0, 0), first, self._draw, _as_planned, kept=_CHUNKS_KEPT)

    def draw(
        self,
        pass_index: npt.NDArray[np.int64],
        record: npt.NDArray[np.int64],
        labels: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.void]:
        """Return the plans of some rows and move their labels.

        Parameters
        ----------
        pass_index, record : int64[B]       record -1 is a row without one
        labels : float32[B, W]              changed

        Returns
        -------
        PLAN[B]
        """
        made = np.zeros(len(record), PLAN)
        for which in np.unique(pass_index).tolist():
            rows = np.flatnonzero((pass_index == which) & (record >= 0))
            chunk = self._chunk_of(which, record[rows])
            for number in np.unique(chunk).tolist():
                mine = rows[chunk == number]
                first, plan, moved = self._chunks.result((which, number))
                made[mine] = plan[record[mine] - first]
                labels[mine] = moved[record[mine] - first]
        return made

    def _chunk_of(self, pass_index: int, record: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the number, in its pass, of each record's chunk."""
        starts, _ = self._order.chunks(pass_index)
        by_row = np.argsort(starts)
        found: npt.NDArray[np.int64] = by_row[
            np.searchsorted(starts[by_row], record, side="right") - 1
        ]
        return found

    def _draw(self, key: _Key, before: _State) -> tuple[_Planned, _State, _Key]:
        """Draw a chunk: its plan, the state after it, and the chunk that comes next."""
        pass_index, number = key
        starts, lengths = self._order.chunks(pass_index)
        first = int(starts[number])
        positions = np.arange(first, first + int(lengths[number]), dtype=np.int64)
        heights, widths, labels = self._look(positions)
        state = before.copy()
        plan = self._fill(
            state, heights, widths, np.full(len(positions), pass_index), positions, labels
        )
        after = (pass_index, number + 1) if number + 1 < len(starts) else (pass_index + 1, 0)
        return (first, plan, labels), state, after
