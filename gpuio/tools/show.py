"""show: a contact sheet of a record file's images."""

from __future__ import annotations

import argparse
from os.path import expanduser

import numpy as np

from gpuio.decode.limits import check_image
from gpuio.decode.opencv import decode
from gpuio.errors import GpuioError
from gpuio.storage.atomic import check_target
from gpuio.tools.arguments import at_least
from gpuio.tools.contact import check_sheet, contact_sheet, write_sheet
from gpuio.tools.entries import add_file_arguments, entries, open_records
from gpuio.tools.terminal import say

__all__ = ["add_arguments", "run"]

EXAMPLES = ("gpuio show train.rec --out sheet.png --count 100",)
EXITS = {1: "some records are not images: gray squares on the sheet"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_file_arguments(parser)
    parser.add_argument(
        "--out", type=expanduser, required=True, help="the picture to write; .png or .jpg"
    )
    parser.add_argument("--count", type=at_least(1), default=48, help="records to show")
    parser.add_argument("--first", type=at_least(0), default=0, help="the first record shown")
    parser.add_argument(
        "--max-pixels",
        type=at_least(1),
        help="show no image whose header claims more (64 million)",
    )
    parser.add_argument(
        "--edge", type=at_least(1), default=128, help="longer edge of an image, in pixels"
    )


def run(args: argparse.Namespace) -> int:
    """Write the sheet; a record that is not an image is shown as a gray square with its name.

    Returns
    -------
    int         0 all shown, 1 some were not images, 2 the picture's name has an unknown suffix, 3 a
                file could not be read or written
    """
    import cv2

    pictures, titles, bad = [], [], 0
    check_target(args.out, [args.record, *([args.idx] if args.idx else [])])
    check_sheet(args.out)
    records = open_records(args, "auto")
    first = args.first
    rows = np.arange(first, min(first + args.count, len(records.table)))
    for entry in entries(records, rows):
        title = entry.name if entry.key is None else f"{entry.key}"
        try:
            if entry.error is not None:
                raise entry.error
            check_image(entry.blob, args.max_pixels)
            image = decode(entry.blob, 3)[:, :, ::-1]
            title += f": {entry.labels[0]:g}" if len(entry.labels) else ""
        except GpuioError as error:
            say("show", f"{entry.name}: {error.message}")
            image = np.full((args.edge, args.edge, 3), 128, np.uint8)
            title += " unusable"
            bad += 1
        scale = args.edge / max(image.shape[:2])
        size = [max(1, round(side * scale)) for side in (image.shape[1], image.shape[0])]
        pictures.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        titles.append(title)
    write_sheet(args.out, contact_sheet(pictures, titles))
    return 1 if bad else 0
