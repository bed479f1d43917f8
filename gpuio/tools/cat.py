"""cat: write the encoded image of one record, as it is stored."""

from __future__ import annotations

import argparse
import json
import sys
from os.path import expanduser

from gpuio.errors import OptionError, Where
from gpuio.recordio.foreign import is_image
from gpuio.recordio.keys import index_beside
from gpuio.storage.atomic import check_target, writing
from gpuio.tools.entries import add_file_arguments, entries, open_records
from gpuio.tools.mending import repair_line
from gpuio.tools.terminal import say

__all__ = ["add_arguments", "run"]

EXAMPLES = ("gpuio cat train.rec 22 --out 22.jpg", "gpuio cat train.rec 22 | file -")
EXITS = {1: "no record has the key, or it holds no image, or the file is damaged"}
STOPPED = "start it again: no file gets its name before it is complete"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_file_arguments(parser)
    parser.add_argument("key", help="the record's key; without an index its number, from 0")
    parser.add_argument(
        "--out", type=expanduser, help="the file to write; standard output if not given"
    )
    parser.add_argument(
        "--json", action="store_true", help="say as JSON what was written; needs --out"
    )


def run(args: argparse.Namespace) -> int:
    """Write the image.

    Returns
    -------
    int         0 done, 1 no such key, or no image there, or the file is damaged, 2 standard output
                is a terminal, 3 a file could not be read or written
    """
    if args.json and args.out is None:
        raise OptionError("--json needs --out: standard output is the image")
    if args.out is None and sys.stdout.isatty():
        say("cat", "the output is an image: give --out, or redirect it to a file")
        return 2
    if args.out is not None:
        index = args.idx or index_beside(args.record)
        check_target(args.out, [args.record, *([index] if index else [])], own=is_image)
    records = open_records(args)
    rows = records.find(args.key)
    if len(rows) == 0:
        word = "key" if records.keyed.any() else "record"
        say("cat", f"no {word} {args.key} in {args.record}")
        return 1
    if len(rows) > 1:
        say("cat", f"{len(rows)} records have key {args.key}: the first")
    (entry,) = entries(records, rows[:1])
    if entry.error is not None and len(entry.blob) == 0:
        if entry.key is None:
            say("cat", f"{entry.name}: {entry.error.message}; {repair_line(args.record)}")
            return 1
        error = entry.error.within(Where(args.record, entry.key, entry.offset))
        raise type(error)(
            f"{error.message}; {repair_line(args.record)}",
            path=error.path,
            key=error.key,
            offset=error.offset,
        ) from entry.error
    if len(entry.blob) == 0:
        say("cat", f"{entry.name} holds labels and no image")
        return 1
    if args.out is None:
        sys.stdout.buffer.write(entry.blob)
        sys.stdout.buffer.flush()
    else:
        with writing(args.out) as file:
            file.write(entry.blob)
    if args.json:
        told = {"path": args.record, "key": entry.key, "record": entry.number, "out": args.out}
        print(json.dumps(told | {"bytes": len(entry.blob)}, indent=1))
    return 0
