"""Indexes made in memory, for files that have no usable index of their own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import attrs

from gpuio.errors import FormatError, GpuioWarning, StorageError
from gpuio.recordio.index import RecordTable, file_table, join_tables, open_table

__all__ = ["reindexed"]


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
    RecordTable                     `indexed` is true; a scanned file's keys are 0, 1, 2, ...

    Raises
    ------
    StorageError, FormatError       as `open_table`; a missing or wrong index alone never raises
    """
    if len(idx_paths) not in (0, len(paths)):
        return open_table(paths, idx_paths, past_damage=past_damage)  # which says what is wrong
    if not idx_paths:
        return attrs.evolve(open_table(paths, past_damage=past_damage), indexed=True)
    pairs = zip(paths, idx_paths, strict=True)
    return join_tables([_one(*pair, past_damage=past_damage) for pair in pairs])


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
