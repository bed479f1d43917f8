"""filter: write the images of a record file that meet every condition, in their order."""

from __future__ import annotations

import argparse
import collections
import json
import sys
from collections.abc import Iterator
from os.path import expanduser
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.decode.formats import FORMATS
from gpuio.errors import FormatError, OptionError
from gpuio.recordio.classes import labels_of
from gpuio.storage.files import read_whole
from gpuio.storage.urls import name_of
from gpuio.tools.arguments import at_least
from gpuio.tools.classnames import class_names, copy_names
from gpuio.tools.entries import Records, entries, open_file
from gpuio.tools.parser import suggestion
from gpuio.tools.progress import add_progress, progress
from gpuio.tools.rewriting import add_target_arguments, check_free, images_of, rewrite

__all__ = ["add_arguments", "run"]

EXAMPLES = (
    "gpuio filter train.rec few.rec --labels cat dog",
    "gpuio filter train.rec large.rec --min-edge 224",
    "gpuio filter train.rec clean.rec --report report.json",
)
EXITS = {1: "the source is damaged"}

_SHORT = {"jpg": "jpeg", "tif": "tiff"}
_KINDS = ("record", "image", "label", "checksum", "framing")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", type=expanduser, help="the .rec file")
    parser.add_argument("target", type=expanduser, help="the .rec file to write, with its .idx")
    parser.add_argument(
        "--idx", type=expanduser, help="the source's index; default: the .idx beside it"
    )
    conditions = parser.add_argument_group("conditions, all of which an image must meet")
    conditions.add_argument(
        "--labels",
        nargs="+",
        metavar="LABEL",
        help="its first label is one of these: a number, a range such as 10-19, or a name of "
        ".classes.json",
    )
    conditions.add_argument(
        "--no-labels", nargs="+", metavar="LABEL", help="its first label is none of these"
    )
    conditions.add_argument("--min-edge", type=at_least(1), help="shorter edge, pixels")
    conditions.add_argument("--max-edge", type=at_least(1), help="longer edge, pixels")
    conditions.add_argument("--min-bytes", type=at_least(0), help="of the encoded image")
    conditions.add_argument("--max-bytes", type=at_least(1), help="of the encoded image")
    conditions.add_argument(
        "--formats", nargs="+", metavar="FORMAT", help="such as jpeg or png, by its first bytes"
    )
    conditions.add_argument(
        "--report",
        type=expanduser,
        help="what `gpuio verify --json` printed, or `gpuio repair` wrote, of this file: it names "
        "no problem of the record",
    )
    add_target_arguments(parser)
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Write what meets the conditions; say how many images each condition left out.

    Returns
    -------
    int         0 done, 1 the source is damaged, 2 the arguments do not fit, 3 a file could not be
                read or written, or nothing meets the conditions
    """
    _check(args)
    records = open_file(args.source, args.idx, "auto", args.progress)
    choice, others = images_of(records)
    check_free(args.target, choice.paths, force=args.force, resume=args.resume)
    left: collections.Counter[str] = collections.Counter()
    keep = np.ones(len(choice), bool)
    for name, met in _conditions(records, args):
        left[name] = int(np.count_nonzero(keep & ~met))
        keep &= met
    if not left:
        raise OptionError("no condition is given: see gpuio filter --help")
    chosen = choice.take(keep)
    if args.renumber:
        chosen = chosen.renumbered()
    rewrite(
        chosen,
        args.target,
        ["filter", args.renumber],
        force=args.force,
        resume=args.resume,
        how=args.progress,
    )
    copy_names(args.source, [args.target])
    if args.json:
        told = {"path": args.target, "records": len(chosen), "left_out": dict(left)}
        print(json.dumps(told | {"not_images": others}, indent=1))
    else:
        print(f"{args.target}: {len(chosen):,} of {len(choice):,} images", file=sys.stderr)
        for name, count in left.items():
            print(f"  left out by {name}: {count:,}", file=sys.stderr)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse conditions that no image can meet.

    Raises
    ------
    OptionError         a format that is not known, or a bound below the other one
    """
    for one in args.formats or ():
        if _SHORT.get(one, one) not in FORMATS[1:]:
            hint = suggestion(one, [*FORMATS[1:], *_SHORT])
            raise OptionError(f"--formats {one}: expected some of {', '.join(FORMATS[1:])}{hint}")
    for what in ("edge", "bytes"):
        low, high = getattr(args, f"min_{what}"), getattr(args, f"max_{what}")
        if None not in (low, high) and low > high:
            raise OptionError(f"--min-{what} {low} and --max-{what} {high}: no image is both")


