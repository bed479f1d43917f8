"""show: a record file's images, as a contact sheet or a page; or what an iterator makes of them."""

from __future__ import annotations

import argparse
import html
import json
import sys
from collections.abc import Sequence
from os.path import expanduser

import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError
from gpuio.pipeline.boxes import holds_boxes
from gpuio.recordio.sniff import spread
from gpuio.storage.atomic import check_target, writing
from gpuio.storage.files import open_stored
from gpuio.tools.arguments import at_least
from gpuio.tools.augmented import Step, first_batch
from gpuio.tools.census import census
from gpuio.tools.classnames import class_names
from gpuio.tools.contact import check_sheet, contact_sheet, stacked, write_sheet
from gpuio.tools.entries import Records, add_file_arguments, open_records
from gpuio.tools.mending import repair_line
from gpuio.tools.page import gallery, page, section
from gpuio.tools.picking import group_rows, some_rows
from gpuio.tools.progress import add_progress, progress
from gpuio.tools.report_page import file_page
from gpuio.tools.terminal import say
from gpuio.tools.tiles import Tile, tiles_of

__all__ = ["add_arguments", "run"]

EXAMPLES = (
    "gpuio show train.rec --out sheet.png --random",
    "gpuio show train.rec --html report.html",
    "gpuio show train.rec --out batch.png --augment resize=256 rand_mirror=1",
)
EXITS = {0: "all shown", 1: "some records are not images, and are marked"}
STOPPED = "start it again: no file gets its name before it is complete"

_EDGE, _EDGE_OF_BOXES = 128, 256
_EACH = 6  # images of an identity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_file_arguments(parser)
    parser.add_argument("--out", type=expanduser, help="the picture to write; .png or .jpg")
    parser.add_argument(
        "--html",
        type=expanduser,
        help="the page to write: contact sheet, labels, sizes, JPEG statistics, unusable records",
    )
    parser.add_argument("--count", type=at_least(1), default=48, help="records to show")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--first", type=at_least(0), default=0, help="the first record shown")
    which.add_argument(
        "--random",
        type=at_least(0),
        nargs="?",
        const=0,
        metavar="SEED",
        help="random records, the same for the same SEED, 0 if none is given",
    )
    parser.add_argument(
        "--each-label",
        type=at_least(1),
        metavar="N",
        help="N records of each label in a row, of labels from all of the file; in InsightFace's "
        f"layout this is what is shown if nothing else is asked for, {_EACH} of each identity",
    )
    parser.add_argument(
        "--augment",
        nargs="*",
        metavar="NAME=VALUE",
        help="show the first batch that these options of ImageRecordIter (of a detection set: "
        "ImageDetRecordIter) make, before its normalisation, and its first image step by step",
    )
    parser.add_argument(
        "--sample", type=at_least(1), default=10_000, help="records that --html counts, at most"
    )
    parser.add_argument(
        "--max-pixels",
        type=at_least(1),
        help="show no image whose header claims more (default: 64 million)",
    )
    parser.add_argument(
        "--edge",
        type=at_least(1),
        help=f"longer edge of an image, in pixels (default: {_EDGE}, with boxes {_EDGE_OF_BOXES})",
    )
    parser.add_argument("--json", action="store_true", help="say as JSON what was written")
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Write the picture or the page; a record that is not an image is marked, and named.

    Returns
    -------
    int         0 all shown, 1 some are not images, 2 the arguments do not fit, 3 a file could not
                be read or written
    """
    if args.out is None and args.html is None:
        raise OptionError("expected --out PICTURE or --html PAGE, or both")
    sources = [args.record, *([args.idx] if args.idx else [])]
    if args.out is not None:
        check_target(args.out, sources)
        check_sheet(args.out)
    if args.html is not None:
        check_target(args.html, sources, own=_is_page)
    records = open_records(args, "auto")
    names = class_names(args.record)
    table = records.table
    with open_stored(table.paths[0]) as file:
        boxes = records.contents.payload != "raw" and holds_boxes(file, table.offset, table.length)
    if args.augment is not None:
        return _augmented(args, records, names, boxes=boxes)
    groups = _rows(args, records)
    edge = args.edge or (_EDGE_OF_BOXES if boxes else _EDGE)
    sheet: list[tuple[str, list[Tile]]] = []
    total, done = sum(len(rows) for _, rows in groups), 0
    with progress(f"drawing {args.record}", args.progress) as advance:
        for title, rows in groups:
            tiles: list[Tile] = []
            for tile in tiles_of(
                records, rows, edge, names, boxes=boxes, max_pixels=args.max_pixels
            ):
                tiles.append(tile)
                done += 1
                advance(done, total)
                if tile.bad:
                    say("show", f"{tile.called}: {tile.bad}")
            sheet.append((title, tiles))
    bad = sum(bool(tile.bad) for _, tiles in sheet for tile in tiles)
    if args.out is not None:
        columns = max(len(tiles) for _, tiles in sheet) if len(sheet) > 1 else None
        write_sheet(args.out, _drawn(sheet, columns))
    if args.html is not None:
        chosen = np.unique(spread(0, len(table), min(args.sample, len(table))))
        with progress(f"counting {args.record}", args.progress) as advance:
            counted = census(records, chosen, advance=advance)
        escaped = [(html.escape(title), tiles) for title, tiles in sheet]
        _write(args.html, file_page(records, counted, names, escaped))
    _tell(args, total, bad, len(table))
    return 1 if bad else 0


def _is_page(begins: bytes) -> bool:
    """Whether a file that begins with these bytes is a page of HTML."""
    return begins[:64].lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _rows(args: argparse.Namespace, records: Records) -> list[tuple[str, npt.NDArray[np.int64]]]:
    """Return the rows to show, in groups with a title."""
    (faces,) = records.contents.faces
    asked = args.first or args.random is not None
    each = args.each_label or (_EACH if faces is not None and not asked else None)
    if each is None:
        rows = some_rows(args.count, len(records.table), args.first, args.random)
        return [("", rows)]
    found = group_rows(records, args.count, min(each, args.count), args.random)
    return [("", rows) for rows in found]


def _drawn(sheet: Sequence[tuple[str, list[Tile]]], columns: int | None) -> npt.NDArray[np.uint8]:
    """Return a picture of all tiles, each group in a row of its own."""
    if columns is None:
        tiles = [tile for _, group in sheet for tile in group]
        return contact_sheet([one.image for one in tiles], [one.title for one in tiles])
    return stacked(
        [
            contact_sheet([one.image for one in group], [one.title for one in group], columns)
            for _, group in sheet
        ]
    )


def _augmented(
    args: argparse.Namespace, records: Records, names: dict[int, str], *, boxes: bool
) -> int:
    """Write what an iterator's options make."""
    from gpuio.recordio.keys import index_beside

    count = min(args.count, 16) if args.count == 48 else args.count
    idx = args.idx or (index_beside(args.record) if records.table.indexed else None)
    tiles, steps = first_batch(records, idx, args.augment, count, names, boxes=boxes)
    if args.out is not None:
        shown = [Tile(one.image, "", "") for one in steps]
        edge = max(max(one.image.shape[:2]) for one in tiles)
        small = [_fitted(one.image, edge) for one in shown]
        write_sheet(
            args.out,
            stacked(
                [
                    contact_sheet([one.image for one in tiles], [one.title for one in tiles]),
                    contact_sheet(small, [_title(one) for one in steps]),
                ]
            ),
        )
    if args.html is not None:
        said = " ".join(args.augment) or "the defaults"
        parts = [
            section("A batch", gallery(tiles, wide=True), said=said),
            section(
                "Its first image, step by step",
                gallery(
                    [Tile(one.image, _title(one), f"{_fields(one)}") for one in steps], wide=True
                ),
            ),
        ]
        _write(args.html, page(f"{args.record}: a batch", parts))
    if args.json:
        told = [
            {"step": one.name, "size": list(one.image.shape[:2]), **_plain(one)} for one in steps
        ]
        print(json.dumps({"out": args.out, "html": args.html, "steps": told}, indent=1))
        return 0
    for step in steps:
        print(f"{_title(step)}: {_fields(step)}")
    _tell(args, len(tiles), 0, len(records.table))
    return 0


