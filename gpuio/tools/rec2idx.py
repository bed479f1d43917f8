"""rec2idx: make the index of a record file."""

from __future__ import annotations

import argparse
import sys
from os.path import expanduser
from pathlib import Path

from gpuio.recordio.foreign import is_index
from gpuio.recordio.index import remake_index
from gpuio.recordio.index_binary import binary_path, share_index
from gpuio.recordio.keys import index_beside
from gpuio.storage.atomic import check_target
from gpuio.tools import cli

__all__ = ["add_arguments", "main", "run"]

EXAMPLES = ("gpuio rec2idx train.rec train.idx",)
EXITS = {1: "the record file is damaged"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("record", type=expanduser, help="the .rec file")
    parser.add_argument(
        "index",
        type=expanduser,
        help="the .idx file to write; an old one is replaced and its keys are kept",
    )
    parser.add_argument(
        "--renumber",
        action="store_true",
        help="keys 0, 1, 2, ... also where an index of this file has others",
    )
    parser.add_argument(
        "--resync", action="store_true", help="go on behind damage; a warning names what is skipped"
    )
    parser.add_argument(
        "--binary",
        action="store_true",
        help="also write INDEX.bin, which opens large sets faster and in memory that all processes "
        "share",
    )


def run(args: argparse.Namespace) -> int:
    """Write the index, with the keys of the one that it replaces, or that lies beside the file.

    Without one, and with --renumber, keys are the records' numbers: 0, 1, 2, ...

    Returns
    -------
    int         0 done, 1 the record file is damaged, 3 a file could not be read or written
    """
    if not args.index.endswith(".idx"):  # one may be damaged, or another file's
        check_target(args.index, [args.record], own=is_index)
    if args.binary:
        check_target(binary_path(args.index), [args.record])
    older = args.index if Path(args.index).is_file() else index_beside(args.record)
    count, said = remake_index(
        args.record,
        args.index,
        past_damage=args.resync,
        keys_of=None if args.renumber else older,
    )
    if args.renumber and older is not None:
        said += f"; those of {older} are not kept"
    if args.binary:
        share_index(args.index)
    print(f"{args.index}: {count} records, {said}", file=sys.stderr)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command; ``python -m gpuio.tools.rec2idx``."""
    return cli.main(["rec2idx", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
