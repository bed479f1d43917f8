"""im2rec: make image lists, and pack the images of lists into record files.

The flags, their defaults and the files are MXNet 1.9.1's. Unlike MXNet's im2rec, `--num-thread`
keeps the order of the list, a bad file is reported at the end and the rest is packed, and the
record file gets its name only when it is complete; `--resume` continues after a crash.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from gpuio.errors import GpuioError, OptionError, StorageError
from gpuio.options.machine import MAX_PIXELS
from gpuio.pipeline.framed_image import PackOptions
from gpuio.pipeline.pack_parts import manifest_path, pack_in_parts
from gpuio.pipeline.packing import pack_behind_url, pack_list
from gpuio.storage.atomic import writing
from gpuio.storage.files import files_in
from gpuio.storage.paths import absolute
from gpuio.storage.urls import beside, is_url, name_of
from gpuio.tools import cli
from gpuio.tools.arguments import at_least
from gpuio.tools.boxlist import wrong_lines
from gpuio.tools.engine import add_engine, runner
from gpuio.tools.imagelist import ROUNDING, find_images, make_lists, unlistable, usable_exts
from gpuio.tools.printable import printable
from gpuio.tools.progress import add_progress, progress
from gpuio.tools.terminal import say

__all__ = ["add_arguments", "main", "run"]

EXAMPLES = (
    "gpuio im2rec train photos --list --recursive --classes",
    "gpuio im2rec train photos --resize 256 --num-thread 8",
    "gpuio im2rec train photos --parts 64 --engine ray",
)
EXITS = {1: "some items were left out, each is named"}

_MAX_SHOWN = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("prefix", help="prefix of the .lst and .rec files")
    parser.add_argument("root", help="folder that holds the images")
    lists = parser.add_argument_group("making lists")
    lists.add_argument("--list", action="store_true", help="make PREFIX.lst instead of PREFIX.rec")
    lists.add_argument(
        "--exts",
        nargs="+",
        default=[".jpeg", ".jpg", ".png"],
        help="accepted file extensions, in any case, with or without their dots",
    )
    lists.add_argument("--chunks", type=int, default=1, help="number of lists")
    lists.add_argument(
        "--train-ratio",
        type=float,
        help="share of training images; by default all, or what --test-ratio leaves",
    )
    lists.add_argument("--test-ratio", type=float, default=0, help="share of test images")
    lists.add_argument(
        "--recursive",
        action="store_true",
        help="walk sub-folders, each one a class of its own; hidden ones are skipped",
    )
    lists.add_argument(
        "--classes", action="store_true", help="also write PREFIX.classes.json: folder to number"
    )
    lists.add_argument("--no-shuffle", dest="shuffle", action="store_false", help="keep the order")
    records = parser.add_argument_group("packing records")
    records.add_argument("--pass-through", action="store_true", help="store files as they are")
    records.add_argument("--resize", type=int, default=0, help="length of the shorter edge")
    records.add_argument("--center-crop", action="store_true", help="cut to the centred square")
    records.add_argument(
        "--quality", type=int, default=95, help="JPEG quality 1-100, or PNG compression 0-9"
    )
    records.add_argument(
        "--max-pixels",
        type=at_least(1),
        default=MAX_PIXELS,
        help="leave out an image whose header claims more",
    )
    records.add_argument("--num-thread", type=int, default=1, help="threads that read and encode")
    records.add_argument(
        "--color", type=int, default=1, choices=[-1, 0, 1], help="1 colour, 0 gray, -1 as stored"
    )
    records.add_argument("--encoding", default=".jpg", choices=[".jpg", ".png"], help="format")
    records.add_argument(
        "--pack-label", action="store_true", help="store every label column of the list"
    )
    ours = parser.add_argument_group("beyond MXNet's tool")
    ours.add_argument(
        "--detection",
        action="store_true",
        help="the lists hold boxes: check each line's label first, and pack nothing if one is "
        "wrong; turns on --pack-label",
    )
    ours.add_argument(
        "--parts",
        type=at_least(1),
        help="pack each list NAME into this many files NAME-00000-of-00004.rec and their indexes, "
        "by numbers of items, and NAME.manifest.json, which iterators take as path_imgrec",
    )
    add_engine(ours, "with --parts, which are the same files")
    ours.add_argument("--resume", action="store_true", help="go on where a killed run stopped")
    ours.add_argument("--json", action="store_true", help="say as JSON what was written")
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Make lists or pack records.

    Returns
    -------
    int         0 all done, 1 some items were left out (each is named), 2 the arguments do not fit,
                3 a file could not be read or written
    """
    prefix, root = map(_whole, (args.prefix, args.root))
    wrong = _misused(args, root)
    if wrong:
        raise OptionError(wrong)
    try:
        return _list(args, prefix, root) if args.list else _pack(args, prefix, root)
    except (OptionError, StorageError):
        raise
    except GpuioError as error:  # nothing but files can be in the way
        raise StorageError(error.message, path=error.path, offset=error.offset) from error


