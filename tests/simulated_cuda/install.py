"""Put the simulated CUDA under CuPy, in this process.

CuPy's wheels carry CUDA's runtime inside `cupy_backends.cuda.api.runtime` and load the driver by
its name, ``libcuda.so.1``. So the simulator is loaded under that name, and each function of the
runtime is made to jump to the simulator's function, or to one that refuses.
"""

import ctypes
import functools
import mmap
import os
import subprocess
import sys
from pathlib import Path

import attrs

from support import host_kernels
from support.built import built, compiler

__all__ = ["Counts", "complain", "complaint", "counts", "install", "set_up", "simulator"]

_HERE = Path(__file__).parent
_FLAGS = (
    "-std=c++17",
    "-O1",
    "-g",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-pthread",
    "-Wl,-soname,libcuda.so.1",
)
_RUNTIME = "cupy_backends.cuda.api.runtime"
_JUMP = b"\xff\x25\0\0\0\0"  # jmp to the address in the eight bytes behind it, x86-64


@attrs.frozen
class Counts:
    """What a simulated device holds: bytes now and at most, and handles that live."""

    used: int
    peak: int
    blocks: int
    pinned: int
    streams: int
    events: int


@functools.cache
def simulator():
    """Compile and load the simulator and the kernels it runs."""
    if compiler() is None or sys.platform != "linux" or os.uname().machine != "x86_64":
        raise RuntimeError("the simulated CUDA needs Linux on x86-64 and a C++ compiler")
    parts = [_HERE / name for name in ("streams.h", "memory.h")]
    source = (_HERE / "simulator.cpp").read_text()
    library = ctypes.CDLL(str(built(source, _FLAGS, "libcuda.so.1", parts)))
    library.sim_complaint.restype = ctypes.c_char_p
    if library.sim_open(str(host_kernels.compiled()._name).encode()):
        raise RuntimeError("the kernels, compiled for the host, do not load")
    return library


def set_up(delay_us=0, seed=1, room=4 << 30):
    """Set the longest delay of queued work, the seed of the delays, and the device's memory."""
    simulator().sim_set(delay_us, seed, ctypes.c_uint64(room))


def counts(device=0):
    """Return what a device holds; at most, and page-locked, is what all of them do."""
    numbers = (ctypes.c_uint64 * 6)()
    simulator().sim_counts(numbers, device)
    return Counts(*numbers)


def complaint():
    """Return the first call that CUDA would have refused, "" if there was none."""
    return simulator().sim_complaint().decode()


def complain(why):
    """Note what would go wrong on a real device; the test at work fails."""
    simulator().sim_complain(why.encode())


@functools.cache
def install():
    """Make CuPy, from here on, see two simulated GPUs of compute capability 9.0."""
    library = simulator()
    # the runtime's functions are called by no import of CuPy's before this
    __import__(_RUNTIME)
    path = sys.modules[_RUNTIME].__file__
    base = _base(path)
    refuse = ctypes.cast(library.sim_unsupported, ctypes.c_void_p).value
    for name, offset in _functions(path):
        target = getattr(library, f"sim_{name}", None)
        address = refuse if target is None else ctypes.cast(target, ctypes.c_void_p).value
        _patch(base + offset, _JUMP + address.to_bytes(8, "little"))
    from simulated_cuda.engines import put_in_place

    put_in_place()
    set_up(int(os.environ.get("GPUIO_SIMULATED_DELAY_US", "200")))


def _base(path):
    """Return the address at which a shared library is loaded."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            fields = line.split()
            if len(fields) == 6 and fields[5] == path and int(fields[2], 16) == 0:
                return int(fields[0].split("-")[0], 16)
    raise RuntimeError(f"{path} is not loaded")


def _functions(path):
    """Return the names and offsets of the CUDA runtime's functions in CuPy's library."""
    table = subprocess.run(["nm", path], check=True, capture_output=True, text=True).stdout
    found = [line.split() for line in table.splitlines()]
    return [
        (fields[2], int(fields[0], 16))
        for fields in found
        if len(fields) == 3
        and fields[1] == "t"
        and fields[2][:4] == "cuda"
        and fields[2][4].isupper()
    ]


def _patch(address, code):
    """Write machine code over a loaded function."""
    start = address // mmap.PAGESIZE * mmap.PAGESIZE
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if libc.mprotect(start, address + len(code) - start, 7):
        raise OSError(ctypes.get_errno(), "mprotect")
    ctypes.memmove(address, code, len(code))
