"""rec2idx: make the index of a record file."""

from __future__ import annotations

import argparse
import json
import sys
from os.path import expanduser
from typing import Any

from gpuio.errors import OptionError
from gpuio.recordio.foreign import is_index
from gpuio.recordio.index import remake_index
from gpuio.recordio.index_binary import binary_path, share_index
from gpuio.recordio.keys import index_beside
from gpuio.storage.atomic import check_target
from gpuio.storage.files import exists
from gpuio.storage.urls import beside, is_url
from gpuio.tools import cli
from gpuio.tools.entries import record_files
from gpuio.tools.progress import add_progress, scanning

__all__ = ["add_arguments", "main", "run"]

EXAMPLES = ("gpuio rec2idx train.rec train.idx", "gpuio rec2idx folder")
EXITS = {1: "the record file is damaged"}
STOPPED = "start it again: no file gets its name before it is complete"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "record", type=expanduser, help="the .rec file, or a folder: every .rec file in it"
    )
    parser.add_argument(
        "index",
        type=expanduser,
        nargs="?",
        help="the .idx file to write, default: the one beside the record file; an old one is "
        "replaced and its keys are kept",
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
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Write the index, with the keys of the one that it replaces, or that lies beside the file.

    Without one, and with --renumber, keys are the records' numbers: 0, 1, 2, ...

    Returns
    -------
    int         0 done, 1 the record file is damaged, 2 --binary beside a URL, 3 a file could not
                be read or written
    """
    files = record_files([args.record])
    if len(files) > 1 and args.index is not None:
        raise OptionError(f"{len(files)} record files have an index each: name no INDEX")
    made = [_index(path, args.index or beside(path, suffix=".idx"), args) for path in files]
    if args.json:
        print(json.dumps(made[0] if len(made) == 1 else {"files": made}, indent=1))
    return 0


def _index(record: str, index: str, args: argparse.Namespace) -> dict[str, Any]:
    """Write the index of one file; return what was written as JSON types."""
    if not index.endswith(".idx"):  # one may be damaged, or another file's
        check_target(index, [record], own=is_index)
    if args.binary:
        if is_url(index):
            raise OptionError(
                "--binary: a binary is for memory that processes share, and lies on a disk: name "
                "an INDEX that is a path",
                path=index,
            )
        check_target(binary_path(index), [record])
    older = index if exists(index) else index_beside(record)
    with scanning(f"reading {record}", args.progress):
        count, said = remake_index(
            record, index, past_damage=args.resync, keys_of=None if args.renumber else older
        )
    if args.renumber and older is not None:
        said += f"; those of {older} are not kept"
    if args.binary:
        share_index(index)
    print(f"{index}: {count} records, {said}", file=sys.stderr)
    return {"path": record, "index": index, "records": count, "keys": said}


def main(argv: list[str] | None = None) -> int:
    """Run the command; ``python -m gpuio.tools.rec2idx``."""
    return cli.main(["rec2idx", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
