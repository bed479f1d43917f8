"""The parser of every command: help with defaults, examples and exit codes; errors in one line."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

__all__ = ["EXIT_CODES", "Parser", "suggestion"]

EXIT_CODES = {
    0: "done",
    1: "something was found, or left out",
    2: "the arguments are wrong",
    3: "a file could not be read or written",
    130: "stopped by Ctrl-C",
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose help and errors have one form.

    Parameters
    ----------
    prog : str                          "gpuio ls"
    what : str                          what the command does, without a full stop
    examples : sequence of str          command lines
    exits : dict of int to str          what its exit codes mean, where not as `EXIT_CODES`
    """

    def __init__(
        self,
        prog: str,
        what: str,
        examples: Sequence[str] = (),
        exits: Mapping[int, str] | None = None,
    ) -> None:
        codes = EXIT_CODES | dict(exits or {})
        shown = [f"  {code:<4} {meaning}" for code, meaning in codes.items()]
        parts = [["examples:", *(f"  {one}" for one in examples)]] if examples else []
        parts.append(["exit codes:", *shown])
        super().__init__(
            prog=prog,
            description=f"{what[:1].upper()}{what[1:]}.",
            epilog="\n\n".join("\n".join(part) for part in parts),
            formatter_class=_Help,
        )
        self.as_json = False

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse; an option that is not known is named with the one that may have been meant."""
        given = list(sys.argv[1:] if args is None else args)
        self.as_json = "--json" in given
        parsed, unknown = self.parse_known_args(given, namespace)
        if unknown:
            known = [name for action in self._actions for name in action.option_strings]
            hints = [suggestion(one.split("=")[0], known) for one in unknown if one[:1] == "-"]
            self.error(f"unrecognized arguments: {' '.join(unknown)}{''.join(hints[:1])}")
        return parsed

    def error(self, message: str) -> NoReturn:
        """Print what is wrong with the arguments, in one line and with --json as JSON; exit 2."""
        if self.as_json:
            told = {"command": self.prog.split()[-1], "type": "ArgumentError", "message": message}
            print(json.dumps({"error": told, "exit_code": 2}))
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help that says each default once."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text, default = action.help, action.default
        if text is None or text == argparse.SUPPRESS:
            return text
        if action.nargs == 0 or default is None or "default:" in text:
            return text
        return f"{text} (default: {_shown(default)})"


def _shown(default: Any) -> str:
    """Return a default as it would be typed."""
    many = isinstance(default, Iterable) and not isinstance(default, str)
    text = " ".join(map(str, default)) if many else f"{default}"
    return text.replace("%", "%%")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean NAME?" for the known name that is nearest; "" if none is near."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
