"""NVRTC through ctypes: compiles the kernels for a GPU that is not here, with no driver or CuPy."""

import ctypes
import functools

from gpuio.kernels.cuda.compile import OPTIONS, source
from gpuio.kernels.cuda.nvrtc import load, locate


class CompileError(RuntimeError):
    """NVRTC is missing or refused the source; the message is its log."""


def compile_only(arch: str, kernel: str = "") -> bytes:
    """Compile for an architecture that need not be here; needs no driver.

    Parameters
    ----------
    arch : str          "sm_90" for machine code, "compute_90" for PTX
    kernel : str        the only kernel to be compiled; "" compiles all

    Returns
    -------
    bytes

    Raises
    ------
    CompileError
    """
    return compile_source(source(kernel), "gpuio.cu", (*OPTIONS, f"-arch={arch}"))


@functools.cache
def _library():
    """Load NVRTC once."""
    path = locate()
    if not path:
        raise CompileError(
            "NVRTC is not found: pip install nvidia-cuda-nvrtc-cu12 (or cupy-cuda12x[ctk])"
        )
    library = load(path)
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
