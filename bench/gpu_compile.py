"""Compile the kernels beforehand: the CPU's by Numba, or the GPU's by NVRTC into CuPy's cache.

    python bench/gpu_compile.py [--cuda]

Several processes share the work where there are cores; what the next process needs is on disk then.
"""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
import time

CUDA = [f"finish_{value}_{layout}_3" for layout in ("nchw", "nhwc")
        for value in ("float32", "float16", "uint8", "bfloat16")]  # fmt: skip
CUDA += ["stage_3", "gray_sum_3", "tone_3", "rows_mix_float32", "rows_mix_float16"]
_MOST = 8  # processes
_NICE = 10  # steps that measure go first


def modules():
    """Return the modules of kernels, the largest first."""
    import gpuio.kernels.cpu
    import gpuio.kernels.plan

    found = []
    for package in (gpuio.kernels.cpu, gpuio.kernels.plan, gpuio.kernels):
        every = pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
        found += [one.name for one in every if not one.ispkg and "__main__" not in one.name]
    return sorted(found, key=lambda name: not name.endswith("share"))


def shares(items, processes):
    """Deal items out."""
    return [items[k::processes] for k in range(min(processes, len(items)))]


def work(cuda, items):
    """Compile these here; return whether all compiled."""
    complete = True
    for item in items:
        begun = time.monotonic()
        try:
            if cuda:
                from gpuio.kernels.cuda.compile import load

                load(item)
            else:
                __import__(item)
        except Exception as error:  # noqa: BLE001 -- the others still count
            complete = False
            print(f"{item}: {type(error).__name__}: {error}"[:400], flush=True)
        else:
            print(f"{item} {time.monotonic() - begun:.1f}s", flush=True)
    return complete


def main(argv):
    os.nice(_NICE)
    cuda = "--cuda" in argv
    names = [word for word in argv if word != "--cuda"]
    if cuda:
        try:
            import cupy

            cupy.cuda.runtime.getDeviceCount()
        except Exception as error:  # noqa: BLE001 -- whatever CuPy says
            print(f"no GPU to compile for: {' '.join(str(error).split())}")
            return 0 if os.environ.get("GPUIO_REQUIRE_GPU") != "1" else 1
    if names:
        return int(not work(cuda, names))
    items = CUDA if cuda else modules()
    processes = max(1, min(_MOST, len(os.sched_getaffinity(0)) // 2))
    if processes == 1:
        return int(not work(cuda, items))
    own = [sys.executable, __file__, *(["--cuda"] if cuda else [])]
    running = [subprocess.Popen([*own, *share]) for share in shares(items, processes)]
    return max(process.wait() for process in running)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
