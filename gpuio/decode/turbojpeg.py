"""libjpeg-turbo 3's TurboJPEG: where it lies, whether it can be used, and a handle per thread.

It decodes a region of a JPEG into memory of ours, without the GIL and without an allocation per
image; OpenCV does all else. The library is looked for in this order, and the first one that is
there is taken: the path in the environment variable GPUIO_TURBOJPEG ("off": none is looked for),
the wheel ``turbojpeg`` (``pip install 'gpuio[turbo]'``), conda's, the system's. One that cannot be
used costs a line of the log; OpenCV then decodes everything.

Source: libjpeg-turbo 3.0, turbojpeg.h.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import logging
import os
import platform
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from gpuio.forking import lock
from gpuio.storage.paths import absolute, check_regular

__all__ = ["FUNCTIONS", "Handle", "Status", "announce", "compiled", "status"]

VARIABLE = "GPUIO_TURBOJPEG"
FUNCTIONS = (  # that compiled code calls
    "tj3DecompressHeader",
    "tj3Decompress8",
    "tj3Get",
    "tj3GetErrorCode",
    "tj3SetCroppingRegion",
    "tj3SetScalingFactor",
)
_OWN = ("tj3Init", "tj3Destroy", "tj3Set")
_PREFIX = "gpuio_"  # of their names in compiled code: no other package may take the same ones
# where a struct of two ints travels in a 64-bit register, and one of four in two
_MACHINES = ("x86_64", "AMD64", "aarch64", "arm64")
_SONAMES = ("libturbojpeg.0.dylib",) if sys.platform == "darwin" else ("libturbojpeg.so.0",)

_DECOMPRESS = 1  # TJINIT_DECOMPRESS
_GRAY = 6  # TJPF_GRAY
_WARNING = 0  # TJERR_WARNING
_STOP_ON_WARNING, _WIDTH, _HEIGHT, _SCAN_LIMIT, _MAX_PIXELS = 0, 5, 6, 13, 24  # TJPARAM_*

_log = logging.getLogger("gpuio")
_lock = lock()


class _Fraction(ctypes.Structure):
    """tjscalingfactor."""

    _fields_ = (("num", ctypes.c_int), ("denom", ctypes.c_int))


class _Region(ctypes.Structure):
    """tjregion; zeros are all of an image."""

    _fields_ = tuple((name, ctypes.c_int) for name in "xywh")


@attrs.frozen
class Status:
    """What the search for TurboJPEG found.

    Attributes
    ----------
    path : str          of the library that was found; "" if there is none
    version : str       "3.0" or "3.1 or later"; "" if it cannot be used
    reason : str        why it cannot be used; "" if it can
    """

    path: str = ""
    version: str = ""
    reason: str = ""

    @property
    def usable(self) -> bool:
        """Whether TurboJPEG decodes."""
        return self.version != ""

    def described(self) -> str:
        """Return who decodes on the CPU what gpuio does not itself, and why."""
        if self.usable:
            return f"TurboJPEG {self.version} decodes JPEG, OpenCV the rest: {self.path}"
        found = f"{self.path}: " if self.path else ""
        return f"OpenCV decodes; TurboJPEG is not used: {found}{self.reason}"


class Handle:
    """One thread's decompressor; destroyed with its owner.

    Parameters
    ----------
    max_pixels : int    of an image: a larger one is refused
    max_scans : int     of an image

    Raises
    ------
    MemoryError         the library has no memory for one
    """

    def __init__(self, max_pixels: int, max_scans: int) -> None:
        library = _library()[1]
        assert library is not None
        address = library.tj3Init(_DECOMPRESS)
        if not address:
            raise MemoryError("TurboJPEG has no memory for a decompressor")
        self.address: int = address
        # what is read again by OpenCV need not be read to its end
        library.tj3Set(address, _STOP_ON_WARNING, 1)
        library.tj3Set(address, _SCAN_LIMIT, min(max_scans, 2**31 - 1))
        library.tj3Set(address, _MAX_PIXELS, min(max_pixels, 2**31 - 1))  # refused by some 3.0.x
        finalizer = weakref.finalize(self, library.tj3Destroy, address)
        finalizer.atexit = False  # a thread may still decode; the memory goes with the process

    def warned(self) -> bool:
        """Say whether the last call failed over a warning of libjpeg, of the image's data."""
        library = _library()[1]
        assert library is not None
        code: int = library.tj3GetErrorCode(self.address)
        return code == _WARNING

    def reads_all(self, blob: bytes | memoryview, height: int, width: int) -> bool:
        """Say whether a JPEG decodes to its end without an error and without a warning.

        All of its entropy-coded data is decoded, its transform is left out where it can be. A
        handle that has seen an image keeps its tables, so each image needs one of its own.

        Parameters
        ----------
        blob : bytes-like       not a progressive JPEG
        height, width : int     what its header says
        """
        library = _library()[1]
        assert library is not None
        data = np.frombuffer(blob, np.uint8)
        at, size, handle = data.ctypes.data, data.size, self.address
        if size == 0 or library.tj3DecompressHeader(handle, at, size) != 0:
            return False
        if library.tj3SetScalingFactor(handle, _Fraction(1, 8)) != 0:
            return False
        if library.tj3SetCroppingRegion(handle, _Region()) != 0:
            return False
        if (library.tj3Get(handle, _HEIGHT), library.tj3Get(handle, _WIDTH)) != (height, width):
            return False
        pixels = np.empty((-(-height // 8), -(-width // 8)), np.uint8)
        code: int = library.tj3Decompress8(handle, at, size, pixels.ctypes.data, 0, _GRAY)
        return code == 0


def status() -> Status:
    """Look for the library, once per process, and say what was found."""
    return _library()[0]


def announce(*, verbose: bool = True) -> None:
    """Log which decoder decodes, once per process; a warning if the user's path cannot be used.

    Parameters
    ----------
    verbose : bool      False: the warning alone
    """
    found = status()
    given = os.environ.get(VARIABLE, "") not in ("", "off")
    level = logging.INFO if found.usable or not given else logging.WARNING
    if verbose or level == logging.WARNING:
        _say(level, found.described())


@functools.cache
def _say(level: int, line: str) -> None:
    """Log a line once per process."""
    _log.log(level, "%s", line)


@functools.cache
def compiled() -> Any:
    """Return the module of compiled code that calls the library; None if it cannot be used."""
    with _lock:
        library = _library()[1]
        if library is None:
            return None
        import llvmlite.binding

        for name in FUNCTIONS:
            address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
            llvmlite.binding.add_symbol(_PREFIX + name, address)
        # not before: code that was loaded without them jumps to nowhere
        from gpuio.kernels.cpu import turbojpeg

        return turbojpeg


@functools.cache
def _library() -> tuple[Status, ctypes.CDLL | None]:
    """Find and load the library."""
    if os.environ.get(VARIABLE) == "off":
        return Status(reason=f"{VARIABLE}=off"), None
    if platform.machine() not in _MACHINES or sys.platform == "win32":
        return Status(reason=f"not on {sys.platform} {platform.machine()}"), None
    for path in _places():
        try:
            if os.sep in path:
                check_regular(path)  # loading a pipe would wait for its writer
            library = ctypes.CDLL(path)  # its names stay its own
        except OSError as error:
            if os.sep not in path:  # a name that the system does not know
                continue
            return Status(path, reason=f"it does not load: {error}"), None
        return _checked(path, library)
    return Status(reason="no libturbojpeg found: pip install 'gpuio[turbo]'"), None


def _places() -> Iterator[str]:
    """Yield where to look: paths of files, and names that the system may know."""
    given = os.environ.get(VARIABLE)
    if given:
        yield absolute(given)
        return
    spec = importlib.util.find_spec("turbojpeg")  # of a top-level module: imports nothing
    if spec is not None and spec.origin:
        folder = Path(spec.origin).parent / "turbojpeg.libs"
        yield from map(str, sorted(folder.glob("libturbojpeg-*.so*")))
    if Path(sys.prefix, "conda-meta").is_dir():
        own = (Path(sys.prefix, "lib", name) for name in _SONAMES)
        yield from (str(path) for path in own if path.exists())
    yield from _SONAMES


def _checked(path: str, library: ctypes.CDLL) -> tuple[Status, ctypes.CDLL | None]:
    """Say whether a loaded library has what is needed."""
    missing = [name for name in (*_OWN, *FUNCTIONS) if not hasattr(library, name)]
    if missing:
        reason = f"it has no {missing[0]}: libjpeg-turbo 3 has it, 2 does not"
        return Status(path, reason=reason), None
    library.tj3Init.restype, library.tj3Init.argtypes = ctypes.c_void_p, [ctypes.c_int]
    library.tj3Destroy.restype, library.tj3Destroy.argtypes = None, [ctypes.c_void_p]
    library.tj3Set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    pointer, number = ctypes.c_void_p, ctypes.c_int
    library.tj3DecompressHeader.argtypes = [pointer, pointer, ctypes.c_size_t]
    library.tj3Decompress8.argtypes = [pointer, pointer, ctypes.c_size_t, pointer, number, number]
    library.tj3Get.argtypes = [pointer, number]
    library.tj3GetErrorCode.argtypes = [pointer]
    library.tj3SetCroppingRegion.argtypes = [pointer, _Region]
    library.tj3SetScalingFactor.argtypes = [pointer, _Fraction]
    handle = library.tj3Init(_DECOMPRESS)
    works = bool(handle) and library.tj3Set(handle, _STOP_ON_WARNING, 1) == 0
    if handle:
        library.tj3Destroy(handle)
    if not works:
        return Status(path, reason="it makes no decompressor"), None
    later = hasattr(library, "tj3SetICCProfile")
    return Status(path, "3.1 or later" if later else "3.0"), library
