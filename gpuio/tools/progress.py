"""Progress of a long command: a bar on a terminal, elsewhere a line every ten seconds.

What is done within a second shows nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["add_progress", "progress", "scanning"]

_AFTER_S = 1.0  # before a bar
_EVERY_S = 10.0  # between plain lines

_shown: list[Any] = []  # the rich display on the terminal, if there is one


def add_progress(parser: argparse.ArgumentParser) -> None:
    """Declare how progress is shown: --progress, and --quiet for none."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--progress",
        default="auto",
        choices=["auto", "plain", "none"],
        help="auto: a bar on a terminal, elsewhere a line every ten seconds; plain: such lines, "
        "and one at the end",
    )
    group.add_argument(
        "--quiet",
        "-q",
        dest="progress",
        action="store_const",
        const="none",
        help="the same as --progress none",
    )


@contextlib.contextmanager
def progress(
    title: str, how: str = "auto", *, prints: bool = False
) -> Iterator[Callable[[int, int], None]]:
    """Show progress on standard error.

    Parameters
    ----------
    title : str
    how : {"auto", "plain", "none"}     auto: a bar if standard error is a terminal, else lines;
                                        plain: lines, and one at the end
    prints : bool                       the command prints lines meanwhile, which a bar would cross
                                        where they go to a terminal, too

    Yields
    ------
    callable(done, total)
    """
    if how == "none" or (prints and sys.stdout.isatty()):
        yield _nothing
    elif how == "auto" and sys.stderr.isatty():
        with contextlib.ExitStack() as stack:
            yield _late_bar(title, stack)
    else:
        yield _lines(title, ends=how == "plain")


@contextlib.contextmanager
def scanning(title: str, how: str = "auto") -> Iterator[None]:
    """Show how far record files are scanned inside, in bytes."""
    from gpuio.recordio.framing import watched

    with progress(title, how) as advance, watched(advance):
        yield


def _nothing(done: int, total: int) -> None:
    """Show nothing."""
    del done, total


def _lines(title: str, *, ends: bool) -> Callable[[int, int], None]:
    """Return a function that prints a line every ten seconds; `ends`: and one at the end.

    Where it has printed any, it prints one at the end, too.
    """
    state = {"next": time.monotonic() + _EVERY_S, "printed": float(ends)}
    last = (-1, -1)

    def advance(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if (now >= state["next"] or (done == total and state["printed"])) and last != (done, total):
            state["next"], state["printed"], last = now + _EVERY_S, 1.0, (done, total)
            print(f"{title}: {done:,} of {total:,}", file=sys.stderr)

    return advance


def _late_bar(title: str, stack: contextlib.ExitStack) -> Callable[[int, int], None]:
    """Return a function that shows rich's bar once a second has passed."""
    begun = time.monotonic()
    bar: list[Callable[[int, int], None]] = []

    def advance(done: int, total: int) -> None:
        if not bar:
            if time.monotonic() - begun < _AFTER_S:
                return
            bar.append(stack.enter_context(_bar(title)))
        bar[0](done, total)

    return advance


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show rich's bar; inside another one, a line below it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    with contextlib.ExitStack() as stack:
        if not _shown:
            # what is printed goes where it goes: rich would print it above the bar instead
            bar = Progress(console=Console(stderr=True), redirect_stdout=False)
            _shown.append(stack.enter_context(bar))
            stack.callback(_shown.clear)
        bar = _shown[0]
        task = bar.add_task(escape(title), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
