"""show: a contact sheet of a record file's images."""

from __future__ import annotations

import argparse
import sys

import numpy as np

from gpuio.decode.opencv import decode
from gpuio.errors import GpuioError, StorageError
from gpuio.recordio.framing import decode as unframe
from gpuio.recordio.header import parse_image_record
from gpuio.recordio.index import open_table
from gpuio.storage.local import LocalFile
from gpuio.tools.contact import contact_sheet

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("record", help="the .rec file")
    parser.add_argument("--idx", help="its .idx file")
    parser.add_argument("--out", required=True, help="the picture to write; .png or .jpg")
    parser.add_argument("--count", type=int, default=48, help="records to show")
    parser.add_argument("--first", type=int, default=0, help="the first record shown")
    parser.add_argument("--edge", type=int, default=128, help="longer edge of an image, in pixels")


def run(args: argparse.Namespace) -> int:
    """Write the sheet; a record that is no image is shown as a gray square with its key.

    Returns
    -------
    int         0 all shown, 1 some were no image, 3 a file could not be read or written
    """
    import cv2

    pictures, titles, bad = [], [], 0
    try:
        table = open_table([args.record], [args.idx] if args.idx else [])
        with LocalFile(table.paths[0]) as file:
            for at in range(args.first, min(args.first + args.count, len(table))):
                data = file.read(int(table.offset[at]), int(table.length[at]))
                title = f"{table.key[at]}"
                try:
                    _, label, _, _, blob = parse_image_record(unframe(data))
                    image = decode(blob, 3)[:, :, ::-1]
                    title += f": {np.ravel(label)[0]:g}"
                except GpuioError as error:
                    print(f"show: key {table.key[at]}: {error.message}", file=sys.stderr)
                    image = np.full((args.edge, args.edge, 3), 128, np.uint8)
                    title += " unusable"
                    bad += 1
                scale = args.edge / max(image.shape[:2])
                size = [max(1, round(side * scale)) for side in (image.shape[1], image.shape[0])]
                pictures.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
                titles.append(title)
    except GpuioError as error:
        print(f"show: {error}", file=sys.stderr)
        return 3 if isinstance(error, StorageError) else 1
    if not cv2.imwrite(args.out, contact_sheet(pictures, titles)[:, :, ::-1]):
        print(f"show: cannot write {args.out}", file=sys.stderr)
        return 3
    return 1 if bad else 0
