"""cat: write the encoded image of one record, as it is stored."""

from __future__ import annotations

import argparse
import sys

import numpy as np

from gpuio.errors import Where
from gpuio.storage.atomic import check_target, writing
from gpuio.tools.entries import entries, open_contents

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("record", help="the .rec file")
    parser.add_argument(
        "key", type=int, help="the record's key; without an index its number from 0"
    )
    parser.add_argument("--idx", help="its .idx file")
    parser.add_argument("--out", help="the file to write; standard output if not given")


def run(args: argparse.Namespace) -> int:
    """Write the image.

    Returns
    -------
    int         0 done, 1 no such key, or no image there, or the file is damaged, 2 standard output
                is a terminal, 3 a file could not be read or written
    """
    if args.out is None and sys.stdout.isatty():
        print("cat: the output is an image: give --out, or redirect it to a file", file=sys.stderr)
        return 2
    if args.out is not None:
        check_target(args.out, [args.record, *([args.idx] if args.idx else [])])
    contents = open_contents(args)
    rows = np.flatnonzero(contents.table.key == args.key)
    if len(rows) == 0:
        print(f"cat: no key {args.key} in {args.record}", file=sys.stderr)
        return 1
    if len(rows) > 1:
        print(f"cat: {len(rows)} records have key {args.key}: the first", file=sys.stderr)
    (entry,) = entries(contents, rows[:1])
    if entry.error is not None and len(entry.blob) == 0:
        raise entry.error.at(Where(args.record, entry.key, entry.offset))
    if len(entry.blob) == 0:
        print(f"cat: key {args.key} holds labels and no image", file=sys.stderr)
        return 1
    if args.out is None:
        sys.stdout.buffer.write(entry.blob)
        sys.stdout.buffer.flush()
    else:
        with writing(args.out) as file:
            file.write(entry.blob)
    return 0
