"""How a pixel function is compiled: with Numba, without the GIL, kept on disk between processes.

Compiled code is kept in `__pycache__` beside the source, or in the user's cache folder if that
cannot be written; where neither can, functions are compiled anew in every process.
"""

from __future__ import annotations

import importlib.util
import sys
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numba

__all__ = ["inner", "kernel"]


def _spare_scipy() -> None:
    """Load Numba's arithmetic of arrays without scipy.linalg, a tenth of the time to a first batch.

    Numba imports it, where SciPy is installed, to know whether matrix products can be compiled. No
    kernel here has one; a function that has imports it when it is compiled, as before.
    """
    if "numba.np.arraymath" in sys.modules or importlib.util.find_spec("scipy") is None:
        return
    try:
        from numba.np import linalg  # noqa: PLC0415

        asked = linalg.ensure_blas
    except (ImportError, AttributeError):  # another version's: it does as it likes
        return
    linalg.ensure_blas = lambda: None
    try:
        from numba.np import arraymath  # noqa: PLC0415
    finally:
        linalg.ensure_blas = asked
    arraymath.ensure_blas = asked


_spare_scipy()

_OPTIONS = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


def kernel(signature: Any, *sources: str) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function for one signature, at once.

    Parameters
    ----------
    signature : numba signature, or list of them
    sources : str
        names of the other modules in the folder of its own, or below it ("plan/sizes"), whose
        compiled functions, or writers of LLVM's code, it calls: Numba keeps compiled code by the
        date of the function's own file, so what these files hold goes into the name under which it
        is kept

    Notes
    -----
    Never `fastmath`: a product and a sum must stay two roundings, as in the CUDA build with
    ``--fmad=false``.
    """

    def compile_now(function: Callable[..., Any]) -> Any:
        if sources:
            function.__qualname__ += f"_{_checksum(function, sources):08x}"
        try:
            return numba.njit(signature, cache=True, **_OPTIONS)(function)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            return numba.njit(signature, **_OPTIONS)(function)

    return compile_now


def _checksum(function: Callable[..., Any], sources: Iterable[str]) -> int:
    """Return the CRC-32 of modules beside a function's own; 0 where they cannot be read."""
    found, own = 0, Path(function.__code__.co_filename)
    try:
        for name in sources:
            found = zlib.crc32((own.parent / f"{name}.py").read_bytes(), found)
    except OSError:
        return 0
    return found


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only kernels of its own module call, or that name it as a source."""
    return numba.njit(function, no_cpython_wrapper=True, **_OPTIONS)
