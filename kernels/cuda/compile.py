"""The CUDA kernels, compiled: by CuPy for the GPU that is here, by NVRTC for one that is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpuio.kernels.cuda.launch_plan import LaunchPlan, declarations
from gpuio.kernels.cuda.mix import MIX, Mixing
from gpuio.kernels.cuda.nvrtc import compile_source
from gpuio.kernels.plan.layout import c_struct

__all__ = ["OPTIONS", "LaunchPlan", "Mixing", "compile_only", "load", "source"]

_FILES = (
    "resample.cu", "antialias.cu", "colour.cu", "augment.cu", "values.cu", "finish.cu", "mix.cu",
)  # fmt: skip
# products and sums stay two roundings, as on the CPU
OPTIONS = ("--std=c++17", "--fmad=false")


def source(kernel: str = "") -> str:
    """Return the whole translation unit: the generated declarations, then the files.

    Parameters
    ----------
    kernel : str        the only kernel to be made of it; "" makes all of them, which takes a
                        compiler ten times as long
    """
    folder = Path(__file__).parent
    parts = [
        declarations(),
        c_struct("Mix", MIX),
        *((folder / name).read_text() for name in _FILES),
    ]
    if kernel:
        parts = ["#define ONE_KERNEL\n", *parts, _instance(kernel)]
    return "\n".join(parts)


def _instance(kernel):
    """Return the line that makes a kernel of its template."""
    kind, *words = kernel.split("_")
    match kind, *words:
        case "stage", channels:
            return f"STAGE({channels})\n"
        case "gray", "sum", channels:
            return f"GRAY_SUM({channels})\n"
        case "rows", *what:
            return f"MIX({'_'.join(what)})\n"
        case "finish", *value, layout, channels:
            last = str(layout == "nhwc").lower()
            return f"FINISH_KERNEL({'_'.join(value)}, {layout}, {channels}, {last})\n"
    raise ValueError(f"no kernel is called {kernel}")


def load(kernel: str) -> Any:
    """Compile one kernel for the current device and load it.

    Parameters
    ----------
    kernel : str        its name, as in `Launch`

    Returns
    -------
    cupy.RawModule      of that kernel

    Raises
    ------
    cupy.cuda.compiler.CompileException
    """
    import cupy  # noqa: PLC0415 -- CuPy is loaded only where there is a GPU

    module = cupy.RawModule(code=source(kernel), options=OPTIONS)
    module.compile()
    return module


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
    gpuio.kernels.cuda.nvrtc.CompileError
    """
    return compile_source(source(kernel), "gpuio.cu", (*OPTIONS, f"-arch={arch}"))
