"""warmup: compile the CPU kernels now, and keep them, so that no process has to do it later.

For the build of an image, and for the first command on a node of a cluster: what is compiled is
kept beside the package, or in NUMBA_CACHE_DIR, or in the user's cache folder.
"""

from __future__ import annotations

import argparse
import json

from gpuio.decode import turbojpeg
from gpuio.tools.progress import add_progress, progress
from gpuio.tools.terminal import say

__all__ = ["add_arguments", "run"]

EXAMPLES = ("gpuio warmup", "env NUMBA_CACHE_DIR=/shared/gpuio gpuio warmup")
EXITS = {0: "all kernels are kept", 1: "they work, but can be kept nowhere"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Compile every kernel that is not kept yet; say how many, how long, and where.

    Returns
    -------
    int         0 all kernels are kept, 1 they can be kept nowhere
    """
    from gpuio.kernels.__main__ import compile_all
    from gpuio.kernels.jit import counts

    counts.said = True  # this command says it itself
    with progress("compiling kernels", args.progress) as advance:
        compile_all(advance)
        turbojpeg.compiled()
    told = {
        "compiled": counts.compiled,
        "loaded": counts.loaded,
        "seconds": round(counts.seconds, 2),
        "folder": counts.folder or None,
    }
    if args.json:
        print(json.dumps(told, indent=1))
    else:
        print(
            f"{counts.compiled + counts.loaded} kernels: {counts.compiled} compiled in "
            f"{counts.seconds:.1f} s, {counts.loaded} were there"
            + (f"; kept in {counts.folder}" if counts.folder else "")
        )
    if not counts.folder:
        say(
            "warmup",
            "they cannot be kept: set NUMBA_CACHE_DIR to a folder that can be written, for this "
            "command and for every process that uses gpuio",
        )
        return 1
    return 0
