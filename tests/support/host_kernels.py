"""The CUDA kernels compiled for the host: the GPU's code, run one thread after the other.

GPUIO_SANITIZE=address or =undefined compiles them with that sanitizer (`make sanitize`); the first
needs its library loaded before Python.
"""

import ctypes
import functools
import os
from pathlib import Path

import pytest

from gpuio.kernels.cuda.compile import source
from support.built import built, compiler

FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-w")
SANITIZER = os.environ.get("GPUIO_SANITIZE", "")
if SANITIZER:
    FLAGS += (
        f"-fsanitize={SANITIZER}",
        f"-fno-sanitize-recover={SANITIZER}",
        "-fno-omit-frame-pointer",
        "-g1",
    )
SHIM = Path(__file__).with_name("host_cuda.h")


@functools.cache
def compiled():
    """Load them, compiled if they are not yet; skip the test where there is no C++ compiler."""
    if compiler() is None:
        pytest.skip("no C++ compiler")
    loaded = ctypes.CDLL(str(built(SHIM.read_text() + source(), FLAGS, "augment.so")))
    loaded.host_launch.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_uint] * 4
    return loaded


def launch(name, grid, block, args):
    """Run one launch to its end."""
    kernel = ctypes.cast(getattr(compiled(), name), ctypes.c_void_p)
    x, y, z = (*grid, 1)[:3]
    compiled().host_launch(kernel, int(args[0]), x, y, z, block[0])
