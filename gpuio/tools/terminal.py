"""What commands say on standard error: one form, whatever names it holds."""

from __future__ import annotations

import sys

from gpuio.tools.printable import printable

__all__ = ["say"]


def say(command: str, text: str) -> None:
    """Print ``gpuio COMMAND: text`` on standard error, its control characters escaped."""
    print(f"gpuio {command}: {printable(text)}", file=sys.stderr)
