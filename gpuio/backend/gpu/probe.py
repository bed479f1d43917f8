"""What this machine has for GPU batches, and what is missing, without importing any of it.

`survey` asks the driver through ctypes and looks for packages without loading them, so that it
works, and says something useful, on a machine where half of it is broken. `gaps` is a pure function
of what `survey` found.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util

import attrs

__all__ = [
    "Driver",
    "Gap",
    "Gpu",
    "Machine",
    "array_gaps",
    "count_gpus",
    "gaps",
    "missing_for_gpu",
    "missing_text",
    "survey",
]

_OLDEST_CUDA = 12  # CuPy's and DALI's oldest wheels that gpuio's extras name
_NAME_BYTES = 100
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # cuDeviceGetAttribute


@attrs.frozen
class Gap:
    """Something the GPU backend needs and does not find.

    Attributes
    ----------
    what : str      what is missing or unfit, with the value found
    mend : str      the command or the step that mends it
    """

    what: str
    mend: str


@attrs.frozen
class Gpu:
    """A GPU as the driver shows it: name, compute capability and memory in bytes."""

    name: str
    capability: tuple[int, int]
    memory_bytes: int


@attrs.frozen
class Driver:
    """The CUDA driver.

    Attributes
    ----------
    cuda : (major, minor)       newest CUDA version it runs; (0, 0) without a driver
    version : str               of the driver package, "" if unknown
    gpus : tuple of Gpu
    trouble : str               why there is no usable driver, "" if there is one
    video : bool                whether libnvcuvid.so.1 loads: nvJPEG reaches the JPEG engines by it
    """

    cuda: tuple[int, int] = (0, 0)
    version: str = ""
    gpus: tuple[Gpu, ...] = ()
    trouble: str = ""
    video: bool = False


@attrs.frozen
class Machine:
    """Everything `gaps` looks at.

    Attributes
    ----------
    driver : Driver
    cupy : tuple of str         installed CuPy distributions, as "cupy-cuda12x 13.6.0"
    dali : str                  version of DALI, "" if absent
    nvimgcodec : str            version of nvImageCodec, "" if absent
    nvrtc : str                 path of the run-time compiler's library, "" if CuPy finds none
    nvrtc_unseen : str          path of one that is there where CuPy does not look, "" if none is
    """

    driver: Driver
    cupy: tuple[str, ...] = ()
    dali: str = ""
    nvimgcodec: str = ""
    nvrtc: str = ""
    nvrtc_unseen: str = ""


def missing_for_gpu(device_id: int) -> list[Gap]:
    """Return what GPU `device_id` lacks for the GPU backend, most fundamental first; [] if none."""
    return gaps(survey(), device_id)


def count_gpus() -> int:
    """Return how many GPUs the driver shows; 0 without a driver."""
    return len(_driver().gpus)


def survey() -> Machine:
    """Look at the driver and the installed packages; imports none of them."""
    from gpuio.kernels.cuda.nvrtc import locate, unseen

    return Machine(
        driver=_driver(),
        cupy=tuple(
            sorted(
                {
                    f"{dist.name} {dist.version}"
                    for dist in importlib.metadata.distributions()
                    if dist.name == "cupy" or (dist.name or "").startswith("cupy-cuda")
                }
            )
        ),
        dali=_version("nvidia.dali", "nvidia-dali-cuda"),
        nvimgcodec=_version("nvidia.nvimgcodec", "nvidia-nvimgcodec-cu"),
        nvrtc=locate(),
        nvrtc_unseen=unseen(),
    )


def gaps(machine: Machine, device_id: int) -> list[Gap]:
    """Return what `machine` lacks.

    Parameters
    ----------
    machine : Machine
    device_id : int         number of the GPU, from 0

    Returns
    -------
    list of Gap             most fundamental first
    """
    found = array_gaps(machine, device_id)
    major, extra = _wanted(machine.driver)
    if machine.cupy and not machine.nvrtc:
        found.append(_nvrtc_gap(machine, major))
    if not machine.dali and not machine.nvimgcodec:
        found.append(Gap("no decode engine: neither DALI nor nvImageCodec is installed", extra))
    return found


def array_gaps(machine: Machine, device_id: int) -> list[Gap]:
    """Return what `machine` lacks to hold arrays on a GPU: a driver, the GPU, CuPy."""
    driver = machine.driver
    found = _driver_gaps(driver, device_id)
    _, extra = _wanted(driver)
    if not machine.cupy:
        found.append(Gap("CuPy is not installed", extra))
    elif len(machine.cupy) > 1:
        found.append(
            Gap(
                f"{len(machine.cupy)} CuPy packages share one folder: {', '.join(machine.cupy)}",
                f"pip uninstall -y {' '.join(c.split()[0] for c in machine.cupy)} && {extra}",
            )
        )
    elif driver.cuda[0] and "cuda13x" in machine.cupy[0] and driver.cuda[0] < 13:
        found.append(
            Gap(
                f"{machine.cupy[0]} needs a driver for CUDA 13, this one runs CUDA "
                f"{driver.cuda[0]}.{driver.cuda[1]}",
                f"pip uninstall -y cupy-cuda13x && {extra}",
            )
        )
    return found


def missing_text(device_id: int, found: list[Gap]) -> str:
    """Word the gaps of a machine for an error."""
    lines = "".join(f"\n  - {gap.what}\n    mend: {gap.mend}" for gap in found)
    return (
        f"ctx='gpu' cannot use GPU {device_id}:{lines}\n"
        "ctx='cpu' needs none of this; `gpuio doctor` shows the whole machine"
    )


def _wanted(driver: Driver) -> tuple[int, str]:
    """Return the CUDA version to install packages for, and the command that installs all."""
    major = max(driver.cuda[0], _OLDEST_CUDA) if driver.cuda[0] else _OLDEST_CUDA
    return major, f"pip install 'gpuio[cuda{min(major, 13)}]'"


def _driver_gaps(driver: Driver, device_id: int) -> list[Gap]:
    """Return what is wrong with the driver and its GPUs."""
    if driver.trouble:
        return [
            Gap(
                f"no CUDA driver: {driver.trouble}",
                "install NVIDIA's driver, 525 or newer, until nvidia-smi lists the GPU; in a "
                "container: docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES="
                "compute,utility,video",
            )
        ]
    if driver.cuda[0] < _OLDEST_CUDA:
        return [
            Gap(
                f"the driver runs CUDA {driver.cuda[0]}.{driver.cuda[1]}, CUDA {_OLDEST_CUDA} is "
                "needed",
                "install NVIDIA's driver, 525 or newer",
            )
        ]
    if not 0 <= device_id < len(driver.gpus):
        count = len(driver.gpus)
        return [
            Gap(
                f"GPU {device_id} does not exist: the driver shows {count}",
                f"use a device_id from 0 to {count - 1}; CUDA_VISIBLE_DEVICES hides the others"
                if count
                else "unset CUDA_VISIBLE_DEVICES, or start the container with --gpus all",
            )
        ]
    return []


def _nvrtc_gap(machine: Machine, major: int) -> Gap:
    """Say that CuPy finds no NVRTC, and whether that is for want of one."""
    install = _ctk(machine.cupy[0].split()[0], major)
    if not machine.nvrtc_unseen:
        return Gap("NVRTC, CUDA's run-time compiler, is not found", install)
    folder = machine.nvrtc_unseen.rpartition("/")[0]
    return Gap(
        f"NVRTC, CUDA's run-time compiler, lies where {machine.cupy[0]} does not look: "
        f"{machine.nvrtc_unseen}",
        f"{install}, or export LD_LIBRARY_PATH={folder} before Python starts",
    )


def _ctk(cupy: str, major: int) -> str:
    """Return the command that brings NVRTC to an installed CuPy."""
    return (
        f"pip install '{cupy}[ctk]'"
        if cupy.startswith("cupy-cuda")
        else f"pip install nvidia-cuda-nvrtc{'-cu12' if major < 13 else ''}"
    )


def _version(module: str, prefix: str) -> str:
    """Return the version of an importable module's distribution, "" if it cannot be imported."""
    try:
        if importlib.util.find_spec(module) is None:
            return ""
    except (ImportError, ValueError):
        return ""
    for dist in importlib.metadata.distributions():
        if (dist.name or "").startswith(prefix):
            return str(dist.version)
    return "unknown"