def _conditions(
    records: Records, args: argparse.Namespace
) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Yield each condition that is given: its option, and which records meet it, bool[N]."""
    if args.labels or args.no_labels:
        names = {name: number for number, name in class_names(args.source).items()}
        with progress(f"reading labels of {args.source}", args.progress) as advance:
            label = labels_of(records.table, advance=advance)
        for option, given in (("--labels", args.labels), ("--no-labels", args.no_labels)):
            if given:
                among = np.zeros(len(label), bool)
                for low, high in (_range(option, one, names) for one in given):
                    among |= (label >= low) & (label <= high)
                yield option, among if option == "--labels" else ~among
    if args.report is not None:
        yield "--report", ~np.isin(records.table.offset, _reported(args.report, args.source))
    if any((args.min_edge, args.max_edge, args.min_bytes, args.max_bytes, args.formats)):
        yield from _looked_at(records, args)


def _looked_at(
    records: Records, args: argparse.Namespace
) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Yield the conditions for which the images' headers have to be read."""
    count = len(records.table)
    met = {
        option: np.zeros(count, bool)
        for option, given in (
            ("--min-edge", args.min_edge),
            ("--max-edge", args.max_edge),
            ("--min-bytes", args.min_bytes),
            ("--max-bytes", args.max_bytes),
            ("--formats", args.formats),
        )
        if given is not None
    }
    formats = {_SHORT.get(one, one) for one in args.formats or ()}
    with progress(f"looking into {args.source}", args.progress) as advance:
        for row, entry in enumerate(entries(records)):
            advance(row + 1, count)
            info, size = entry.info, len(entry.blob)
            if info is None:
                continue
            edges = sorted((info.height, info.width))
            for option, meets in (
                ("--min-edge", edges[0] >= (args.min_edge or 0)),
                ("--max-edge", edges[1] <= (args.max_edge or edges[1])),
                ("--min-bytes", size >= (args.min_bytes or 0)),
                ("--max-bytes", size <= (args.max_bytes or size)),
                ("--formats", info.format in formats),
            ):
                if option in met:
                    met[option][row] = meets
    yield from met.items()


def _range(option: str, text: str, names: dict[str, int]) -> tuple[float, float]:
    """Return the smallest and the largest label that a text means.

    Raises
    ------
    OptionError         it is no number, range, or name of a class
    """
    if text in names:
        return names[text], names[text]
    low, dash, high = text.partition("-") if not text.startswith("-") else (text, "", "")
    try:
        return float(low), float(high if dash else low)
    except ValueError:
        known = suggestion(text, names) if names else "; there is no .classes.json beside the file"
        raise OptionError(
            f"{option} {text}: expected a number, a range such as 10-19, or a class's name{known}"
        ) from None


def _reported(path: str, source: str) -> list[int]:
    """Return the bytes at which records begin that a report names as bad.

    Raises
    ------
    FormatError         it is not a report, or of another file
    """
    try:
        report: dict[str, Any] = json.loads(read_whole(path))
        if "left_out" in report:
            found = [(report["source"], report["left_out"])]
        else:
            found = [(one["path"], one["problems"]) for one in report["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(
            "expected what `gpuio verify --json` prints or `gpuio repair` writes", path=path
        ) from error
    own = [problems for of, problems in found if name_of(of) == name_of(source)]
    if not own:
        raise FormatError(f"the report does not speak of {source}", path=path)
    return [
        one["offset"]
        for problems in own
        for one in problems
        if one["kind"] in _KINDS and one["offset"] is not None
    ]
