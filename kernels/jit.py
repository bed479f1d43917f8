"""How a pixel function is compiled: with Numba, without the GIL, kept on disk between processes.

Compiled code is kept in `__pycache__` beside the source, or in the user's cache folder if that
cannot be written; where neither can, or the disk is full, functions are compiled anew in every
process. What another user has left beside the source, as in an image or on a cluster, is used where
it can be read. The first compilation of a process is said, in one line of the log (logger "gpuio",
WARNING): it takes some seconds, and nothing else would tell why.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import logging
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy.ma  # noqa: F401 -- Numba looks at it at the first call, which a fork does not wait for
from numba.core import caching

__all__ = ["Counts", "counts", "inner", "kernel"]

_log = logging.getLogger("gpuio")


class Counts:
    """What this process has done for its kernels so far.

    Attributes
    ----------
    loaded, compiled : int      functions that were kept from an earlier process, and others
    seconds : float             that compiling took
    folder : str                where compiled code is kept, of the last one; "" for nowhere
    said, unkept : bool         the log has a line, and one of code that could not be kept
    """

    loaded = compiled = 0
    seconds = 0.0
    folder = ""
    said = unkept = False


counts = Counts()


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
_INNER = _OPTIONS | {"no_cpython_wrapper": True}
_compiler: Any
try:
    from gpuio.kernels import compiler as _compiler
except (ImportError, AttributeError):  # a Numba of other parts compiles and loads as it does
    _compiler = None
else:
    _INNER |= {"pipeline_class": _compiler.InnerCompiler, "_nrt": False}


def kernel(
    signature: Any, *sources: str, allocates: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function for one signature, at once.

    Parameters
    ----------
    signature : numba signature
    sources : str
        names of the other modules in the folder of its own, or below it ("plan/sizes"), whose
        compiled functions, or writers of LLVM's code, it calls: Numba keeps compiled code by the
        date of the function's own file, so what these files hold, and the compiler's, goes into
        the name under which it is kept
    allocates : bool
        it makes arrays; else Numba need not count who holds one, which is less to compile

    Notes
    -----
    Never `fastmath`: a product and a sum must stay two roundings, as in the CUDA build with
    ``--fmad=false``.
    """

    def compile_now(function: Callable[..., Any]) -> Any:
        function.__qualname__ += f"_{_checksum(function, sources):08x}"
        begun = time.perf_counter()
        made = _left_beside(function, signature, allocates=allocates)
        if made is None:
            made = _dispatcher(function, allocates=allocates)
            try:
                if _compiler is None:
                    made.enable_caching()
                else:
                    _compiler.keep(made)
            except RuntimeError as error:
                if "no locator available" not in str(error):
                    raise
                _say("", function)
            _compile(made, signature, function)
        _count(made, function, time.perf_counter() - begun)
        return made

    return compile_now


def _dispatcher(function: Callable[..., Any], *, allocates: bool) -> Any:
    """Return a function that Numba is going to compile."""
    if _compiler is None:
        return numba.njit(**_OPTIONS)(function)
    options = _OPTIONS | {"pipeline_class": _compiler.KernelCompiler, "_nrt": allocates}
    return numba.njit(**options)(function)


def _compile(made: Any, signature: Any, function: Callable[..., Any]) -> None:
    """Compile a function, and keep its code where there is room for it."""
    try:
        with _uncollected():
            made.compile(signature)
    except OSError as error:  # a full disk; the code is there all the same
        if not made.overloads:
            raise
        _say(made.stats.cache_path or "", function, error)
    made.disable_compile()


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Python from looking for garbage: compiling makes much, and an eighth of it goes so."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class _NotThereError(Exception):
    """Nothing that fits was left beside the source."""


def _left_beside(function: Callable[..., Any], signature: Any, *, allocates: bool) -> Any:
    """Return a function whose code lies beside its source, where only others can write it.

    Numba does not look into a folder that it cannot write. None: it is to look for itself.
    """
    folder = Path(function.__code__.co_filename).parent / "__pycache__"
    if numba.config.CACHE_DIR or not folder.is_dir() or os.access(folder, os.W_OK):
        return None
    try:
        made = _dispatcher(function, allocates=allocates)
        made._cache = _kept_in_tree()(function)  # noqa: SLF001 -- Numba's own wants to write, too
        made.compile(signature)
        made.disable_compile()
    except (_NotThereError, AttributeError, OSError):  # or another version's: it does as it likes
        return None
    return made


def _kept_in_tree() -> Any:
    """Return Numba's cache of a function's code, which reads the folder beside its source."""
    beside: Any = getattr(caching, "InTreeCacheLocator", None) or caching._InTreeCacheLocator  # noqa: SLF001

    class Locator(beside):  # type: ignore[misc]
        def ensure_cache_path(self) -> None:
            """Ask for nothing: it is only read."""

    class Place(caching.CompileResultCacheImpl):  # type: ignore[misc]
        _locator_classes = [Locator]  # noqa: RUF012 -- Numba's

    plain: Any = caching.FunctionCache if _compiler is None else _compiler.Cache

    class Kept(plain):  # type: ignore[misc]
        _impl_class = Place

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            """Return what was left; never None, for which it would be compiled and written."""
            found = super().load_overload(sig, target_context)
            if found is None:
                raise _NotThereError
            return found

    return Kept


def _count(made: Any, function: Callable[..., Any], seconds: float) -> None:
    """Count a function; say the first one that had to be compiled."""
    counts.folder = made.stats.cache_path or ""
    if sum(made.stats.cache_hits.values()):
        counts.loaded += 1
        return
    counts.compiled += 1
    counts.seconds += seconds
    _say(counts.folder, function)


def _say(folder: str, function: Callable[..., Any], error: OSError | None = None) -> None:
    """Say, once in a process, that kernels are compiled, and where they are kept; or why not."""
    if counts.said and (error is None or counts.unkept):
        return
    counts.said, counts.unkept = True, error is not None
    if error is not None:
        _log.warning(
            "compiling kernels, 5 to 10 s, in every process: they cannot be kept in %s (%s); make "
            "room there, or set NUMBA_CACHE_DIR to a folder that has some",
            folder,
            error,
        )
    elif folder:
        _log.warning("compiling kernels, once, 5 to 10 s; they are kept in %s", folder)
    else:
        _log.warning(
            "compiling kernels, 5 to 10 s, in every process: they can be kept neither in %s nor "
            "in the user's cache folder; set NUMBA_CACHE_DIR to a folder that can be written",
            Path(function.__code__.co_filename).parent / "__pycache__",
        )


def _checksum(function: Callable[..., Any], sources: Iterable[str]) -> int:
    """Return the CRC-32 of the compiler and of modules beside a function's own.

    0 where they cannot be read.
    """
    own = Path(function.__code__.co_filename)
    paths = [own.parent / f"{name}.py" for name in sources]
    if _compiler is not None:
        paths.append(Path(_compiler.__file__))
    found = 0
    try:
        for path in paths:
            found = zlib.crc32(path.read_bytes(), found)
    except OSError:
        return 0
    return found


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only kernels of its own module call, or that name it as a source."""
    return numba.njit(function, **_INNER)
