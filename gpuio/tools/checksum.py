"""checksum: write the checksums of a record file's records beside it."""

from __future__ import annotations

import argparse
import json
import sys
from os.path import expanduser

from gpuio.errors import OptionError
from gpuio.recordio.checksum import write_checksums
from gpuio.tools.entries import record_files
from gpuio.tools.progress import add_progress, progress, scanning

__all__ = ["add_arguments", "run"]

EXAMPLES = ("gpuio checksum train.rec", "gpuio verify train.rec --checksum")
EXITS = {1: "the record file is damaged"}
STOPPED = "start it again: no file gets its name before it is complete"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "records",
        type=expanduser,
        nargs="+",
        metavar="FILE",
        help="the .rec files; of a folder, those in it",
    )
    parser.add_argument(
        "--out", type=expanduser, help="the file to write, for one FILE; default: FILE.crc32"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Write the checksums.

    Returns
    -------
    int         0 done, 1 the record file is damaged, 3 a file could not be read or written
    """
    files, written = record_files(args.records), []
    if args.out is not None and len(files) > 1:
        raise OptionError(f"--out belongs to one file, and there are {len(files)}")
    for path in files:
        with (
            scanning(f"reading {path}", args.progress),
            progress(f"checksum {path}", args.progress) as advance,
        ):
            made = write_checksums(path, args.out, advance)
        print(f"{made.path}: {len(made)} records", file=sys.stderr)
        written.append({"path": path, "checksums": made.path, "records": len(made)})
    if args.json:
        print(json.dumps({"files": written}, indent=1))
    return 0
