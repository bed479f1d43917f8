"""stats: count what a file's records hold, or measure how well a shuffle mixes them.

A shuffle is as good as the batches it makes are different: what counts is how many different labels
a batch has, beside a batch of a full shuffle. How far records are moved says nothing: blocks that
move far keep their neighbours.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError
from gpuio.options.image_record import ImageRecordOptions
from gpuio.options.order import BLOCK_MIB, POOL_MIB
from gpuio.order.block import block_records
from gpuio.order.epochs import Order
from gpuio.recordio.classes import labels_of
from gpuio.recordio.index import RecordTable, open_table
from gpuio.recordio.keys import Listed, index_beside, read_fitting
from gpuio.recordio.layouts import recognise
from gpuio.storage.files import open_stored
from gpuio.tools.arguments import at_least
from gpuio.tools.census import count_files
from gpuio.tools.entries import add_files_arguments, named_files
from gpuio.tools.progress import add_progress, progress, scanning
from gpuio.tools.terminal import say

__all__ = ["add_arguments", "run", "shuffle_stats"]

EXAMPLES = (
    "gpuio stats train.rec",
    "gpuio stats train.rec --shuffle",
    "gpuio stats train.rec --shuffle --batch-size 512 --pool-size 1024",
)

EXITS = {1: "some records are not images, or a file is damaged"}

_SHUFFLES: dict[str, bool | str] = {
    "False": False,
    "True": True,
    "'block'": "block",
    "'full'": "full",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_files_arguments(parser)
    parser.add_argument(
        "--shuffle",
        action="store_true",
        help="measure, for each shuffle, how many different labels a batch has; else count labels, "
        "sizes, JPEG qualities, and images that are stored twice",
    )
    parser.add_argument(
        "--sample", type=at_least(1), help="records to count, spread over a file; default: all"
    )
    parser.add_argument("--batch-size", type=at_least(1), default=256, help="rows of a batch")
    parser.add_argument(
        "--batches", type=at_least(1), default=200, help="of the epoch that are looked at, at most"
    )
    parser.add_argument("--epoch", type=at_least(0), default=0, help="which epoch's order")
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    parser.add_argument(
        "--block-size", type=float, default=BLOCK_MIB, help="shuffle_block_size of 'block', in MiB"
    )
    parser.add_argument(
        "--pool-size", type=float, default=POOL_MIB, help="shuffle_pool_size of 'block', in MiB"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Print what the records hold, or how many different labels each shuffle's batches have.

    Returns
    -------
    int         0 done, 1 some records looked at are not images, or a file is damaged, 3 a file
                could not be read
    """
    if not args.shuffle:
        return count_files(args)
    files = named_files(args)
    paths = [path for path, _ in files]
    with scanning(f"reading {', '.join(paths)}", args.progress):
        known: list[str | Listed] = [
            found for path, idx in files if (found := idx or _beside(path)) is not None
        ]
        table = open_table(paths, known if len(known) == len(paths) else [])
        contents = recognise(table, "auto", "auto")
    if contents.payload == "raw":
        raise OptionError("the records are bare images: they have no labels to count")
    facts = {"paths": paths, **shuffle_stats(contents.table, args)}
    print(json.dumps(facts, indent=1) if args.json else _text(facts))
    return 0


def _beside(path: str) -> Listed | None:
    """Return the index beside a file if it belongs to it; say why one is not used."""
    idx = index_beside(path)
    if idx is None:
        return None
    with open_stored(path) as file:
        listed, reason = read_fitting(file, idx)
    if reason:
        say("stats", f"{idx} is not used: {reason}")
    return listed


def shuffle_stats(table: RecordTable, args: argparse.Namespace) -> dict[str, Any]:
    """Return what the batches of each shuffle hold.

    Parameters
    ----------
    table : RecordTable         of image records
    args : Namespace            batch_size, batches, epoch, seed, block_size (MiB), pool_size (MiB)

    Returns
    -------
    dict of JSON types          ``records``, ``labels``, ``batch_size``, ``batches`` looked at; per
                                shuffle its ``distinct`` labels per batch, the mean, and what part
                                ``of_full`` that is; ``block_records``, of a block of 'block'

    Raises
    ------
    OptionError                 sizes that make no block or no pool
    """
    with progress("reading labels", args.progress) as advance:
        label = labels_of(table, advance=advance)
    known, number = np.unique(label, return_inverse=True)
    orders = {}
    for name, shuffle in _SHUFFLES.items():
        sizes = {"shuffle_block_size": args.block_size, "shuffle_pool_size": args.pool_size}
        options = ImageRecordOptions(
            path_imgrec=table.paths,
            data_shape=(3, 1, 1),
            batch_size=min(args.batch_size, len(table)),
            shuffle=shuffle,
            seed=args.seed,
            last_batch="discard",
            **(sizes if shuffle == "block" else {}),
        )
        orders[name] = _distinct(Order(table, options), number, args.epoch, args.batches)
    size = min(args.batch_size, len(table))
    return {
        "records": len(table),
        "labels": len(known),
        "indexed": bool(table.indexed),
        "batch_size": size,
        "batches": min(args.batches, len(table) // size),
        "block_records": block_records(len(table), int(table.sizes.sum()), args.block_size),
        "shuffles": {
            name: {
                "distinct": round(found, 2),
                "of_full": round(found / orders["'full'"], 4),
            }
            for name, found in orders.items()
        },
    }


def _distinct(order: Order, number: npt.NDArray[np.int64], epoch: int, most: int) -> float:
    """Return the mean number of different labels in some of an epoch's batches."""
    order.reach(epoch)
    batches = order.epoch(epoch, 0).batches
    chosen = np.unique(np.linspace(0, batches - 1, min(most, batches)).astype(np.int64))
    found = [len(np.unique(number[order.batch(epoch, 0, k).position])) for k in chosen.tolist()]
    return float(np.mean(found))


def _text(facts: dict[str, Any]) -> str:
    """Return the facts as lines."""
    how = "with" if facts["indexed"] else "without"
    size, batches = facts["batch_size"], facts["batches"]
    reads = {
        "False": "in sequence",
        "True": "record by record" if facts["indexed"] else "within chunks of 8 MiB",
        "'block'": f"{facts['block_records']:,} records at once",
        "'full'": "record by record",
    }
    found = f"{facts['records']:,} records, {facts['labels']:,} labels, {how} an index"
    lines = [
        f"{', '.join(facts['paths'])}: {found}",
        f"different labels per batch of {size:,}, mean of {batches:,} batches:",
        f"{'shuffle':<9} {'labels':>9} {'of full':>9}  reads",
    ]
    for name, one in facts["shuffles"].items():
        lines.append(f"{name:<9} {one['distinct']:>9.1f} {one['of_full']:>9.1%}  {reads[name]}")
    return "\n".join(lines)