def _driver() -> Driver:
    """Ask libcuda; every failure becomes `Driver.trouble`."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Driver(trouble="libcuda.so.1 is not found")
    status = cuda.cuInit(0)
    if status:
        text = ctypes.c_char_p()
        cuda.cuGetErrorString(status, ctypes.byref(text))
        reason = (text.value or b"unknown error").decode()
        return Driver(trouble=f"cuInit failed with {status}: {reason}")
    number, count = ctypes.c_int(), ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(number))
    cuda.cuDeviceGetCount(ctypes.byref(count))
    return Driver(
        cuda=(number.value // 1000, number.value % 1000 // 10),
        version=_driver_version(),
        gpus=tuple(_gpu(cuda, device) for device in range(count.value)),
        video=_loads("libnvcuvid.so.1"),
    )


def _gpu(cuda: ctypes.CDLL, number: int) -> Gpu:
    """Describe one GPU."""
    device, name, memory = (
        ctypes.c_int(),
        ctypes.create_string_buffer(_NAME_BYTES),
        ctypes.c_size_t(),
    )
    major, minor = ctypes.c_int(), ctypes.c_int()
    cuda.cuDeviceGet(ctypes.byref(device), number)
    cuda.cuDeviceGetName(name, _NAME_BYTES, device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device)
    return Gpu(name.value.decode(errors="replace"), (major.value, minor.value), memory.value)


def _driver_version() -> str:
    """Return the driver package's version from NVML, "" without it."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return ""
    text = ctypes.create_string_buffer(_NAME_BYTES)
    if nvml.nvmlInit_v2():
        return ""
    try:
        failed = nvml.nvmlSystemGetDriverVersion(text, _NAME_BYTES)
        return "" if failed else text.value.decode()
    finally:
        nvml.nvmlShutdown()


def _loads(library: str) -> bool:
    """Say whether a shared library can be loaded."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
