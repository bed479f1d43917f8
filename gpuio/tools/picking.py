"""Which records of a file are shown: the first ones, random ones, or some of each label."""

from __future__ import annotations

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
    table, total = records.table, len(records.table)
    groups = max(1, count // each)
    if total <= _ALL:
        rows = np.arange(total)
    else:
        anchors = np.unique(some_rows(2 * groups, total, 0, seed or 0))
        near = anchors[:, None] + np.arange(-_AROUND // 2, _AROUND // 2)
        rows = np.unique(np.clip(near, 0, total - 1))
    labels = labels_of(table.take(rows))
    known = np.flatnonzero(np.isfinite(labels))
    if len(known) == 0:
        raise RecordError("no record has a label to group by: show them without --each-label")
    found = np.unique(labels[known])
    if seed is not None:
        found = np.sort(np.random.default_rng(seed).permutation(found)[:groups])
    elif len(found) > groups:
        found = found[np.linspace(0, len(found) - 1, groups).round().astype(int)]
    made = []
    for label in found.tolist():
        same = rows[np.flatnonzero(labels == label)]
        if seed is not None:
            same = np.sort(np.random.default_rng(seed).permutation(same)[:each])
        made.append(same[:each])
    return made
