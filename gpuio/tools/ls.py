"""ls: list the records of files, one line each."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.tools.arguments import at_least
from gpuio.tools.blocks import Block
from gpuio.tools.classnames import label_text
from gpuio.tools.entries import (
    Entry,
    Records,
    add_files_arguments,
    blocks,
    named,
    named_files,
    open_file,
)
from gpuio.tools.mending import repair_line
from gpuio.tools.printable import printable
from gpuio.tools.progress import add_progress, progress
from gpuio.tools.terminal import say

__all__ = ["add_arguments", "run"]

EXAMPLES = ("gpuio ls train.rec --count 5", "gpuio ls train.rec --json | head")
EXITS = {1: "some records are not images, or the file is damaged"}

_LABELS = 8  # shown in a line of text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_files_arguments(parser)
    parser.add_argument(
        "--first", type=at_least(0), default=0, help="the first record listed, from 0"
    )
    parser.add_argument("--count", type=at_least(0), help="records to list; all if not given")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each record")
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Print key, offset, framed bytes, id, format, size and labels of each record.

    Without an index the first column is the record's number, and says so.

    Returns
    -------
    int         0 all are images, or records that have none in their layout, 1 some are not, or the
                file is damaged, 3 the file could not be read
    """
    bad, files = 0, named_files(args)
    for number, (path, idx) in enumerate(files):
        if len(files) > 1 and not args.json:
            print("\n" * bool(number) + f"{printable(path)}:")
        bad += _list(path, idx, args)
    return 1 if bad else 0


def _list(path: str, idx: str | None, args: argparse.Namespace) -> int:
    """Print the lines of one file; return how many records have no image that is recognised."""
    bad = 0
    records = open_file(path, idx, progress=args.progress)
    count = len(records.table) if args.count is None else args.count
    first = args.first
    rows = np.arange(first, min(first + count, len(records.table)))
    keyed = bool(records.keyed.any())
    if not args.json:
        print(f"{'key' if keyed else 'record'}\toffset\tbytes\tid\tformat\tsize\tlabels")
    with progress(f"listing {path}", args.progress, prints=True) as advance:
        done = 0
        for block, others in blocks(records, rows):
            lines = _sound_lines(path, records, block, keyed=keyed, as_json=args.json)
            for at, is_sound in enumerate(block.sound.tolist()):
                if is_sound:
                    print(next(lines))
                    continue
                entry = others(at)
                bad += entry.error is not None
                told = json.dumps(_facts(path, entry)) if args.json else _line(entry, keyed=keyed)
                print(told)
                advance(done + at + 1, len(rows))
            done += len(block.rows)
            advance(done, len(rows))
    if bad and not args.json:
        say("ls", f"{bad} unusable: {repair_line(path)}")
    return bad


def _sound_lines(
    path: str, records: Records, block: Block, *, keyed: bool, as_json: bool
) -> Iterator[str]:
    """Yield the lines of the records of a block that the compiled pass vouches for: JPEGs."""
    if block.heads is None:
        return
    rows = block.rows[block.sound]
    columns = zip(
        records.number[rows].tolist(),
        records.keys(rows),
        records.table.offset[rows].tolist(),
        records.table.length[rows].tolist(),
        block.heads["id"][block.sound].tolist(),
        block.column("height").tolist(),
        block.column("width").tolist(),
        block.column("size").tolist(),
        _label_texts(block) if not as_json else block.labels(),
        strict=True,
    )
    for number, key, offset, length, identity, height, width, size, labels in columns:
        if as_json:
            facts = {
                "path": path,
                "record": number,
                "key": key,
                "offset": offset,
                "bytes": length,
                "id": identity,
                "format": "jpeg",
                "height": height,
                "width": width,
                "image_bytes": size,
                "labels": _json_labels(labels),
                "error": None,
            }
            yield json.dumps(facts)
        else:
            name = number if not keyed else named(key, number) if key is None else key
            yield f"{name}\t{offset}\t{length}\t{identity}\tjpeg\t{width}x{height}\t{labels}"


def _label_texts(block: Block) -> Iterator[str]:
    """Yield the labels of each sound record as text."""
    if (block.label_counts() == 1).all():
        yield from map(label_text, block.first_labels().tolist())
    else:
        yield from map(_labels_text, block.labels())


def _labels_text(labels: npt.NDArray[np.float32]) -> str:
    """Return labels as text, of many the first ones and their number."""
    text = " ".join(map(label_text, labels[:_LABELS].tolist()))
    return f"{text} ... ({len(labels)})" if len(labels) > _LABELS else text


def _json_labels(labels: npt.NDArray[np.float32]) -> list[float | str]:
    """Return labels as JSON types; NaN and inf, which JSON lacks, as text."""
    return [label if math.isfinite(label) else str(label) for label in labels.tolist()]


def _facts(path: str, entry: Entry) -> dict[str, Any]:
    """Return a record's facts as JSON types; NaN and inf, which JSON lacks, as text."""
    info = entry.info
    return {
        "path": path,
        "record": entry.number,
        "key": entry.key,
        "offset": entry.offset,
        "bytes": entry.length,
        "id": entry.identity,
        "format": None if info is None else info.format,
        "height": None if info is None else info.height,
        "width": None if info is None else info.width,
        "image_bytes": len(entry.blob),
        "labels": _json_labels(entry.labels),
        "error": None if entry.error is None else entry.error.message,
    }


def _line(entry: Entry, *, keyed: bool) -> str:
    """Return a record's line; width before height, as image sizes are usually written.

    Where records have keys, one that has none is named as such; where none has, by its number.
    """
    info = entry.info
    name = entry.name if keyed and entry.key is None else entry.number if not keyed else entry.key
    what = ("-", "-") if info is None else (info.format, f"{info.width}x{info.height}")
    fields = (name, entry.offset, entry.length, entry.identity, *what, _labels_text(entry.labels))
    line = "\t".join(map(str, fields))
    return line if entry.error is None else f"{line}\t! {entry.error.message}"
