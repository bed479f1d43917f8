"""info: what a record file holds, from its headers alone."""

from __future__ import annotations

import argparse
import collections
import json
import sys
from typing import Any

import numpy as np

from gpuio.decode.imageinfo import probe
from gpuio.errors import GpuioError, StorageError
from gpuio.recordio.framing import decode
from gpuio.recordio.header import parse_image_record
from gpuio.recordio.index import RecordTable, open_table
from gpuio.storage.local import LocalFile

__all__ = ["add_arguments", "run", "survey"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("record", help="the .rec file")
    parser.add_argument("--idx", help="its .idx file")
    parser.add_argument("--sample", type=int, default=10_000, help="records to look into, at most")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Print what the file holds.

    Returns
    -------
    int         0 all records looked at are images, 1 some are not, or the file is damaged, 3 a file
                could not be read
    """
    try:
        table = open_table([args.record], [args.idx] if args.idx else [])
        facts = survey(table, args.sample)
    except GpuioError as error:
        print(f"info: {error}", file=sys.stderr)
        return 3 if isinstance(error, StorageError) else 1
    print(json.dumps(facts, indent=1) if args.json else _text(facts))
    return 1 if facts["unusable"] else 0


def survey(table: RecordTable, sample: int = 10_000) -> dict[str, Any]:
    """Look into records, evenly spread over the file.

    Parameters
    ----------
    table : RecordTable         of one file
    sample : int                records to look into, at most

    Returns
    -------
    dict of JSON types          counts by format, size, channels, subsampling, process, label width,
                                orientation; records that are no image, with their reasons; record
                                sizes in bytes
    """
    chosen = np.unique(np.linspace(0, len(table) - 1, min(sample, len(table))).astype(np.int64))
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    unusable: list[dict[str, Any]] = []
    pixels: list[int] = []
    identities = 0
    with LocalFile(table.paths[0]) as file:
        for at in chosen.tolist():
            data = file.read(int(table.offset[at]), int(table.length[at]))
            try:
                flag, _, _, _, blob = parse_image_record(decode(data))
                if len(blob) == 0 and flag >= 2:
                    identities += 1  # InsightFace's header and identity records hold no image
                    continue
                info = probe(blob)
                if info.format == "unknown":
                    raise GpuioError(f"no image signature: {bytes(blob[:8]).hex()}")
            except GpuioError as error:
                unusable.append(
                    {
                        "key": int(table.key[at]),
                        "offset": int(table.offset[at]),
                        "reason": error.message,
                    }
                )
                continue
            pixels.append(info.height * info.width)
            counts["format"][info.format] += 1
            counts["size"][f"{info.width}x{info.height}"] += 1
            counts["channels"][str(info.channels)] += 1
            counts["label width"][str(max(flag, 1))] += 1
            counts["orientation"][str(info.orientation)] += 1
            if info.format == "jpeg":
                counts["subsampling"][info.subsampling] += 1
                counts["process"][info.process] += 1
    lengths = table.length
    return {
        "path": table.paths[0],
        "bytes": int(table.sizes[0]),
        "records": len(table),
        "looked_at": len(chosen),
        "record_bytes": {
            "smallest": int(lengths.min()),
            "median": int(np.median(lengths)),
            "largest": int(lengths.max()),
        },
        "mean_pixels": round(float(np.mean(pixels))) if pixels else 0,
        "identity_records": identities,
        "counts": {name: dict(counter.most_common(12)) for name, counter in counts.items()},
        "unusable": unusable[:100],
        "unusable_count": len(unusable),
    }


def _text(facts: dict[str, Any]) -> str:
    """Return the facts as lines."""
    size = facts["record_bytes"]
    lines = [f"{facts['path']}: {facts['bytes']:,} bytes, {facts['records']:,} records"]
    lines.append(
        f"looked into {facts['looked_at']:,}; record bytes {size['smallest']:,} to "
        f"{size['largest']:,}, median {size['median']:,}; mean {facts['mean_pixels']:,} pixels"
    )
    for name, counter in facts["counts"].items():
        shown = ", ".join(f"{value} ({count})" for value, count in counter.items())
        lines.append(f"{name}: {shown}")
    if facts["identity_records"]:
        lines.append(
            f"identity records without an image: {facts['identity_records']} (InsightFace layout)"
        )
    lines += [
        f"unusable: key {bad['key']} at byte {bad['offset']}: {bad['reason']}"
        for bad in facts["unusable"][:20]
    ]
    if facts["unusable_count"] > 20:
        lines.append(f"and {facts['unusable_count'] - 20} more unusable records")
    return "\n".join(lines)
