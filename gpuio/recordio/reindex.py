"""Indexes made in memory, for files that have no usable index of their own."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

import attrs
import numpy as np

from gpuio.errors import FormatError, GpuioWarning, StorageError
from gpuio.recordio.index import RecordTable, file_table, join_tables, open_table
from gpuio.recordio.keys import fits, index_beside, read_listed

__all__ = ["reindexed"]

_FOREIGN = "it is another file's"

_log = logging.getLogger("gpuio")


def reindexed(
    paths: Sequence[str], idx_paths: Sequence[str] = (), *, past_damage: bool = False
) -> RecordTable:
    """Find every record of a set of files by an index; a scan replaces a missing one.

    Parameters
    ----------
    paths : sequence of str         .rec files
    idx_paths : sequence of str     one index per file, or none at all. One that is missing or does
                                    not belong to its file is ignored with a warning
    past_damage : bool              as `open_table` has it

    Returns
    -------
    RecordTable                     `indexed` is true; a scanned file's keys are those of the index
                                    beside it, where none was named, else 0, 1, 2, ...

    Raises
    ------
    StorageError, FormatError       as `open_table`; a missing or wrong index alone never raises
    """
    if len(idx_paths) not in (0, len(paths)):
        return open_table(paths, idx_paths, past_damage=past_damage)  # which says what is wrong
    if not idx_paths:
        made = [_by_beside(path, past_damage=past_damage) for path in paths]
        return attrs.evolve(join_tables(made), indexed=True)
    pairs = zip(paths, idx_paths, strict=True)
    return join_tables([_one(*pair, past_damage=past_damage) for pair in pairs])


def _by_beside(path: str, *, past_damage: bool) -> RecordTable:
    """Scan a file; keys are those of the index beside it, if that belongs to it."""
    made = file_table(path, None, past_damage=past_damage)
    idx_path = index_beside(path)
    if idx_path is None or not len(made):
        return made
    try:
        listed = read_listed(idx_path)
        ranges = [(one.begin, one.end) for one in made.skipped]
        wrong = "" if fits(listed.offset, made.offset, int(made.sizes[0]), ranges) else _FOREIGN
    except (FormatError, StorageError) as error:
        wrong = error.message
    if wrong:
        _log.warning("%s is not used (%s): keys are 0 to %d", idx_path, wrong, len(made) - 1)
        return made
    if not listed.whole:
        return made
    keys, new = listed.keys_of(made.offset)
    if new:
        _log.warning("%s does not list %d of the records: they have new keys", idx_path, new)
    return made.with_keys(np.array(keys, np.int64))


def _one(path: str, idx_path: str, *, past_damage: bool) -> RecordTable:
    """Use a file's index; if that fails, scan the file."""
    try:
        return file_table(path, idx_path, past_damage=past_damage)
    except (FormatError, StorageError) as error:
        # raises if the record file itself is damaged
        made = file_table(path, None, past_damage=past_damage)
        warnings.warn(
            GpuioWarning(
                f"{idx_path} is not used ({error.message}): reindex=True, so {path} was scanned, "
                f"keys are 0 to {len(made) - 1}; `gpuio rec2idx` makes a new index"
            ),
            stacklevel=4,
        )
        return attrs.evolve(made, indexed=True)
