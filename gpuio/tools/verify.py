"""verify: look for damage in record files and say what it is and where."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from os.path import expanduser
from typing import Any

from gpuio.backend.cores import usable_cores
from gpuio.decode.turbojpeg import status
from gpuio.errors import FormatError, OptionError, StorageError
from gpuio.options.machine import MAX_PIXELS
from gpuio.pipeline.audit import Depth, Layout, Problem, audit_index, audit_records, lay_out
from gpuio.recordio.checksum import Checksums, checksum_path, read_checksums
from gpuio.recordio.foreign import foreign_kind
from gpuio.recordio.keys import index_beside
from gpuio.storage.files import open_stored
from gpuio.storage.stored import StoredFile
from gpuio.tools.arguments import at_least
from gpuio.tools.entries import add_files_arguments, named_files
from gpuio.tools.progress import add_progress, progress, scanning
from gpuio.tools.terminal import say

__all__ = ["add_arguments", "add_depth", "examine", "run"]

EXAMPLES = ("gpuio verify train.rec --headers", "gpuio verify *.rec --decode --json")
EXITS = {0: "nothing is wrong", 1: "problems were found"}

_SHOWN = 100  # problems of a file that are printed; --json holds all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_files_arguments(parser)
    add_depth(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_progress(parser)


def add_depth(parser: argparse.ArgumentParser) -> None:
    """Declare how closely records are checked."""
    parser.add_argument(
        "--headers",
        action="store_true",
        help="read every record; look at its and its image's head, and at the boxes of a detection "
        "set",
    )
    parser.add_argument("--decode", action="store_true", help="decode every image as well")
    parser.add_argument(
        "--checksum",
        type=expanduser,
        nargs="?",
        const=True,
        default=None,
        metavar="SUMS",
        help="compare with the checksums beside FILE, or in SUMS",
    )
    parser.add_argument(
        "--threads",
        type=at_least(1),
        default=usable_cores(),
        help="threads that check records",
    )
    parser.add_argument(
        "--max-pixels", type=at_least(1), default=MAX_PIXELS, help="larger is a problem"
    )


def run(args: argparse.Namespace) -> int:
    """Print every problem and a summary.

    Returns
    -------
    int         0 nothing is wrong, 1 problems, 2 the arguments do not fit each other, 3 a file
                could not be read
    """
    files = named_files(args)
    if isinstance(args.checksum, str) and len(files) > 1:
        raise OptionError("--checksum SUMS belongs to one file")
    found, code = [], 0
    for path, named in files:
        idx = named or index_beside(path)
        try:
            with progress(f"verify {path}", args.progress) as advance:
                facts = _facts(path, idx, args, advance)
        except StorageError as error:
            facts, code = {"path": path, "error": str(error)}, 3
            say("verify", str(error))
        else:
            code = max(code, int(bool(facts["problems"])))
            if not args.json:
                _print(facts)
        found.append(facts)
    if args.json:
        print(json.dumps({"files": found, "sound": code == 0}, indent=1))
    return code


def examine(
    file: StoredFile,
    idx: str | None,
    args: argparse.Namespace,
    advance: Callable[[int, int], None],
    *,
    thorough: bool = False,
) -> tuple[Layout, list[str | None], list[Problem]]:
    """Check a file as closely as the arguments of `add_depth` say; `thorough` reads all of it.

    Returns
    -------
    layout : Layout
    keys : list of str or None      of each record, from the index
    problems : list of Problem

    Raises
    ------
    StorageError                    a file cannot be read
    """
    problems: list[Problem] = []
    sums: Checksums | None = None
    if args.checksum:
        try:
            sums = read_checksums(
                checksum_path(file.path) if args.checksum is True else args.checksum
            )
            if sums.source_bytes != file.size:
                reason = (
                    f"{sums.path} was made of {sums.source_bytes:,} bytes, the file has "
                    f"{file.size:,}"
                )
                problems.append(Problem("checksum", reason))
        except FormatError as error:
            problems.append(Problem("checksum", str(error)))
    depth = Depth(headers=args.headers, images=args.decode, sums=sums, max_pixels=args.max_pixels)
    with scanning(f"reading {file.path}", args.progress):
        layout = lay_out(file, thorough=thorough or depth.reads)
    said = "" if len(layout.offset) else foreign_kind(file.read(0, min(file.size, 1024)))
    problems += [Problem("framing", said, offset=0)] if said else layout.problems
    keys: list[str | None] = [None] * len(layout.offset)
    if idx is not None:
        keys, wrong = audit_index(idx, layout, file.size)
        if keys and wrong and all(key is None for key in keys):
            print(wrong[0].reason, file=sys.stderr)  # records are named by their numbers
        problems += wrong
    if sums is not None:
        there = set(layout.offset.tolist())
        problems += [
            Problem("checksum", f"{sums.path} lists a record here that was not found", offset=at)
            for at in sums.offset.tolist()
            if at not in there
        ]
    if depth.reads:
        problems += audit_records(
            file, layout, depth, keys, threads=max(args.threads, 1), progress=advance
        )
    return layout, keys, problems


def _facts(
    path: str, idx: str | None, args: argparse.Namespace, advance: Callable[[int, int], None]
) -> dict[str, Any]:
    """Return what was found in one file, as JSON types."""
    with open_stored(path) as file:
        layout, _, problems = examine(file, idx, args, advance)
        if len(layout.offset) == 0 and not problems:
            problems.append(Problem("framing", "the file is empty"))
        warned = [one.as_dict() for one in problems if one.kind == "warning"]
        problems = [one for one in problems if one.kind != "warning"]
        return {
            "path": path,
            "bytes": file.size,
            "records": len(layout.offset),
            "index": idx,
            "checked": ["framing"]
            + ["index"] * (idx is not None)
            + ["headers"] * (args.headers or args.decode)
            + ["images"] * args.decode
            + ["checksums"] * bool(args.checksum),
            "problems": [problem.as_dict() for problem in problems],
            # without TurboJPEG nobody knows
            "decoded_with_warnings": len(warned) if args.decode and status().usable else None,
            "warnings": warned,
        }


def _print(facts: dict[str, Any]) -> None:
    """Print the problems and the summary of one file."""
    problems, warned = facts["problems"], facts["warnings"]
    for one in warned[:_SHOWN]:
        print(f"{facts['path']}: {Problem(**one)}")
    for one in problems[:_SHOWN]:
        print(f"{facts['path']}: {Problem(**one)}")
    if len(problems) > _SHOWN:
        print(f"{facts['path']}: and {len(problems) - _SHOWN} more; --json prints all")
    said = f"{len(problems)} problems" if problems else "nothing wrong"
    if warned:
        said += f"; {len(warned)} images are decoded with warnings"
    print(
        f"{facts['path']}: {facts['bytes']:,} bytes, {facts['records']:,} records, "
        f"{', '.join(facts['checked'])}: {said}"
    )
