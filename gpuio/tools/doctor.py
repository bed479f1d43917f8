"""``gpuio doctor``: what this machine has for GPU batches, what is missing, how to fix it."""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import json
import platform
import sys
from pathlib import Path
from typing import Any

from gpuio._version import __version__
from gpuio.backend.cores import usable_cores
from gpuio.backend.gpu.engines import choose_engine
from gpuio.backend.gpu.probe import Gap, Machine, gaps, survey
from gpuio.decode import turbojpeg
from gpuio.kernels.cuda.nvrtc import in_wheels
from gpuio.tools import cli
from gpuio.tools.arguments import at_least

__all__ = ["add_arguments", "examine", "report", "run"]

EXAMPLES = ("gpuio doctor", "gpuio doctor --gpu", "gpuio doctor --device-id 1 --json")
EXITS = {
    0: "nothing that was asked for is missing",
    1: "a GPU that is there, or was asked for, cannot be used",
}

_PACKAGES = (
    *("numpy", "numba", "opencv-python-headless", "torch", "jax", "mxnet"),
    *("obstore", "fsspec", "pyarrow"),  # for files behind URLs
)
_HARDWARE_LISTED = "/proc/driver/nvidia"  # there where the system has NVIDIA's driver
_HARDWARE = 3  # NVJPEG_BACKEND_HARDWARE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--gpu",
        action="store_true",
        help="a GPU is wanted: exit with 1 if it cannot be used, on a machine without one, too",
    )
    parser.add_argument(
        "--device-id",
        type=at_least(0),
        help="number of the GPU to look at, which is wanted then; default: 0",
    )
    parser.add_argument(
        "--decoder",
        default="auto",
        choices=("auto", "dali", "nvimgcodec"),
        help="the GPU's decode engine to ask for, which is wanted then",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(args: argparse.Namespace) -> int:
    """Print what was found.

    Returns
    -------
    int         0 if nothing that was asked for is missing, 1 if a GPU is there, or was asked for,
                and cannot be used
    """
    asked = args.gpu or args.device_id is not None or args.decoder != "auto"
    found = examine(survey(), args.device_id or 0, args.decoder, engines=jpeg_engines, asked=asked)
    print(json.dumps(found, indent=2) if args.json else report(found))
    return 1 if found["gaps"] and found["gpu_asked_for"] else 0


def examine(
    machine: Machine, device_id: int, decoder: str, *, engines: Any, asked: bool = False
) -> dict[str, Any]:
    """Collect everything the report says.

    Parameters
    ----------
    machine : Machine
    device_id : int
    decoder : str           the engine asked for
    engines : callable      device_id -> (JPEG engines, cores per engine) or None; called only if a
                            GPU of that number exists
    asked : bool            a GPU is wanted; one that is there is wanted in any case

    Returns
    -------
    dict                    JSON types only
    """
    missing = gaps(machine, device_id)
    driver = machine.driver
    name, why = choose_engine(decoder, machine)
    turbo = turbojpeg.status()
    present = 0 <= device_id < len(driver.gpus)
    hardware = engines(device_id) if present else None
    notes = _notes(machine, hardware) if present else []
    return {
        "gpuio": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": usable_cores(),
        "packages": {package: _installed(package) for package in _PACKAGES},
        "cupy": list(machine.cupy),
        "dali": machine.dali,
        "nvimgcodec": machine.nvimgcodec,
        "nvrtc": machine.nvrtc,
        "turbojpeg": {"path": turbo.path, "version": turbo.version, "reason": turbo.reason},
        "driver": driver.version,
        "cuda": ".".join(map(str, driver.cuda)) if driver.cuda[0] else "",
        "gpus": [
            {
                "name": gpu.name,
                "capability": ".".join(map(str, gpu.capability)),
                "memory_bytes": gpu.memory_bytes,
            }
            for gpu in driver.gpus
        ],
        "device_id": device_id,
        "jpeg_engines": None if hardware is None else list(hardware),
        "backend": "cpu" if missing else "gpu",
        "decoder": ("turbojpeg" if turbo.usable else "opencv") if missing else name,
        "decoder_reason": "the GPU backend cannot be used" if missing else why,
        "gpu_asked_for": asked or bool(driver.gpus) or Path(_HARDWARE_LISTED).exists(),
        "gaps": [{"what": gap.what, "mend": gap.mend} for gap in missing],
        "notes": [{"what": note.what, "mend": note.mend} for note in notes],
    }


def report(found: dict[str, Any]) -> str:
    """Return what `examine` collected as text."""
    lines = [
        f"gpuio {found['gpuio']}, Python {found['python']}, {found['platform']}",
        f"CPUs       {found['cpus']} allowed",
        "packages   "
        + ", ".join(f"{name} {version or '-'}" for name, version in found["packages"].items()),
        f"driver     {found['driver'] or '-'}, runs CUDA {found['cuda'] or '-'}",
        *(
            f"GPU {number}      {gpu['name']}, capability {gpu['capability']}, "
            f"{gpu['memory_bytes'] / 2**30:.0f} GiB"
            for number, gpu in enumerate(found["gpus"])
        ),
        f"CuPy       {', '.join(found['cupy']) or '-'}",
        f"NVRTC      {found['nvrtc'] or '-'}",
        f"DALI       {found['dali'] or '-'}",
        f"nvImageCodec {found['nvimgcodec'] or '-'}",
        f"TurboJPEG  {_turbo(found['turbojpeg'])}",
    ]
    if found["jpeg_engines"]:
        engines, cores = found["jpeg_engines"]
        lines.append(f"JPEG       {engines} hardware engines of {cores} cores")
    lines.append(f"ctx='auto' takes the {found['backend'].upper()}")
    lines.append(f"decoder    {found['decoder'] or '-'}: {found['decoder_reason']}")
    if found["gaps"] and not found["gpu_asked_for"]:
        lines.append("no GPU is here: nothing is missing for the CPU; for a GPU there would be:")
    missing = "missing" if found["gpu_asked_for"] else "  for a GPU"
    for title, kind in ((missing, "gaps"), ("note", "notes")):
        for gap in found[kind]:
            lines += [f"{title}: {gap['what']}", f"  mend: {gap['mend']}"]
    return "\n".join(lines)


def _turbo(found: dict[str, str]) -> str:
    """Word what the search for TurboJPEG found."""
    if found["version"]:
        return f"{found['version']}, {found['path']}"
    return f"- {found['path']}{': ' if found['path'] else ''}{found['reason']}"


def jpeg_engines(device_id: int) -> tuple[int, int] | None:
    """Ask nvJPEG for its hardware.

    Returns
    -------
    (int, int) or None      JPEG engines and cores per engine; None if nvJPEG finds none, or is not
                            installed
    """
    library = _nvjpeg()
    if library is None:
        return None
    try:
        import cupy
    except ImportError:
        return None
    handle = ctypes.c_void_p()
    engines, cores = ctypes.c_uint(), ctypes.c_uint()
    try:
        with cupy.cuda.Device(device_id):
            cupy.cuda.runtime.free(0)  # creates the context in which nvJPEG works
            if library.nvjpegCreateEx(_HARDWARE, None, None, 0, ctypes.byref(handle)):
                return None
            status = library.nvjpegGetHardwareDecoderInfo(
                handle, ctypes.byref(engines), ctypes.byref(cores)
            )
            library.nvjpegDestroy(handle)
    except (RuntimeError, AttributeError):
        return None
    return None if status else (engines.value, cores.value)


def _notes(machine: Machine, hardware: tuple[int, int] | None) -> list[Gap]:
    """Return what works, but slower than it could, or differently."""
    notes = []
    if not machine.driver.video:
        notes.append(
            Gap(
                "libnvcuvid.so.1 does not load: JPEG engines, where the GPU has them, stay unused",
                "install the driver's video library (package libnvidia-decode-*); in a container "
                "add -e NVIDIA_DRIVER_CAPABILITIES=compute,utility,video",
            )
        )
    elif hardware is None:
        notes.append(
            Gap(
                "no JPEG hardware found: images are decoded by CUDA kernels and the CPU",
                "nothing to mend if this GPU has none (A100, H100, B200 and Ada have); a MIG slice "
                "may have none",
            )
        )
    return notes


def _nvjpeg() -> ctypes.CDLL | None:
    """Load nvJPEG from its wheel or the system."""
    sonames = ("libnvjpeg.so.13", "libnvjpeg.so.12")
    names = [*in_wheels(("cu13/lib", "nvjpeg/lib"), sonames), *sonames]
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _installed(package: str) -> str:
    """Return a package's version, "" if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def main() -> int:
    """Run as ``python -m gpuio.tools.doctor``."""
    return cli.main(["doctor", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
