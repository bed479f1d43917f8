"""How a pixel function is compiled: with Numba, without the GIL, kept on disk between processes.

Compiled code is kept in `__pycache__` beside the source, or in the user's cache folder if that
cannot be written; where neither can, functions are compiled anew in every process.
"""

from __future__ import annotations

import numba

__all__ = ["inner", "kernel"]

_OPTIONS = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


def kernel(signature):
    """Return a decorator that compiles a function for one signature, at once.

    Parameters
    ----------
    signature : numba signature, or list of them

    Notes
    -----
    Never `fastmath`: a product and a sum must stay two roundings, as in the CUDA build with
    ``--fmad=false``.
    """

    def compile_now(function):
        try:
            return numba.njit(signature, cache=True, **_OPTIONS)(function)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            return numba.njit(signature, **_OPTIONS)(function)

    return compile_now


def inner(function):
    """Compile a function that only kernels of its own module call."""
    return numba.njit(function, no_cpython_wrapper=True, **_OPTIONS)
