"""`augment.cu`, compiled: by CuPy for the GPU that is here, by NVRTC alone for one that is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpuio.kernels.layout import c_struct
from gpuio.kernels.mix import MIX, Mixing
from gpuio.kernels.nvrtc import compile_source
from gpuio.kernels.work import Work, structs

__all__ = ["OPTIONS", "Mixing", "Work", "compile_only", "load", "source"]

_FILES = (
    "resample.cu", "antialias.cu", "colour.cu", "augment.cu", "values.cu", "finish.cu", "mix.cu",
)  # fmt: skip
# products and sums stay two roundings, as on the CPU
OPTIONS = ("--std=c++17", "--fmad=false")


def source() -> str:
    """Return the whole translation unit: the generated declarations, then the files."""
    folder = Path(__file__).parent
    return (
        structs() + c_struct("Mix", MIX) + "\n".join((folder / name).read_text() for name in _FILES)
    )


def load() -> Any:
    """Compile for the current device and load it.

    Returns
    -------
    cupy.RawModule

    Raises
    ------
    cupy.cuda.compiler.CompileException
    """
    import cupy  # noqa: PLC0415 -- CuPy is loaded only where there is a GPU

    module = cupy.RawModule(code=source(), options=OPTIONS)
    module.compile()
    return module


def compile_only(arch: str) -> bytes:
    """Compile for an architecture that need not be here; needs no driver.

    Parameters
    ----------
    arch : str          "sm_90" for machine code, "compute_90" for PTX

    Returns
    -------
    bytes

    Raises
    ------
    gpuio.kernels.nvrtc.CompileError
    """
    return compile_source(source(), "augment.cu", (*OPTIONS, f"-arch={arch}"))
