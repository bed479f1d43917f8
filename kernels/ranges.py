"""Ranges of a file into memory in one compiled call, without the GIL and without an object each.

`pread` is the C library's: where it has none, this module cannot be imported.
"""

from __future__ import annotations

import ctypes
import resource
import sys

import llvmlite.binding
import numpy as np
from numba import types

from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.pointers import scratch

__all__ = ["lay_out", "read_ranges", "scatter"]

try:
    _found = ctypes.cast(ctypes.CDLL(None).pread, ctypes.c_void_p).value
    _copy = ctypes.cast(ctypes.CDLL(None).memcpy, ctypes.c_void_p).value
    _usage = ctypes.cast(ctypes.CDLL(None).getrusage, ctypes.c_void_p).value
except (AttributeError, TypeError) as error:
    raise ImportError("the C library has no pread") from error
# under a name of our own, before code that calls it is loaded
llvmlite.binding.add_symbol("gpuio_pread", _found)
llvmlite.binding.add_symbol("gpuio_memcpy", _copy)
llvmlite.binding.add_symbol("gpuio_getrusage", _usage)

_pread = types.ExternalFunction(
    "gpuio_pread", types.intp(types.int32, types.uintp, types.uintp, types.int64)
)
_memcpy = types.ExternalFunction("gpuio_memcpy", types.uintp(types.uintp, types.uintp, types.uintp))
_getrusage = types.ExternalFunction("gpuio_getrusage", types.int32(types.int32, types.uintp))
_numbers = types.int64[::1]
# whose usage tells of a thread alone; -1: this system has none, or of another layout
_THREAD = -1
if sys.platform == "linux" and ctypes.sizeof(ctypes.c_long) == 8:
    _THREAD = resource.RUSAGE_THREAD
_WAITS, _WORDS = 16, 64  # of Linux' `struct rusage`: ru_nvcsw; musl's is the longest
_room = scratch(types.int64, _WORDS)


@inner
def _waits():
    """Return how often this thread has waited so far; -1 where that cannot be told."""
    if _THREAD < 0:
        return np.int64(-1)
    words = _room()
    if _getrusage(np.int32(_THREAD), np.uintp(words.ctypes.data)) != 0:
        return np.int64(-1)
    return words[_WAITS]


@kernel(
    types.UniTuple(types.int64, 2)(
        _numbers, _numbers, _numbers, types.int64, _numbers, _numbers, _numbers
    )
)
def lay_out(begin, length, order, gap, low, high, place):
    """Join ranges that are near and say where each of them lies in memory of all that is read.

    Parameters
    ----------
    begin, length : int64[n]    bytes of the file
    order : int64[n]            of the ranges, ascending by `begin`
    gap : int                   bytes: ranges closer together than this, or that overlap, are read
                                at once
    low, high : int64[n]        receive the bytes of the file that each read takes
    place : int64[n]            receives the byte of the memory at which each range begins

    Returns
    -------
    int, int                    how many reads there are, and the bytes of the memory
    """
    reads, before = 0, np.int64(0)
    for k in range(order.size):
        i = order[k]
        end = begin[i] + length[i]
        if reads == 0 or begin[i] - high[reads - 1] > gap:
            if reads > 0:
                before += high[reads - 1] - low[reads - 1]
            low[reads], high[reads] = begin[i], end
            reads += 1
        high[reads - 1] = max(high[reads - 1], end)
        place[i] = before + begin[i] - low[reads - 1]
    if reads > 0:
        before += high[reads - 1] - low[reads - 1]
    return reads, before


@kernel(
    types.UniTuple(types.int64, 2)(types.int32, _numbers, _numbers, types.int64, types.uint8[::1]),
    "pointers",
)
def read_ranges(descriptor, low, high, first, memory):
    """Read ranges of a file one behind the other into memory.

    Parameters
    ----------
    descriptor : int            of the open file
    low, high : int64[n]        bytes of the file that each read takes
    first : int                 the read to begin with; those before it are in the memory
    memory : uint8[sum(high - low)]

    Returns
    -------
    int                         the first read that failed or ended early; n if none did
    int                         how often the thread waited meanwhile, as for a disk; -1 where the
                                system does not tell
    """
    at, before = np.int64(0), _waits()
    done = np.int64(low.size)
    for i in range(low.size):
        size = high[i] - low[i]
        if i >= first:
            got = np.int64(0)
            while got < size:
                more = _pread(
                    descriptor, memory.ctypes.data + np.uintp(at + got),
                    np.uintp(size - got), low[i] + got,
                )  # fmt: skip
                if more <= 0:
                    break
                got += more
            if got < size:
                done = np.int64(i)
                break
        at += size
    return done, _waits() - before if before >= 0 else np.int64(-1)


@kernel(types.void(_numbers, _numbers, _numbers))
def scatter(source, length, target):
    """Copy pieces of memory, each to a place of its own.

    Parameters
    ----------
    source, target : int64[n]   addresses
    length : int64[n]           bytes
    """
    for i in range(source.size):
        _memcpy(np.uintp(target[i]), np.uintp(source[i]), np.uintp(length[i]))