def _plain(step: Step) -> dict[str, object]:
    return {name: np.asarray(value).tolist() for name, value in step.fields.items()}


def _title(step: Step) -> str:
    """Return a step's name and the size behind it, width before height."""
    return f"{step.name} {step.image.shape[1]}x{step.image.shape[0]}"


def _fields(step: Step) -> str:
    """Return the fields of the plan's row that a step reads."""
    return ", ".join(f"{name} {_number(value)}" for name, value in _plain(step).items())


def _number(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(_number, value))
    return f"{value:.6g}" if isinstance(value, float) else f"{value}"


def _fitted(image: npt.NDArray[np.uint8], edge: int) -> npt.NDArray[np.uint8]:
    """Return an image no larger than a square."""
    import cv2

    scale = edge / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in (image.shape[1], image.shape[0])]
    made: npt.NDArray[np.uint8] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return made


def _write(path: str, text: str) -> None:
    with writing(path) as file:
        file.write(text.encode("utf-8", "replace"))


def _tell(args: argparse.Namespace, shown: int, bad: int, of: int) -> None:
    """Say what was written."""
    if args.json:
        told = {"out": args.out, "html": args.html, "shown": shown, "unusable": bad}
        print(json.dumps(told, indent=1))
        return
    what = f"{shown:,} of {of:,} records" + (f", {bad:,} unusable" if bad else "")
    for path in (args.out, args.html):
        if path is not None:
            print(f"{path}: {what}", file=sys.stderr)
    if bad:
        print(repair_line(args.record), file=sys.stderr)
