"""checksum: write the checksums of a record file's records beside it."""

from __future__ import annotations

import argparse
import sys
from os.path import expanduser

from gpuio.recordio.checksum import write_checksums
from gpuio.tools.progress import add_progress, progress

__all__ = ["add_arguments", "run"]

EXAMPLES = ("gpuio checksum train.rec", "gpuio verify train.rec --checksum")
EXITS = {1: "the record file is damaged"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("record", type=expanduser, help="the .rec file")
    parser.add_argument("--out", type=expanduser, help="the file to write; default: RECORD.crc32")
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Write the checksums.

    Returns
    -------
    int         0 done, 1 the record file is damaged, 3 a file could not be read or written
    """
    with progress("checksum", args.progress) as advance:
        made = write_checksums(args.record, args.out, advance)
    print(f"{made.path}: {len(made)} records", file=sys.stderr)
    return 0
