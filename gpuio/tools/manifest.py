"""manifest: describe the parts of a data set in one file, which iterators take as path_imgrec."""

from __future__ import annotations

import argparse
import json
import os
from os.path import expanduser
from pathlib import Path

from gpuio.errors import FormatError, MissingFileError, OptionError, StorageError
from gpuio.pipeline.prefetch import Prefetcher
from gpuio.recordio.described import describe_part
from gpuio.recordio.manifest import Part, is_manifest, write_manifest
from gpuio.storage.atomic import check_target
from gpuio.storage.paths import absolute, check_regular
from gpuio.storage.urls import beside, is_url, name_of, scheme_of
from gpuio.tools.arguments import at_least
from gpuio.tools.progress import add_progress, progress
from gpuio.tools.terminal import say

__all__ = ["add_arguments", "run"]

EXAMPLES = (
    "gpuio manifest folder",
    "gpuio manifest folder --out train.json",
    "gpuio manifest s3://bucket/train",
)
EXITS = {1: "a part is not what a manifest can hold"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "folder",
        type=expanduser,
        help="holds the .rec files and their indexes; may be a URL, such as s3://bucket/train",
    )
    parser.add_argument(
        "--out", type=expanduser, help="the manifest, .json; default: FOLDER/manifest.json"
    )
    parser.add_argument(
        "--threads",
        type=at_least(1),
        default=len(os.sched_getaffinity(0)),
        help="parts that are looked at at once",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Write the manifest of a folder's parts, sorted by name; parts without a record are left out.

    Returns
    -------
    int         0 done, 1 a part is not what a manifest can hold, 2 the arguments do not fit, 3 a
                file could not be read or written
    """
    folder = absolute(args.folder)
    folder = folder.rstrip("/") if is_url(folder) else folder
    out = absolute(args.out) if args.out else os.path.join(folder, "manifest.json")  # noqa: PTH118
    if not out.lower().endswith(".json"):
        raise OptionError(f"--out {args.out}: the name of a manifest ends in .json")
    sizes = _parts_in(folder)
    filled = [name for name, size in sizes if size]
    check_target(out, own=is_manifest)
    parts: list[Part] = []
    payloads: dict[str, str] = {}
    with (
        progress(f"manifest {folder}", args.progress) as advance,
        Prefetcher(
            lambda name: describe_part(f"{folder}/{name}", name),
            filled,
            depth=2 * args.threads,
            workers=args.threads,
            name="gpuio-manifest",
        ) as ahead,
    ):
        for part, payload in ahead:
            parts.append(part)
            payloads.setdefault(payload, part.name)
            advance(len(parts), len(filled))
    if len(payloads) > 1:
        raise FormatError(
            f"{payloads['raw']} holds bare images and {payloads['image_record']} image records: "
            "expected one kind in a set",
            path=folder,
        )
    root = "" if beside(out, name="x") == beside(f"{folder}/y", name="x") else folder
    made = write_manifest(out, parts, next(iter(payloads), "image_record"), root)
    if len(filled) < len(sizes):
        say("manifest", f"{len(sizes) - len(filled)} empty files are left out")
    facts = {
        "path": out,
        "parts": len(made),
        "records": int(made.first[-1]),
        "bytes": int(made.sizes.sum()),
        "digest": made.digest,
    }
    if args.json:
        print(json.dumps(facts, indent=1))
    else:
        print(
            "{path}: {parts:,} parts, {records:,} records, {bytes:,} bytes, digest {digest}".format(
                **facts
            )
        )
    return 0


def _parts_in(folder: str) -> list[tuple[str, int]]:
    """Return the names of a folder's record files, sorted, and their sizes in bytes."""
    if is_url(folder):
        return _behind(folder)
    if not Path(folder).exists():
        raise MissingFileError("no such folder", path=folder)
    if not Path(folder).is_dir():
        check_regular(folder, "cannot make a manifest")
        raise StorageError("expected the folder that holds the parts, found a file", path=folder)
    names = sorted(one.name for one in Path(folder).iterdir() if one.suffix.lower() == ".rec")
    names = [name for name in names if Path(folder, name).is_file()]
    if not names:
        raise StorageError("the folder holds no .rec file", path=folder)
    return [(name, Path(folder, name).stat().st_size) for name in names]


def _behind(folder: str) -> list[tuple[str, int]]:
    """Return what `_parts_in` does for a URL."""
    from gpuio.storage.remote import listed

    over_http = scheme_of(folder) in ("http", "https")
    try:
        inside = [(name_of(one.url), one.size) for one in listed(folder) if not one.folder]
    except StorageError:
        if not over_http:
            raise
        inside = []
    found = [(name, size) for name, size in inside if name.lower().endswith(".rec")]
    if not found and over_http:
        raise StorageError(
            "this HTTP server lists no .rec file: name the folder as its store has it (s3://, "
            "gs://, az://), or make the manifest where the parts lie, and put it beside them; "
            "then it can be read over HTTP, too",
            path=folder,
        )
    if not found:
        raise StorageError("the folder holds no .rec file", path=folder)
    return found
