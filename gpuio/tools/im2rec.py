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

from gpuio.errors import GpuioError
from gpuio.storage.atomic import writing
from gpuio.tools.framed_image import PackOptions
from gpuio.tools.imagelist import find_images, make_lists, unlistable
from gpuio.tools.packing import pack_list
from gpuio.tools.progress import progress

__all__ = ["add_arguments", "main", "run"]

_MAX_SHOWN = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("prefix", help="prefix of the .lst and .rec files")
    parser.add_argument("root", help="folder that holds the images")
    lists = parser.add_argument_group("making lists")
    lists.add_argument("--list", action="store_true", help="make PREFIX.lst instead of PREFIX.rec")
    lists.add_argument(
        "--exts", nargs="+", default=[".jpeg", ".jpg", ".png"], help="accepted file extensions"
    )
    lists.add_argument("--chunks", type=int, default=1, help="number of lists")
    lists.add_argument("--train-ratio", type=float, default=1.0, help="share of training images")
    lists.add_argument("--test-ratio", type=float, default=0, help="share of test images")
    lists.add_argument(
        "--recursive", action="store_true", help="walk sub-folders, each one a class of its own"
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
        "--quality", type=int, default=95, help="JPEG quality 1-100, or PNG compression 1-9"
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
    ours.add_argument("--resume", action="store_true", help="go on where a killed run stopped")
    ours.add_argument(
        "--progress", default="auto", choices=["auto", "plain", "none"], help="progress display"
    )


def run(args: argparse.Namespace) -> int:
    """Make lists or pack records.

    Returns
    -------
    int         0 all done, 1 some items were left out (each is named), 2 the arguments do not fit,
                3 a file could not be read or written
    """
    prefix, root = os.path.abspath(args.prefix), os.path.abspath(args.root)  # noqa: PTH100
    wrong = _misused(args, root)
    if wrong:
        print(f"im2rec: {wrong}", file=sys.stderr)
        return 2
    try:
        return _list(args, prefix, root) if args.list else _pack(args, prefix, root)
    except GpuioError as error:
        print(f"im2rec: {error}", file=sys.stderr)
        return 3


def _misused(args: argparse.Namespace, root: str) -> str:
    """Return what is wrong with the arguments; "" if nothing is."""
    if not Path(root).is_dir():
        return f"ROOT {root} is not a folder"
    if args.chunks < 1 or args.num_thread < 1:
        return "--chunks and --num-thread must be at least 1"
    if min(args.train_ratio, args.test_ratio) < 0 or max(args.train_ratio, args.test_ratio) > 1:
        return "--train-ratio and --test-ratio must lie in 0..1"
    if args.train_ratio < 1 and args.train_ratio + args.test_ratio > 1:
        return "--train-ratio and --test-ratio must not add up to more than 1"
    if args.classes and not (args.list and args.recursive):
        return "--classes needs --list and --recursive: only then is a folder a class"
    if args.resize < 0:
        return "--resize must not be negative"
    return ""


def _list(args: argparse.Namespace, prefix: str, root: str) -> int:
    """Write list files."""
    found, classes = find_images(root, args.exts, recursive=args.recursive)
    items = [item for item in found if not unlistable(item.path)]
    for folder, number in classes.items():
        print(folder, number)
    if not items:
        print(
            f"im2rec: no file in {root} ends in {' '.join(args.exts)}{_hint(args, root)}",
            file=sys.stderr,
        )
        return 1
    if args.classes:
        with writing(f"{prefix}.classes.json") as file:
            file.write(json.dumps(classes, indent=1).encode())
    written = make_lists(
        prefix,
        items,
        shuffle=args.shuffle,
        chunks=args.chunks,
        train_ratio=args.train_ratio,
        test_ratio=args.test_ratio,
    )
    print(f"{len(items)} images listed in {', '.join(map(str, written))}", file=sys.stderr)
    left_out = [item.path for item in found if unlistable(item.path)]
    for path in left_out[:_MAX_SHOWN]:
        print(
            f"  left out: {path!r}: a list cannot hold this name, rename the file", file=sys.stderr
        )
    if len(left_out) > _MAX_SHOWN:
        print(f"  and {len(left_out) - _MAX_SHOWN} more", file=sys.stderr)
    return 1 if left_out else 0


def _hint(args: argparse.Namespace, root: str) -> str:
    """Say what may have been forgotten where no image is found; older lists stay as they are."""
    if not args.recursive and any(path.is_dir() for path in Path(root).iterdir()):
        return "; there are sub-folders: --recursive walks them"
    if not all(ext.startswith(".") for ext in args.exts):
        return "; extensions are given with their dots: --exts .jpg .png"
    return ""


def _pack(args: argparse.Namespace, prefix: str, root: str) -> int:
    """Pack every list that the prefix names."""
    folder = Path(prefix) if Path(prefix).is_dir() else Path(prefix).parent
    lists = sorted(
        path
        for path in folder.iterdir()
        if str(path).startswith(prefix) and path.suffix == ".lst" and path.is_file()
    )
    if not lists:
        print(f"im2rec: no .lst file starts with {prefix}; make one with --list", file=sys.stderr)
        return 1
    options = PackOptions(
        args.pass_through,
        args.resize,
        args.center_crop,
        args.quality,
        args.color,
        args.encoding,
        args.pack_label,
    )
    left_out, empty = 0, False
    for path in lists:
        with progress(f"packing {path.name}", args.progress) as advance:
            packed = pack_list(
                path,
                root,
                options,
                threads=args.num_thread,
                resume=args.resume,
                progress=advance,
            )
        if packed.records:
            print(f"{path.with_suffix('.rec')}: {packed.records} records", file=sys.stderr)
        else:
            empty = True
            print(
                f"im2rec: {path}: no image could be packed from {root}: no record file is written, "
                "an older one stays",
                file=sys.stderr,
            )
        for problem in packed.problems[:_MAX_SHOWN]:
            print(f"  left out: {problem}", file=sys.stderr)
        if len(packed.problems) > _MAX_SHOWN:
            print(f"  and {len(packed.problems) - _MAX_SHOWN} more", file=sys.stderr)
        left_out += len(packed.problems)
    return 1 if left_out or empty else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command; ``python -m gpuio.tools.im2rec``."""
    parser = argparse.ArgumentParser(
        prog="im2rec",
        description="Make an image list, or record files from image lists.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
