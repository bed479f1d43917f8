"""The CUDA kernels, put together and compiled by CuPy for the GPU that is here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpuio.kernels.cuda.launch_plan import MAX_ROWS, LaunchPlan, compiled_pass, declarations
from gpuio.kernels.cuda.mix import MIX, Mixing
from gpuio.kernels.plan.interpolation import FILTERS
from gpuio.kernels.plan.layout import c_struct

__all__ = ["MAX_ROWS", "OPTIONS", "LaunchPlan", "Mixing", "compiled_pass", "load", "source"]

_FILES = (
    "resample.cu", *dict.fromkeys(one.file for one in FILTERS.values()), "colour.cu",
    "augment.cu", "values.cu", "finish.cu", "tone.cu", "mix.cu",
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


def _instance(kernel: str) -> str:
    """Return the line that makes a kernel of its template."""
    kind, *words = kernel.split("_")
    match kind, *words:
        case "stage", channels:
            return f"STAGE({channels})\n"
        case "gray", "sum", channels:
            return f"GRAY_SUM({channels})\n"
        case "tone", channels:
            return f"TONE({channels})\n"
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
