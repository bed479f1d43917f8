"""repair: copy the intact records of a damaged file into a new one, with an index and a report.

Invariant: the source is only read. The target gets its name complete or not at all, its index last.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from os.path import expanduser
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gpuio.errors import GpuioError, MissingFileError, OptionError, StorageError
from gpuio.pipeline.audit import PlainKeys, Problem
from gpuio.recordio.index import write_index
from gpuio.recordio.index_text import is_key
from gpuio.recordio.keys import index_beside
from gpuio.storage.atomic import check_target, writing
from gpuio.storage.files import exists, open_stored, remove, same_file
from gpuio.storage.stored import StoredFile
from gpuio.storage.urls import beside, name_of
from gpuio.tools.progress import add_progress, progress
from gpuio.tools.verify import add_depth, examine

__all__ = ["add_arguments", "run"]

EXAMPLES = ("gpuio repair damaged.rec sound.rec --headers",)
EXITS = {1: "something was left out", 3: "a file could not be read or written, or nothing is left"}
STOPPED = "start it again: no file gets its name before it is complete"

Int64 = npt.NDArray[np.int64]

_AT_ONCE = 8 << 20  # bytes copied at once
_ROWS = 1 << 16
_SHOWN = 100  # of what is left out
_UNUSABLE = ("record", "image", "checksum")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", type=expanduser, help="the damaged .rec file")
    parser.add_argument(
        "target", type=expanduser, help="the .rec file to write, with .idx and .json beside it"
    )
    parser.add_argument(
        "--idx",
        type=expanduser,
        help="the index whose keys are kept; default: the .idx beside it. Without one that belongs "
        "to it the keys are the records' numbers",
    )
    add_depth(parser)
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Write the copy; --headers, --decode or --checksum also leave out what fails that check.

    Returns
    -------
    int         0 nothing was left out, 1 something was, 2 the target may not be written, 3 a file
                could not be read or written, or nothing is left to copy
    """
    try:
        report = _repair(args)
    except (OptionError, StorageError):
        raise
    except GpuioError as error:  # nothing but files can be in the way
        raise StorageError(error.message, path=error.path, offset=error.offset) from error
    left_out = report["left_out"]
    if args.json:
        print(json.dumps(report, indent=1))
        return 1 if left_out else 0
    for one in left_out[:_SHOWN]:
        print(f"left out: {Problem(**one)}")
    if len(left_out) > _SHOWN:
        print(f"left out: {len(left_out) - _SHOWN} more; the report lists them all")
    print(
        f"{args.target}: {report['records']:,} records, {report['bytes']:,} of "
        f"{report['source_bytes']:,} bytes; {len(left_out)} left out"
    )
    return 1 if left_out else 0


def _targets(args: argparse.Namespace) -> tuple[str, str, str]:
    """Return the paths of record file, index and report.

    Raises
    ------
    StorageError        the source does not exist
    OptionError         they would be the source, its index, or existing files
    """
    if not exists(args.source):
        raise MissingFileError("no such file", path=args.source)
    target = beside(args.target, name=name_of(args.target))
    paths = (target, beside(target, suffix=".idx"), beside(target, suffix=".json"))
    if len(set(paths)) < len(paths):
        raise OptionError(f"target {target}: expected another name than an index or report has")
    other = beside(target, suffix=".rec")
    if other != target and exists(other):
        raise OptionError(f"the index of target {target} would be that of {other}: name another")
    sources = [args.source, args.idx or beside(args.source, suffix=".idx")]
    for path in paths:
        if any(same_file(path, source) for source in sources):
            raise OptionError(f"{path} is the source: name another target")
        if exists(path) and not args.force:
            raise OptionError(f"{path} exists: name another target, or replace it with --force")
        check_target(path, record=path == target)
    return paths


def _repair(args: argparse.Namespace) -> dict[str, Any]:
    """Write the three files and return the report."""
    target, idx_target, report_target = _targets(args)
    idx = args.idx or index_beside(args.source)
    how = args.progress
    with open_stored(args.source) as file:
        with progress("repair: reading", how) as advance:
            layout, listed, problems = examine(file, idx, args, advance, thorough=True)
        named = [one.offset for one in problems if one.kind in _UNUSABLE]
        wrong = np.isin(layout.offset, [at for at in named if at is not None])
        bad = set(layout.offset[wrong].tolist())
        rows = np.flatnonzero(~wrong)
        lost = [one.kind == "framing" or one.offset in bad for one in problems]
        if not len(rows):
            raise StorageError("no record is sound: there is nothing to copy", path=args.source)
        keys = _keys(rows, listed)
        length = layout.length[rows]
        report = {
            "source": args.source,
            "source_bytes": file.size,
            "target": args.target,
            "bytes": int(length.sum()),
            "records": len(rows),
            "index": idx,
            "left_out": [one.as_dict() for one in itertools.compress(problems, lost)],
            "other_problems": [
                one.as_dict() for one, out in zip(problems, lost, strict=True) if not out
            ],
        }
        with writing(target, record=True) as out:
            with progress("repair: writing", how) as advance:
                _copy(file, layout.offset[rows], length, out, advance)
            file.check_unchanged()
            remove(idx_target)  # an old target's index must not outlive it
    with writing(report_target) as out:
        out.write(json.dumps(report, indent=1).encode())
    write_index(idx_target, keys, _each(np.cumsum(length) - length))
    return report


def _each(column: Int64) -> Iterator[int]:
    """Yield the numbers of a column as Python's, without a list of all of them."""
    for at in range(0, len(column), _ROWS):
        yield from column[at : at + _ROWS].tolist()


def _keys(rows: Int64, listed: Sequence[str | None]) -> Iterable[str]:
    """Return a key for each record: the index's, or a number after the largest one.

    Without an index the key is the record's number in the source, `rows`, so that what is left out
    moves no other record to another key. A key of a damaged index that no index can give back is
    none.
    """
    if isinstance(listed, PlainKeys):  # every record has one, and it is a number
        return (listed[row] or "" for row in _each(rows))
    listed = [listed[row] for row in _each(rows)]
    listed = [key if key is not None and is_key(key) else None for key in listed]
    if all(key is None for key in listed):
        return map(str, _each(rows))
    numbers = [int(key) for key in listed if key is not None and key.isdecimal()]
    free = itertools.count(max(numbers, default=-1) + 1)
    return [str(next(free)) if key is None else key for key in listed]


def _copy(
    file: StoredFile,
    offset: Int64,
    length: Int64,
    out: BinaryIO,
    advance: Callable[[int, int], None],
) -> None:
    """Copy records; neighbours are copied at once."""
    row = 0
    while row < len(offset):
        stop = row + 1
        begin, end = int(offset[row]), int(offset[row] + length[row])
        while stop < len(offset) and offset[stop] == end and end - begin < _AT_ONCE:
            end += int(length[stop])
            stop += 1
        out.writelines(file.read(at, min(_AT_ONCE, end - at)) for at in range(begin, end, _AT_ONCE))
        row = stop
        advance(row, len(offset))
