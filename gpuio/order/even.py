"""Shares: which rows of a step each part takes, and what each part gets of an epoch.

A *step* is one batch of every part. With ``shard="even"`` all parts share one sequence: full step
after full step, each part taking its consecutive share, and the rows that are left at the end in
shares that differ by one row at most. MXNet's parts have a sequence each, of one part.

Invariant: everything here follows from numbers that every part knows. So parts agree on it without
asking each other, and have the same number of batches with ``shard="even"``.
"""

from __future__ import annotations

import math
from typing import Any

import attrs

__all__ = [
    "Division",
    "PartShare",
    "ShardPlan",
    "even_plan",
    "ever_leaves_a_part_empty",
    "lengths_ever_differ",
    "separate_plan",
]


@attrs.frozen
class Division:
    """How the steps of one sequence are divided.

    Attributes
    ----------
    parts, index : int      how many parts share it, and which one this is
    size : int              rows of one part's batch
    ending : {"borrow", "pad", "partial", "discard"}
    """

    parts: int
    index: int
    size: int
    ending: str

    @property
    def step(self) -> int:
        """Rows of a full step."""
        return self.parts * self.size

    def own(self, left: int) -> tuple[int, int]:
        """Return which rows of a step of `left` rows, 0 .. step, this part takes: first, stop.

        Notes
        -----
        The rows of an epoch's end are divided as ``left * r // parts`` says. With "borrow" the
        first parts have the row more: then this division and the last one are nested, and a pass,
        whose first rows were borrowed by the epoch before it, is divided as evenly as an epoch.
        """
        if left == self.step:
            return self.index * self.size, (self.index + 1) * self.size
        if self.ending == "borrow":
            each, more = divmod(left, self.parts)
            first, stop = (at * each + min(at, more) for at in (self.index, self.index + 1))
            return first, stop
        return left * self.index // self.parts, left * (self.index + 1) // self.parts

    def borrowed(self, left: int) -> tuple[int, int]:
        """Return which rows of the next pass complete this part's batch: first, stop."""
        first, stop = self.own(left)
        return self.index * self.size - first, (self.index + 1) * self.size - stop

    def rows(self, rest: int, batches: int) -> int:
        """Return how many of an epoch's `rest` rows this part has in its batches."""
        if rest <= 0:
            return 0
        full, left = divmod(rest, self.step)
        if full >= batches:
            return batches * self.size
        first, stop = self.own(left)
        return full * self.size + stop - first


@attrs.frozen
class PartShare:
    """What one part gets of an epoch.

    Attributes
    ----------
    part_index : int
    batches : int
    records : int           of the epoch itself; rows borrowed from the next one do not count
    pad : int               rows of its batches that are padded or borrowed
    """

    part_index: int
    batches: int
    records: int
    pad: int


@attrs.frozen
class ShardPlan:
    """Who gets what of an epoch.

    Attributes
    ----------
    shard : {"mxnet", "even"}
    last_batch : str        "borrow", "pad", "partial" or "discard"
    records : int           of all parts that are left from the epoch's start on
    dropped : int           of these, left out by last_batch="discard"
    parts : tuple of PartShare
    equal : bool            every part has the same number of batches, in every epoch
    all_padding : bool      a part may get a batch without a record, in this or a later epoch
    """

    shard: str
    last_batch: str
    records: int
    dropped: int
    parts: tuple[PartShare, ...]
    equal: bool
    all_padding: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON types."""
        made = attrs.asdict(self)
        made["parts"] = list(made["parts"])
        return made


def even_plan(division: Division, count: int, records: int) -> ShardPlan:
    """Return who gets what of one sequence.

    Parameters
    ----------
    division : Division     of any part
    count : int             records that are left of the pass; 0 or less: none
    records : int           of a whole pass
    """
    size, rest = division.size, max(count, 0)
    batches, left = divmod(rest, division.step)
    dropped = left if division.ending == "discard" else 0
    batches += left > dropped
    shares = []
    for index in range(division.parts):
        rows = attrs.evolve(division, index=index).rows(rest, batches)
        short = rows if division.ending == "partial" else 0
        if short <= (batches - 1) * size:
            short = 0  # the last batch would have no row: it has all, of padding
        shares.append(PartShare(index, batches, rows, (short or batches * size) - rows))
    empty = ever_leaves_a_part_empty(records, division)
    return ShardPlan(
        "even", division.ending, rest, dropped, tuple(shares), equal=True, all_padding=empty
    )


def separate_plan(counts: list[int], size: int, ending: str) -> ShardPlan:
    """Return who gets what where each part has records of its own.

    Parameters
    ----------
    counts : list of int    records of each part
    size, ending : as `Division` has them
    """
    alone = Division(1, 0, size, ending)
    plans = [even_plan(alone, count, count) for count in counts]
    parts = [attrs.evolve(plan.parts[0], part_index=index) for index, plan in enumerate(plans)]
    return ShardPlan(
        "mxnet",
        ending,
        sum(plan.records for plan in plans),
        sum(plan.dropped for plan in plans),
        tuple(parts),
        equal=not lengths_ever_differ(counts, size, ending),
        all_padding=False,
    )


def lengths_ever_differ(counts: list[int], size: int, ending: str) -> bool:
    """Say whether sequences of so many records have different numbers of batches in some epoch.

    Parameters
    ----------
    counts : list of int        records of each part
    size, ending : as `Division` has them
    """
    if ending == "borrow":  # what is borrowed adds up until one part has a batch less
        return len(set(counts)) > 1
    if ending == "discard":
        return len({count // size for count in counts}) > 1
    return len({-(-count // size) for count in counts}) > 1


def ever_leaves_a_part_empty(count: int, division: Division) -> bool:
    """Say whether a step of some epoch has fewer rows than parts, though at least one."""
    parts, step = division.parts, division.step
    if parts == 1 or division.ending == "discard" or count == 0:
        return False
    if division.ending == "borrow":  # epoch e ends with (e + 1) * count % step rows
        return math.gcd(count, step) < parts
    return 0 < count % step < parts
