"""options: the options of the iterators, all of them or those that words are found in."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from typing import Any

from gpuio.errors import OptionError
from gpuio.tools.declared import DECLARED, FIXED, ITERATORS, rows_of
from gpuio.tools.parser import suggestion

__all__ = ["add_arguments", "run"]

EXAMPLES = (
    "gpuio options ImageRecordIter",
    "gpuio options resize",
    "gpuio options ImageIter crop --json",
)

_COLUMNS = ("option", "type", "default", "meaning", "gpuio differs")
_INDENT = "    "
_WIDEST = 100  # characters; longer lines are hard to read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help=f"an iterator ({', '.join(ITERATORS)}), or a word to look for in names and meanings; "
        "default: ImageRecordIter and ImageDetRecordIter, all of their options",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--markdown", action="store_true", help="as a page of Markdown")


def run(args: argparse.Namespace) -> int:
    """Print name, type, default, meaning, and where gpuio differs from MXNet.

    Returns
    -------
    int         0 printed

    Raises
    ------
    OptionError         no option has the words
    """
    known = {name.lower(): name for name in ITERATORS}
    names = [known[word.lower()] for word in args.words if word.lower() in known]
    sought = [word.lower() for word in args.words if word.lower() not in known]
    single = len(names) == 1 and not sought
    everywhere = [name for name in ITERATORS if name not in FIXED] if sought else list(DECLARED)
    tables = {name: _matching(rows_of(name), sought) for name in names or everywhere}
    tables = {name: rows for name, rows in tables.items() if rows}
    if not tables:
        options = {row["name"] for name in names or ITERATORS for row in rows_of(name)}
        word = " ".join(sought)
        raise OptionError(f"no option has {word!r}{suggestion(word, [*options, *ITERATORS])}")
    if args.json:
        print(json.dumps(tables[names[0]] if single else tables, indent=1, default=_plain))
    elif args.markdown:
        print(_page(tables), end="")
    else:
        print("\n\n".join(_text(name, rows) for name, rows in tables.items()))
    return 0


def _matching(rows: list[dict[str, Any]], sought: list[str]) -> list[dict[str, Any]]:
    """Return the options that have every word in their name; if none has, in their text."""
    for place in (lambda row: row["name"], lambda row: " ".join(map(str, _cells(row)))):
        found = [row for row in rows if all(word in place(row).lower() for word in sought)]
        if found:
            return found
    return []


def _plain(value: Any) -> Any:
    """Return what JSON has for a value that it does not know."""
    return list(value) if isinstance(value, tuple | set) else repr(value)


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


def _text(name: str, rows: list[dict[str, Any]]) -> str:
    """Return the options as paragraphs as wide as the terminal, 80 where there is none."""
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    lines = [name, "=" * len(name)]
    for row in rows:
        option, kind, default, meaning, differs = _cells(row)
        default = "required" if row["default"] == "required" else f"default {default}"
        head = f"{option}  {kind + ', ' if kind else ''}{default}"
        lines += textwrap.wrap(head, width, subsequent_indent=_INDENT)
        for text in (meaning, f"MXNet: {differs}" if differs else ""):
            lines += textwrap.wrap(text, width, initial_indent=_INDENT, subsequent_indent=_INDENT)
    return "\n".join(lines)
