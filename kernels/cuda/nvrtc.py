"""Where CUDA's run-time compiler (NVRTC) and its other libraries lie, if they are installed."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["in_wheels", "load", "locate", "unseen"]

_SONAMES = ("libnvrtc.so.13", "libnvrtc.so.12")
_SYSTEM = ("/usr/local/cuda/lib64", "/usr/local/cuda/targets/x86_64-linux/lib")
# CuPy's packages, and the libraries that each asks the dynamic loader for
_CUPY = {"cupy-cuda13x": _SONAMES[:1], "cupy-cuda12x": _SONAMES[1:], "cupy": _SONAMES}
_PATHFINDER_SINCE = 14  # CuPy's major version


def locate() -> str:
    """Return the path (or the name, if the loader knows it) of NVRTC's library, "" if absent.

    Where CuPy is installed, NVRTC is what CuPy finds: from 14 on it asks cuda-pathfinder (wheels in
    site-packages, conda, the dynamic loader, CUDA_PATH), which loads the library; before, the
    dynamic loader. Without CuPy this looks into the wheels nvidia-cuda-nvrtc (CUDA 13) and
    nvidia-cuda-nvrtc-cu12 anywhere on sys.path, then asks the dynamic loader, then tries the
    toolkit that CUDA_PATH names and the usual place of one.
    """
    for package, sonames in _CUPY.items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        if int(version.split(".")[0]) >= _PATHFINDER_SINCE:
            return _as_pathfinder_does()
        return _as_the_loader_does(sonames)
    return _anywhere()


def unseen() -> str:
    """Return the path of an NVRTC that is there and that `locate` does not find, "" if none is."""
    return "" if locate() else _anywhere()


def load(path: str) -> ctypes.CDLL:
    """Load NVRTC's library and what it opens by name.

    Some wheels (nvidia-cuda-nvrtc 13.0) lack the entry that lets NVRTC find its builtins beside
    itself: they are loaded first.
    """
    for builtins in sorted(Path(path).parent.glob("libnvrtc-builtins.so.[0-9]*")):
        ctypes.CDLL(str(builtins))
    return ctypes.CDLL(path)


def _as_pathfinder_does() -> str:
    """Ask cuda-pathfinder, as CuPy does."""
    try:
        pathfinder = importlib.import_module("cuda.pathfinder")
        return str(pathfinder.load_nvidia_dynamic_lib("nvrtc").abs_path)
    except (ImportError, RuntimeError):  # not installed; no such library, or it does not load
        return ""


def _as_the_loader_does(sonames: Sequence[str]) -> str:
    """Return the first name that the dynamic loader knows."""
    for soname in sonames:
        try:
            ctypes.CDLL(soname)
        except OSError:
            continue
        return soname
    return ""


def _anywhere() -> str:
    """Look wherever NVRTC usually lies."""
    wheels = in_wheels(("cu13/lib", "cuda_nvrtc/lib"), _SONAMES)
    if wheels:
        return wheels[0]
    known = _as_the_loader_does(_SONAMES)
    if known:
        return known
    named = os.environ.get("CUDA_PATH") or os.environ.get("CUDA_HOME")
    for folder in ([f"{named}/lib64", f"{named}/lib"] if named else []) + list(_SYSTEM):
        found = sorted(Path(folder).glob("libnvrtc.so.1[0-9]"))
        if found:
            return str(found[-1])
    return ""


def in_wheels(folders: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the paths of libraries that NVIDIA's wheels brought, in the order of sys.path.

    Parameters
    ----------
    folders : sequence of str       inside the shared folder ``nvidia`` of each place on the path
    names : sequence of str         file names, the preferred one first

    Notes
    -----
    Asks no import system: where one of several ``nvidia`` folders has an ``__init__.py``, that one
    hides the others from it until it is imported.
    """
    return [
        str(path)
        for place in sys.path
        for folder in folders
        for name in names
        if (path := Path(place or ".", "nvidia", folder, name)).exists()
    ]
