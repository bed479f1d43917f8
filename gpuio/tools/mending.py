"""What to do about damage that a command met: the line that it ends with."""

from __future__ import annotations

import shlex

__all__ = ["repair_line"]


def repair_line(path: str, depth: str = "--headers") -> str:
    """Return the command that makes a sound file of a damaged one.

    Parameters
    ----------
    path : str          the record file
    depth : str         how closely records are looked at, as of `gpuio verify`; "": framing alone
    """
    call = f"gpuio repair {shlex.quote(path)} SOUND.rec {depth}".rstrip()
    return f"`{call}` makes a copy without what is damaged"
