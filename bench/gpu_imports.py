"""Say what this machine has: cores, driver, video library, and each package with its version.

    python bench/gpu_imports.py [--cpu]

Ends with 1 if a package that the GPU's backend cannot do without does not load; with --cpu, one
that the CPU's cannot.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import time

ALWAYS = ("numpy", "numba", "cv2", "attrs", "gpuio.io")
ON_GPU = ("cupy", "nvidia.nvimgcodec")
WELCOME = ("turbojpeg", "nvidia.dali")
LATER = ("torch", "torchvision", "jax", "pytest", "hypothesis")  # looked for: they load in seconds


def imported(name):
    """Import a package; return what to say of it, and whether it loads."""
    begun = time.monotonic()
    try:
        module = importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 -- whatever a foreign library raises
        return f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:200]}", False
    version = getattr(module, "__version__", "")
    return f"{name} {version} {time.monotonic() - begun:.1f}s", True


def main(argv):
    print(f"Python {sys.version.split()[0]}, {len(os.sched_getaffinity(0))} cores", flush=True)
    if shutil.which("nvidia-smi"):
        what = "name,driver_version,memory.total,memory.used,clocks.sm,clocks.mem"
        smi = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader"]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(smi, check=False, timeout=5)
    try:
        ctypes.CDLL("libnvcuvid.so.1")
        print("libnvcuvid.so.1 loads: the JPEG engines can be reached")
    except OSError as error:
        print(f"the JPEG engines stay unused: {error}")
    needed = ALWAYS if "--cpu" in argv else ALWAYS + ON_GPU
    missing = []
    for name in dict.fromkeys((*needed, *ON_GPU, *WELCOME)):
        said, loads = imported(name)
        print(said, flush=True)
        if not loads and name in needed:
            missing.append(name)
    for name in LATER:
        found = importlib.util.find_spec(name)
        print(f"{name} {importlib.metadata.version(name) if found else 'is not there'}")
    if missing:
        print(f"missing: {', '.join(missing)}")
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
