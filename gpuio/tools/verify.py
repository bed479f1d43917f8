"""verify: look for damage in record files and say what it is and where."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from os.path import expanduser
from typing import Any, NamedTuple

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
from gpuio.tools.engine import add_engine, runner
from gpuio.tools.entries import add_files_arguments, named_files
from gpuio.tools.mending import repair_line
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
    add_engine(parser, "one task per file")
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
        help="threads that check records; default: as many as cores, one in a task of Ray",
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
    for facts in _in_order(files, args):
        if "error" in facts:
            code = 3
            say("verify", facts["error"])
        else:
            code = max(code, int(bool(facts["problems"])))
            if not args.json:
                _print(facts, args)
        found.append(facts)
    if args.json:
        print(json.dumps({"files": found, "sound": code == 0}, indent=1))
    return code


def _in_order(
    files: Sequence[tuple[str, str | None]], args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield what was found in each file, wherever it is looked at."""
    if args.engine != "local":
        more = {"threads": args.threads or 1, "progress": "none"}
        args = argparse.Namespace(**{**vars(args), **more})
    jobs = [_Job(number, *one, args) for number, one in enumerate(files)]
    waiting: dict[int, dict[str, Any]] = {}
    following = 0
    for number, facts in runner(args, num_cpus=args.threads or 1)(_verified, jobs):
        waiting[number] = facts
        while following in waiting:
            yield waiting.pop(following)
            following += 1


class _Job(NamedTuple):
    """A file to look at: its place among them, its path, its index, and how closely."""

    number: int
    path: str
    idx: str | None
    args: argparse.Namespace


def _verified(job: _Job) -> tuple[int, dict[str, Any]]:
    """Return a file's number and what was found in it; "error": why it cannot be read."""
    try:
        with progress(f"verify {job.path}", job.args.progress) as advance:
            idx = job.idx or index_beside(job.path)
            return job.number, _facts(job.path, idx, job.args, advance)
    except StorageError as error:
        return job.number, {"path": job.path, "error": str(error)}


def examine(
    file: StoredFile,
    idx: str | None,
    args: argparse.Namespace,
    advance: Callable[[int, int], None],
    *,
    thorough: bool = False,
) -> tuple[Layout, Sequence[str | None], list[Problem]]:
    """Check a file as closely as the arguments of `add_depth` say; `thorough` reads all of it.

    Returns
    -------
    layout : Layout
    keys : sequence of str or None  of each record, from the index
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
    keys: Sequence[str | None] = [None] * len(layout.offset)
    if idx is not None:
        keys, wrong = audit_index(idx, layout, file.size)
        if len(keys) and wrong and all(key is None for key in keys):
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
            file, layout, depth, keys, threads=args.threads or usable_cores(), progress=advance
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


def _print(facts: dict[str, Any], args: argparse.Namespace) -> None:
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
    if step := _next_step(facts, args):
        print(f"{facts['path']}: {step}")


def _next_step(facts: dict[str, Any], args: argparse.Namespace) -> str:
    """Return what mends the problems of one file; "" where nothing of ours does."""
    kinds = {
        one["kind"]
        for one in facts["problems"]
        if one["kind"] != "checksum" or one["record"] is not None
    }
    if not facts["records"]:
        return ""
    if kinds & {"framing", "record", "image", "checksum"}:
        depth = ["--decode" if args.decode else "--headers"] if args.decode or args.headers else []
        if args.checksum:
            depth.append(
                "--checksum"
                if args.checksum is True
                else f"--checksum {shlex.quote(args.checksum)}"
            )
        return repair_line(facts["path"], " ".join(depth))
    if "index" in kinds:
        return f"`gpuio rec2idx {shlex.quote(facts['path'])}` makes a new index"
    return ""
