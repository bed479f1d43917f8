"""Which records of a file are shown: the first ones, random ones, or some of each label."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gpuio.errors import RecordError
from gpuio.recordio.classes import labels_of
from gpuio.tools.entries import Records

__all__ = ["group_rows", "some_rows"]

Int64 = npt.NDArray[np.int64]

_ALL = 100_000  # records of a file whose labels are all read
_AROUND = 400  # records about one whose label is looked for in a larger file


def some_rows(count: int, of: int, first: int, seed: int | None) -> Int64:
    """Return `count` rows from `first` on, or with a seed random ones, in their order."""
    if seed is None:
        return np.arange(first, min(first + count, of))
    random = np.random.default_rng(seed)
    return np.sort(random.choice(of - first, min(count, of - first), replace=False)) + first


def group_rows(records: Records, count: int, each: int, seed: int | None) -> list[Int64]:
    """Return rows in groups of one label, at most `each` per group, at most `count` in all.

    The labels are evenly spread over those of the file; random ones with a seed. Of a large file
    only some labels are read: records of one label are looked for near each other, as they lie in
    sets of identities.

    Raises
    ------
    RecordError         the records have no labels
    """
    total, groups = len(records.table), max(1, count // each)
    random = None if seed is None else np.random.default_rng(seed)
    if total > _ALL:
        found = list(_near_some(records, groups, seed or 0))
    else:
        labels = labels_of(records.table)
        known = np.unique(labels[np.isfinite(labels)])
        if random is not None:
            known = np.sort(random.permutation(known)[:groups])
        elif len(known) > groups:
            known = known[np.linspace(0, len(known) - 1, groups).round().astype(int)]
        found = [np.flatnonzero(labels == label) for label in known.tolist()]
    if not found:
        raise RecordError("no record has a label to group by: show them without --each-label")
    if random is not None:
        found = [np.sort(random.permutation(rows)[:each]) for rows in found]
    return [rows[:each] for rows in found]


def _near_some(records: Records, groups: int, seed: int) -> Iterator[Int64]:
    """Yield rows of one label each, found about drawn records of a large file."""
    total, shown = len(records.table), set[float]()
    for anchor in some_rows(groups, total, 0, seed).tolist():
        rows = np.arange(max(0, anchor - _AROUND // 2), min(total, anchor + _AROUND // 2))
        labels = labels_of(records.table.take(rows))
        label = float(labels[anchor - rows[0]])
        if np.isfinite(label) and label not in shown:
            shown.add(label)
            yield rows[labels == label]
