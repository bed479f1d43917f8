"""The C library's clock, read inside of compiled code.

Kernels that use it name this module as a source.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

import ctypes
import time

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["clock_address", "now_ns"]

_WORD = ir.IntType(64)
_TIMESPEC = ir.LiteralStructType([_WORD, _WORD])  # seconds and nanoseconds, of a 64-bit system
_KIND = ir.FunctionType(ir.IntType(32), [ir.IntType(32), _TIMESPEC.as_pointer()])
_MONOTONIC = getattr(time, "CLOCK_MONOTONIC", 1)


def clock_address():
    """Return where the C library's ``clock_gettime`` lies; 0 where there is none for `now_ns`."""
    if ctypes.sizeof(ctypes.c_long) != 8:
        return 0
    try:
        return ctypes.cast(ctypes.CDLL(None).clock_gettime, ctypes.c_void_p).value or 0
    except (AttributeError, OSError, TypeError):
        return 0


@intrinsic
def now_ns(typing, address):
    """Return nanoseconds of a clock that only goes forward: ``now_ns(clock_address())``."""

    def generate(context, builder, signature, args):
        place = cgutils.alloca_once(builder, _TIMESPEC)
        function = builder.inttoptr(args[0], _KIND.as_pointer())
        builder.call(function, [ir.Constant(ir.IntType(32), _MONOTONIC), place])
        seconds, rest = (builder.load(cgutils.gep_inbounds(builder, place, 0, k)) for k in (0, 1))
        return builder.add(builder.mul(seconds, ir.Constant(_WORD, 10**9)), rest)

    return types.int64(types.int64), generate
