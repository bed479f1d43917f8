"""extract: write the images of a record file into files, as they are stored, and a list of them.

Invariant: no file is overwritten, and the list, which comes last, names only files that are there.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import sys
from pathlib import Path

from gpuio.errors import StorageError
from gpuio.recordio.lists import ListItem, write_list
from gpuio.storage.files import exists, read_whole, write_new
from gpuio.storage.paths import absolute, unusable
from gpuio.storage.urls import is_url, name_of
from gpuio.tools.classnames import label_text
from gpuio.tools.entries import Entry, add_file_arguments, entries, open_records
from gpuio.tools.mending import repair_line
from gpuio.tools.progress import add_progress, progress

__all__ = ["add_arguments", "run", "write_image"]

EXAMPLES = (
    "gpuio extract train.rec photos --by-label",
    "gpuio extract train.rec photos --by-label --resume",
)
EXITS = {1: "some records are not images, each is named; or the file is damaged"}

_SUFFIX = {"jpeg": ".jpg", "tiff": ".tif", "pnm": ".ppm"}
_MAX_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_file_arguments(parser)
    parser.add_argument("folder", help="the folder to write to; made if it is not there")
    parser.add_argument(
        "--by-label", action="store_true", help="a sub-folder for each record's first label"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on where a run was stopped: a file that is there and is the same is done",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Write FOLDER/KEY.EXT for each image, and FOLDER/NAME.lst, in the order of the file.

    A record without a key, or whose key is not a number, is named by its number in the file.

    Of InsightFace's files only the images are written. ``gpuio im2rec --pass-through`` (with
    --pack-label if there are several labels) makes a record file of them again.

    Returns
    -------
    int         0 all done, 1 some records are not images (each is named), or the file is damaged,
                3 a file could not be read or written
    """
    folder, items, problems, by_number = absolute(args.folder).rstrip("/"), [], [], 0
    damaged = False
    name = name_of(args.record)
    list_path = f"{folder}/{Path(name).stem}.lst"
    seen: collections.Counter[int] = collections.Counter()
    records = open_records(args, "auto")
    if exists(list_path):
        raise StorageError("the list is there already: choose another folder", path=list_path)
    total = len(records.table)
    with progress(f"extracting {name}", args.progress) as advance:
        for number, entry in enumerate(entries(records), 1):
            advance(number, total)
            if entry.info is None:
                reason = "no image" if entry.error is None else entry.error.message
                damaged |= entry.error is not None
                problems.append(f"{entry.name} at byte {entry.offset}: {reason}")
                continue
            key = entry.key if isinstance(entry.key, int) else entry.number
            by_number += not isinstance(entry.key, int)
            image = _name(key, entry, seen[key], by_label=args.by_label)
            seen[key] += 1
            write_image(f"{folder}/{image}", entry.blob, resume=args.resume)
            labels = tuple(entry.labels.tolist()) or (0.0,)
            items.append(ListItem(key, str(image), labels))
    if not is_url(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
    listed, renumbered = _with_own_ids(items)
    write_list(list_path, listed)
    if renumbered:
        print(f"{renumbered} keys are repeated or negative: listed under new ids", file=sys.stderr)
    if args.json:
        told = {"folder": str(folder), "list": str(list_path), "images": len(items)}
        print(json.dumps(told | {"left_out": problems}, indent=1))
    how = f", {by_number} of them named by record number, having no numeric key"
    said = f"{len(items)} images in {folder}, listed in {name_of(list_path)}"
    print(
        said + (how if by_number else ""),
        file=sys.stderr,
    )
    for problem in problems[:_MAX_SHOWN]:
        print(f"  left out: {problem}", file=sys.stderr)
    if len(problems) > _MAX_SHOWN:
        print(f"  and {len(problems) - _MAX_SHOWN} more", file=sys.stderr)
    if damaged:
        print(repair_line(args.record), file=sys.stderr)
    return 1 if problems else 0


def _with_own_ids(items: list[ListItem]) -> tuple[list[ListItem], int]:
    """Return items, each with an id that a list can hold once, and how many got a new one."""
    following = max((item.index for item in items), default=0) + 1
    kept: set[int] = set()
    made: list[ListItem] = []
    renumbered = 0
    for item in items:
        index = item.index
        if index < 0 or index in kept:
            index = max(following, 0) + renumbered
            renumbered += 1
        kept.add(index)
        made.append(ListItem(index, item.path, item.labels))
    return made, renumbered


def _name(key: int, entry: Entry, repeat: int, *, by_label: bool) -> Path:
    """Return an image's path in the folder."""
    assert entry.info is not None
    suffix = _SUFFIX.get(entry.info.format, f".{entry.info.format}")
    name = f"{key:08d}" + (f"_{repeat}" if repeat else "") + suffix
    label = label_text(entry.labels[0]) if len(entry.labels) else "0"
    return Path(label) / name if by_label else Path(name)


def write_image(path: str | os.PathLike[str], blob: bytes | memoryview, *, resume: bool) -> None:
    """Write an image into a new file; with `resume`, one that is there and the same will do.

    Raises
    ------
    StorageError        it cannot be written, or is there already
    """
    if is_url(path):
        if not (resume and exists(path) and read_whole(path) == blob):
            write_new(os.fspath(path), blob)
        return
    try:
        here = Path(path)
        if resume and here.is_file() and _same(here, blob):
            return
        here.parent.mkdir(parents=True, exist_ok=True)
        with here.open("xb") as file:
            file.write(blob)
    except OSError as error:
        raise unusable("cannot write", error, path) from error


def _same(path: Path, blob: bytes | memoryview) -> bool:
    """Whether a file holds an image; one that a stopped run left unfinished is removed."""
    there = path.read_bytes()
    if there != blob and bytes(blob[: len(there)]) == there:
        path.unlink()
    return there == blob
