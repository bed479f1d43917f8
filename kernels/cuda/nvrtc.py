"""Where CUDA's run-time compiler (NVRTC) and its other libraries lie, if they are installed."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["in_wheels", "locate"]

_SONAMES = ("libnvrtc.so.13", "libnvrtc.so.12")
_SYSTEM = ("/usr/local/cuda/lib64", "/usr/local/cuda/targets/x86_64-linux/lib")


def locate() -> str:
    """Return the path (or the name, if the loader knows it) of NVRTC's library, "" if absent.

    Looks into the wheels nvidia-cuda-nvrtc (CUDA 13) and nvidia-cuda-nvrtc-cu12, then asks the
    dynamic loader, then tries the toolkit that CUDA_PATH names and the usual place of one.
    """
    wheels = in_wheels(("cu13/lib", "cuda_nvrtc/lib"), _SONAMES)
    if wheels:
        return wheels[0]
    for soname in _SONAMES:
        try:
            ctypes.CDLL(soname)
        except OSError:
            continue
        return soname
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