def _whole(path: str) -> str:
    """Return a path without "." and ".."; a URL as it is."""
    path = absolute(path)
    return path if is_url(path) else os.path.abspath(path)  # noqa: PTH100


def _say(text: str) -> None:
    """Print a line on stderr, whatever names it holds."""
    print(printable(text), file=sys.stderr)


def _misused(args: argparse.Namespace, root: str) -> str:
    """Return what is wrong with the arguments; "" if nothing is."""
    if not Path(root).is_dir():
        return f"ROOT {root} is not a folder" + (" of this machine" if is_url(root) else "")
    if args.resume and is_url(args.prefix) and args.parts is None:
        return (
            "--resume is for record files on a disk: behind a URL nothing is kept of a killed run, "
            "but with --parts the parts that are complete"
        )
    if args.chunks < 1 or args.num_thread < 1:
        return "--chunks and --num-thread must be at least 1"
    train = 1 - args.test_ratio if args.train_ratio is None else args.train_ratio
    if not (0 <= train <= 1 and 0 <= args.test_ratio <= 1):
        return "--train-ratio and --test-ratio must lie in 0..1"
    if train + args.test_ratio > 1 + ROUNDING:
        return "--train-ratio and --test-ratio must not add up to more than 1"
    if args.classes and not (args.list and args.recursive):
        return "--classes needs --list and --recursive: only then is a folder a class"
    if args.detection and args.list:
        return "--detection is for packing: --list makes lists of classes, without boxes"
    if args.detection and args.center_crop:
        return "--center-crop does not move boxes with the image: --detection cannot go with it"
    if args.engine != "local" and args.parts is None and not args.list:
        return "--engine ray packs parts: say into how many with --parts"
    if args.resize < 0:
        return "--resize must not be negative"
    lowest = 1 if args.encoding == ".jpg" else 0
    if not lowest <= args.quality <= 100:
        return "--quality must lie in 1..100, for PNG in 0..9"
    return ""


def _list(args: argparse.Namespace, prefix: str, root: str) -> int:
    """Write list files."""
    exts = usable_exts(args.exts)
    found = find_images(root, exts, recursive=args.recursive)
    items = [item for item in found.items if not unlistable(item.path)]
    written: list[tuple[str, int]] = []
    if not args.json:
        for folder, number in found.classes.items():
            print(printable(folder), number)
    if found.skipped:
        shown = ", ".join(found.skipped[:_MAX_SHOWN])
        more = ", ..." if len(found.skipped) > _MAX_SHOWN else ""
        say("im2rec", f"{len(found.skipped)} hidden folders or files are skipped: {shown}{more}")
    if items:
        written = make_lists(
            prefix,
            items,
            shuffle=args.shuffle,
            chunks=args.chunks,
            train_ratio=args.train_ratio,
            test_ratio=args.test_ratio,
        )
        if args.classes:
            with writing(f"{prefix}.classes.json") as file:
                file.write(json.dumps(found.classes, indent=1).encode())
        total = sum(count for _, count in written)
        each = [str(path) + (f" ({count})" if written[1:] else "") for path, count in written]
        _say(f"{total} images listed in {', '.join(each)}")
    else:
        say("im2rec", f"no file in {root} ends in {' '.join(exts)}{_hint(args, root)}")
    left_out = [
        f"{item.path!r}: a list cannot hold this name, rename the file"
        for item in found.items
        if unlistable(item.path)
    ]
    left_out += [f"{path}: a link to nothing, or not a file" for path in found.dangling]
    _say_left_out(left_out)
    if args.json:
        lists = [{"path": str(path), "images": count} for path, count in written]
        told = {"lists": lists, "classes": found.classes, "left_out": left_out}
        print(json.dumps(told, indent=1))
    return 1 if left_out or not items else 0


def _say_left_out(sentences: list[str]) -> None:
    """Print what was left out, and why."""
    for sentence in sentences[:_MAX_SHOWN]:
        _say(f"  left out: {sentence}")
    if len(sentences) > _MAX_SHOWN:
        _say(f"  and {len(sentences) - _MAX_SHOWN} more")


