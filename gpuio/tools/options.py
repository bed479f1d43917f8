"""Print the options of the record iterators from their declaration."""

from __future__ import annotations

import argparse
import json
from typing import Any

from gpuio.options.declare import describe
from gpuio.options.image_det_record import ImageDetRecordOptions
from gpuio.options.image_record import ImageRecordOptions

__all__ = ["add_arguments", "run"]

EXAMPLES = ("gpuio options ImageRecordIter",)

_TABLES = {"ImageRecordIter": ImageRecordOptions, "ImageDetRecordIter": ImageDetRecordOptions}
_COLUMNS = ("option", "type", "default", "meaning", "gpuio differs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("iterator", nargs="?", choices=sorted(_TABLES), help="default: all")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--markdown", action="store_true", help="as a page of Markdown")


def run(args: argparse.Namespace) -> int:
    """Print name, type, default, meaning, and where gpuio differs from MXNet; return 0."""
    names = [args.iterator] if args.iterator else list(_TABLES)
    tables = {name: list(describe(_TABLES[name])) for name in names}
    if args.json:
        print(
            json.dumps(tables[args.iterator] if args.iterator else tables, indent=1, default=list)
        )
    elif args.markdown:
        print(_page(tables), end="")
    else:
        for name, rows in tables.items():
            _draw(name, rows)
    return 0


def _cells(row: dict[str, Any]) -> tuple[str, str, str, str, str]:
    """Return the five texts of an option."""
    unit = f" [{row['unit']}]" if row["unit"] else ""
    differs = "MXNet has no such option. " * row["ours"] + row["differs"]
    default = repr(row["default"])
    return row["name"], row["type"], default, row["meaning"] + unit, differs.strip()


def _page(tables: dict[str, list[dict[str, Any]]]) -> str:
    """Return a page of Markdown."""
    lines = [
        "# Options",
        "",
        "Printed by `gpuio options --markdown` from the declarations. Defaults are MXNet 1.9.1's.",
        "A value may also be the text that MXNet would make of it. Unknown options are refused.",
    ]
    for name, rows in tables.items():
        lines += ["", f"## {name}", "", f"| {' | '.join(_COLUMNS)} |", "| --- " * 5 + "|"]
        for row in rows:
            first, kind, default, *rest = (text.replace("|", "\\|") for text in _cells(row))
            lines.append(f"| `{first}` | {kind} | `{default}` | {' | '.join(rest)} |")
    return "\n".join(lines) + "\n"


def _draw(name: str, rows: list[dict[str, Any]]) -> None:
    """Draw a table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=name, show_lines=True)
    for column in _COLUMNS:
        table.add_column(column)
    for row in rows:
        table.add_row(*(text.replace("[", "\\[") for text in _cells(row)))
    Console().print(table)
