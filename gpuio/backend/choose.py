"""open_backend: the only place that knows every backend."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

from gpuio.backend.protocol import Backend
from gpuio.errors import BackendError, OptionError
from gpuio.options.machine import GPU_ONLY

if TYPE_CHECKING:
    from gpuio.backend.gpu.arrays import GpuArrays

__all__ = ["CPU_ONLY", "array_backend", "open_backend"]

CPU_ONLY = ("max_pixels", "max_scans", "record_bytes")

_log = logging.getLogger("gpuio")


def open_backend(
    name: str = "auto", device_id: int = 0, *, verbose: bool = True, **settings: Any
) -> Backend:
    """Open the backend that makes batches.

    Parameters
    ----------
    name : {"auto", "cpu", "cpu_pinned", "gpu"}
        "auto" takes the GPU when a driver, CuPy and a decode engine are there, and the CPU when
        one of them is not or the GPU does not open; it logs in one line which and why, the latter
        as a warning.
    device_id : int         number of the GPU
    verbose : bool          log what is taken; a warning is logged in any case
    settings                given to the backend; those of `GPU_ONLY` to a GPU only; max_pixels,
                            max_scans, record_bytes to a CPU only

    Raises
    ------
    BackendError            "gpu" was asked for and something it needs is missing, the message names
                            each gap and the command that mends it; or the GPU does not open
    """
    from gpuio.backend.cpu import CpuBackend

    if name in ("cpu", "cpu_pinned"):
        return CpuBackend(verbose=verbose, **_without(settings, GPU_ONLY))
    from gpuio.backend.gpu.probe import missing_for_gpu

    if name == "auto":
        gaps = missing_for_gpu(device_id)
        if gaps:
            if verbose:
                _log.info("ctx='auto' takes the CPU: %s", gaps[0].what)
            return CpuBackend(verbose=verbose, **_without(settings, GPU_ONLY))
    elif name != "gpu":
        raise OptionError(f"ctx: expected 'auto', 'cpu' or 'gpu', got {name!r}")
    from gpuio.backend.gpu.backend import GpuBackend

    try:
        backend = GpuBackend(device_id, verbose=verbose, **_without(settings, CPU_ONLY))
    except BackendError as error:
        if name == "gpu":
            raise
        _log.warning(
            "ctx='auto' takes the CPU, GPU %d does not open: %s "
            "(ctx='gpu' raises this; `gpuio doctor` shows the machine)",
            device_id,
            " ".join(str(error).split()),
        )
        return CpuBackend(verbose=verbose, **_without(settings, GPU_ONLY))
    if verbose:
        _log.info("ctx=%r takes GPU %d", name, device_id)
    return backend


def _without(settings: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings that mean something to a backend."""
    return {name: value for name, value in settings.items() if name not in names}


@functools.cache
def array_backend(device_id: int) -> GpuArrays:
    """Return what puts single arrays on a GPU; opened once per GPU, and without a decode engine.

    Raises
    ------
    BackendError            a driver, that GPU or CuPy is missing
    """
    from gpuio.backend.gpu.arrays import open_arrays

    return open_arrays(device_id)