def _hint(args: argparse.Namespace, root: str) -> str:
    """Say what may have been forgotten where no image is found; older lists stay as they are."""
    if not args.recursive and any(path.is_dir() for path in Path(root).iterdir()):
        return "; there are sub-folders: --recursive walks them"
    if any("," in ext for ext in args.exts):
        return "; extensions are divided by blanks: --exts jpg png"
    return ""


def _pack(args: argparse.Namespace, prefix: str, root: str) -> int:
    """Pack every list that the prefix names."""
    lists = _lists(prefix)
    if not lists:
        say("im2rec", f"no .lst file starts with {prefix}; make one with --list")
        return 1
    _say_unused(args)
    if args.detection and not _boxes_are_right(lists):
        return 1
    options = PackOptions(
        args.pass_through,
        args.resize,
        args.center_crop,
        args.quality,
        args.color,
        args.encoding,
        args.pack_label or args.detection,
        args.max_pixels,
    )
    left_out, empty, told = 0, False, []
    for path in lists:
        with progress(f"packing {printable(name_of(path))}", args.progress) as advance:
            how: dict[str, Any] = {
                "threads": args.num_thread,
                "resume": args.resume,
                "progress": advance,
            }
            made = beside(path, suffix=".rec")
            if args.parts is not None:
                how["run"] = runner(args, num_cpus=args.num_thread)
                packed = pack_in_parts(path, root, options, args.parts, **how)
                made = manifest_path(path)
            elif is_url(path):
                del how["resume"]
                packed = pack_behind_url(path, root, options, **how)
            else:
                packed = pack_list(path, root, options, **how)
        if packed.records:
            _say(f"{made}: {packed.records} records")
        else:
            empty = True
            say(
                "im2rec",
                f"{path}: no image could be packed from {root}: no record file is written, "
                "an older one stays",
            )
        if packed.several and not options.pack_label:
            say(
                "im2rec",
                f"{path}: {packed.several} lines have several labels, of which the first "
                "is stored: --pack-label stores all",
            )
        _say_left_out(packed.problems)
        left_out += len(packed.problems)
        record = made if packed.records else None
        facts = {"list": str(path), "path": record, "records": packed.records}
        told.append({**facts, "left_out": packed.problems})
    if args.json:
        print(json.dumps({"files": told}, indent=1))
    return 1 if left_out or empty else 0


def _lists(prefix: str) -> list[str]:
    """Return the lists whose paths start with a prefix.

    A prefix that is a folder means the lists in it, as in MXNet; if there are none, those beside
    it, which `--list` writes under the same prefix.
    """
    inside = _lists_of(prefix, prefix) if is_url(prefix) or Path(prefix).is_dir() else []
    outside = _lists_of(prefix.rpartition("/")[0], prefix)
    if inside and outside:
        say(
            "im2rec",
            f"PREFIX is a folder, whose lists are packed; {outside[0]} is not: give it as "
            "the PREFIX to pack it",
        )
    return inside or outside


def _lists_of(folder: str, prefix: str) -> list[str]:
    """Return the lists of one folder whose paths start with a prefix, sorted."""
    found = files_in(folder)
    return [path for path in found if path.startswith(prefix) and path.endswith(".lst")]


def _say_unused(args: argparse.Namespace) -> None:
    """Say which flags change nothing."""
    defaults = {"resize": 0, "center_crop": False, "quality": 95, "color": 1, "encoding": ".jpg"}
    given = [
        f"--{name.replace('_', '-')}"
        for name, value in defaults.items()
        if getattr(args, name) != value
    ]
    if args.pass_through and given:
        say("im2rec", f"--pass-through stores files as they are: {', '.join(given)} has no effect")
    elif args.encoding == ".png" and args.quality > 9 and "--quality" in given:
        say("im2rec", f"--quality {args.quality}: PNG compression ends at 9, which is taken")


def _boxes_are_right(lists: list[str]) -> bool:
    """Say whether the lines of all lists hold right boxes; print those that do not."""
    wrong = [one for path in lists for one in wrong_lines(path)]
    if wrong:
        say(
            "im2rec", f"nothing is packed: {len(wrong)} lines hold wrong boxes or no label of boxes"
        )
    for one in wrong[:_MAX_SHOWN]:
        _say(f"  {one}")
    if len(wrong) > _MAX_SHOWN:
        _say(f"  and {len(wrong) - _MAX_SHOWN} more")
    return not wrong


def main(argv: list[str] | None = None) -> int:
    """Run the command; ``python -m gpuio.tools.im2rec``."""
    return cli.main(["im2rec", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
