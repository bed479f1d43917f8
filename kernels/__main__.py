"""``python -m gpuio.kernels``: compile every kernel now, so that no process has to do it later.

An image or an environment that is built as one user and run as another one holds the compiled code
then, beside the source. Prints what was loaded.
"""

from __future__ import annotations

import importlib
import pkgutil

import gpuio.kernels

__all__ = ["compile_all"]


def compile_all() -> list[str]:
    """Import every module of the package, which compiles its functions; return their names."""
    found = pkgutil.walk_packages(gpuio.kernels.__path__, "gpuio.kernels.")
    names = sorted(module.name for module in found if not module.name.endswith("__main__"))
    for name in names:
        importlib.import_module(name)
    return names


if __name__ == "__main__":
    print("\n".join(compile_all()))  # noqa: T201 -- a command
