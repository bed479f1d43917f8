"""NVRTC through ctypes: compile CUDA C for any architecture, without a driver and without CuPy.

CuPy compiles for the GPU it runs on; this compiles for a GPU that is not here, which is how a
machine without one checks that the kernels compile.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path

__all__ = ["CompileError", "compile_source", "in_wheels", "locate"]

_SONAMES = ("libnvrtc.so.13", "libnvrtc.so.12")
_SYSTEM = ("/usr/local/cuda/lib64", "/usr/local/cuda/targets/x86_64-linux/lib")


class CompileError(RuntimeError):
    """NVRTC is missing or refused the source; the message is its log."""


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


def in_wheels(folders, names):
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


@functools.cache
def _library():
    """Load NVRTC once."""
    path = locate()
    if not path:
        raise CompileError(
            "NVRTC is not found: pip install nvidia-cuda-nvrtc-cu12 (or cupy-cuda12x[ctk])"
        )
    library = ctypes.CDLL(path)
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    return library


def compile_source(source, name, options):
    """Compile CUDA C.

    Parameters
    ----------
    source : str
    name : str              file name in the compiler's messages
    options : sequence of str
        as NVRTC takes them; ``-arch=sm_90`` makes machine code, ``-arch=compute_90`` PTX

    Returns
    -------
    bytes                   a cubin, or PTX text for a virtual architecture

    Raises
    ------
    CompileError            with the compiler's log
    """
    nvrtc = _library()
    program = ctypes.c_void_p()
    _check(
        nvrtc,
        nvrtc.nvrtcCreateProgram(
            ctypes.byref(program), source.encode(), name.encode(), 0, None, None
        ),
    )
    try:
        flags = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
        status = nvrtc.nvrtcCompileProgram(program, len(options), flags)
        if status:
            log = _text(nvrtc, program, "ProgramLog").decode(errors="replace")
            raise CompileError(f"NVRTC refused {name} with {' '.join(options)}:\n{log}")
        machine_code = any(option.startswith("-arch=sm_") for option in options)
        return _text(nvrtc, program, "CUBIN" if machine_code else "PTX")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _text(nvrtc, program, what):
    """Fetch one of a program's byte results: ProgramLog, PTX or CUBIN."""
    size = ctypes.c_size_t()
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}")(program, buffer))
    return buffer.raw[: size.value]


def _check(nvrtc, status):
    """Raise what a status says."""
    if status:
        raise CompileError(f"NVRTC failed: {nvrtc.nvrtcGetErrorString(status).decode()}")
