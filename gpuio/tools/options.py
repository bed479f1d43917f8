"""Print the options of the record iterators from their declaration."""

from __future__ import annotations

import argparse
import json

from gpuio.sampling.declare import describe
from gpuio.sampling.options import ImageRecordOptions

__all__ = ["add_arguments", "run"]

_TABLES = {"ImageRecordIter": ImageRecordOptions}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("iterator", nargs="?", default="ImageRecordIter", choices=sorted(_TABLES))
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Print a table of name, default, meaning, and where gpuio differs from MXNet; return 0."""
    rows = list(describe(_TABLES[args.iterator]))
    if args.json:
        print(json.dumps(rows, indent=1, default=list))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(title=args.iterator, show_lines=True)
    for column in ("option", "default", "meaning", "gpuio differs"):
        table.add_column(column)
    for row in rows:
        unit = f" [{row['unit']}]" if row["unit"] else ""
        differs = "MXNet has no such option. " * row["ours"] + row["differs"]
        table.add_row(
            row["name"],
            repr(row["default"]),
            (row["meaning"] + unit).replace("[", "\\["),
            differs.replace("[", "\\["),
        )
    Console().print(table)
    return 0
