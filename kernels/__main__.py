"""``python -m gpuio.kernels``: compile the kernels now, so that no process has to do it later.

An image or an environment that is built as one user and run as another one holds the compiled code
then, beside the source. Prints what was loaded.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

import gpuio.kernels

__all__ = ["compile_all"]

_LEFT_OUT = {"gpuio.kernels.__main__", "gpuio.kernels.cpu.turbojpeg"}


def compile_all(advance: Callable[[int, int], None] | None = None) -> list[str]:
    """Import the modules of the package, which compiles their functions; return their names.

    All but the one that calls a library, which is for `gpuio.decode.turbojpeg` to find. `advance`,
    called with (done, total), sees it go on.
    """
    found = pkgutil.walk_packages(gpuio.kernels.__path__, "gpuio.kernels.")
    names = sorted({module.name for module in found} - _LEFT_OUT)
    for done, name in enumerate(names, 1):
        importlib.import_module(name)
        if advance is not None:
            advance(done, len(names))
    return names


if __name__ == "__main__":
    print("\n".join(compile_all()))  # noqa: T201 -- a command
