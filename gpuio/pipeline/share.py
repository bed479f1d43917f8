"""What is made by one call, and how batches are put together from it.

A batch is cut into shares; small batches that were loaded together are one share, and are cut apart
here, each with the faults of its own rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.backend import Fault
from gpuio.order.epochs import BatchOrder
from gpuio.pipeline.finished_batch import BatchPosition, FinishedBatch
from gpuio.pipeline.reader import Records

__all__ = ["Loaded", "Share", "gather", "gathered"]


@attrs.define(eq=False)
class Loaded:
    """A batch's records and plan; or those of several small ones, one behind the other.

    Drawing the plan took `plan_s` seconds.
    """

    position: BatchPosition
    order: BatchOrder
    records: Records
    plan: npt.NDArray[np.void]
    batches: tuple[tuple[BatchPosition, BatchOrder], ...] = ()  # of several
    plan_s: float = 0.0

    def apart(self) -> list[Loaded]:
        """Return the several batches, each for itself."""
        made, first = [], 0
        for position, order in self.batches:
            stop = first + len(order.position)
            records = self.records.rows(first, stop)
            made.append(Loaded(position, order, records, self.plan[first:stop]))
            first = stop
        return made


@attrs.define(eq=False)
class Share:
    """Some rows of what was loaded together, to be decoded and augmented by one call; or help.

    Attributes
    ----------
    starved_s : float   seconds before it in which a thread waited for records
    last : bool         whether it is the last one of what was loaded together
    team : object       what the calls for it share, if the backend says so
    helps : bool        whether the call helps the one before it
    """

    loaded: Loaded
    out: Any
    first: int
    stop: int
    starved_s: float = 0.0
    last: bool = True
    team: Any = None
    helps: bool = False


def gather(shares: Iterator[tuple[Share, list[Fault]]]) -> list[FinishedBatch]:
    """Put the next batch together from its shares, or those that were made as one."""
    faults: list[Fault] = []
    while True:
        share, failed = next(shares)
        faults += failed
        if share.last:
            break
    loaded = share.loaded
    records, encoded = loaded.records, loaded.records.encoded
    faults = sorted(records.faults + faults, key=lambda fault: fault.row)
    warned = encoded.warned.any()
    made, first = [], 0
    for position, order in loaded.batches or ((loaded.position, loaded.order),):
        rows = slice(first, first + len(order.position))
        made.append(
            FinishedBatch(
                position=position,
                order=order,
                data=share.out[rows] if loaded.batches else share.out,
                label=records.labels[rows],
                index=records.index[rows],
                pad=order.pad,
                no_label=records.no_label,
                plan=loaded.plan[rows],
                faults=[
                    Fault(fault.row - first, fault.error)
                    for fault in faults
                    if first <= fault.row < rows.stop
                ],
                cut_short=0 if loaded.batches else encoded.cut_short,
                warned=encoded.warned[rows] if warned else None,
                accepted=records.accepted,
            )
        )
        first = rows.stop
    return made


def gathered(shares: Iterator[tuple[Share, list[Fault]]]) -> Iterator[FinishedBatch]:
    """Put one batch after the other together, until the shares end."""
    while True:
        try:
            made = gather(shares)
        except StopIteration:
            return
        yield from made
