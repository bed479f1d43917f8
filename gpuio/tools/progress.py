"""Progress of a long command: a bar on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

__all__ = ["progress"]

_EVERY_S = 10.0  # between plain lines


@contextlib.contextmanager
def progress(title: str, how: str = "auto") -> Iterator[Callable[[int, int], None]]:
    """Show progress on standard error.

    Parameters
    ----------
    title : str
    how : {"auto", "plain", "none"}     auto: a bar if standard error is a terminal, else plain

    Yields
    ------
    callable(done, total)
    """
    if how == "none":
        yield _nothing
    elif how == "auto" and sys.stderr.isatty():
        with _bar(title) as advance:
            yield advance
    else:
        yield _lines(title)


def _nothing(done: int, total: int) -> None:
    """Show nothing."""
    del done, total


def _lines(title: str) -> Callable[[int, int], None]:
    """Return a function that prints a line every ten seconds and at the end."""
    state = {"next": time.monotonic() + _EVERY_S}

    def advance(done: int, total: int) -> None:
        now = time.monotonic()
        if now >= state["next"] or done == total:
            state["next"] = now + _EVERY_S
            print(f"{title}: {done} of {total}", file=sys.stderr)

    return advance


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show rich's bar."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
