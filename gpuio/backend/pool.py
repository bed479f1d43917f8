"""Host memory for batches: handed out, held as long as anybody holds it, then used again.

Invariant: a buffer returns to the pool only when the last array over it (views, DLPack exports and
framework tensors included) is gone, so nothing a user holds is ever overwritten. Fresh memory costs
a page fault every 4 KiB, some milliseconds per batch; used again it costs nothing.
"""

from __future__ import annotations

import importlib
import math
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError
from gpuio.forking import lock
from gpuio.nd import NDArray

__all__ = ["HostPool", "element_type"]

_ALIGNMENT = 64  # bytes: a cache line, and the widest vector register


def element_type(name: str) -> np.dtype[Any]:
    """Return the dtype that a name means; NumPy has no bfloat16, ml_dtypes has.

    Raises
    ------
    OptionError         "bfloat16" without the package ml_dtypes
    """
    if name != "bfloat16":
        return np.dtype(name)
    try:
        brain: np.dtype[Any] = np.dtype(importlib.import_module("ml_dtypes").bfloat16)
    except ImportError as error:
        raise OptionError(
            "dtype: 'bfloat16' needs a NumPy dtype of that name: pip install ml_dtypes"
        ) from error
    return brain


class _Lease:
    """Stands at the bottom of a batch array's chain of bases; its death frees the buffer."""

    __slots__ = ("__array_interface__", "__weakref__")

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__array_interface__ = interface


class _Free:
    """The buffers nobody holds, by size; apart from the pool so that finalizers may outlive it."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.lock = lock()  # a collection inside `take` may run a finalizer
        self.buffers: dict[int, list[npt.NDArray[np.uint8]]] = {}

    def take(self, size: int) -> npt.NDArray[np.uint8] | None:
        with self.lock:
            kept = self.buffers.get(size)
            return kept.pop() if kept else None

    def give_back(self, buffer: npt.NDArray[np.uint8]) -> None:
        with self.lock:
            kept = self.buffers.setdefault(buffer.size, [])
            if len(kept) < self.keep:
                kept.append(buffer)

    def drop(self) -> None:
        with self.lock:
            self.keep = 0
            self.buffers.clear()


class HostPool:
    """A pool of host buffers.

    Parameters
    ----------
    keep : int      free buffers kept for each size, >= 0
    """

    def __init__(self, keep: int) -> None:
        self._free = _Free(keep)

    def array(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> NDArray:
        """Return an array of undefined contents, aligned to 64 bytes, C order, host."""
        wanted = element_type(dtype) if isinstance(dtype, str) else np.dtype(dtype)
        # an array interface cannot name the types of other packages
        dtype = wanted if wanted.kind in "biufc" else np.dtype(f"u{wanted.itemsize}")
        size = math.prod(shape) * dtype.itemsize
        buffer = self._free.take(size + _ALIGNMENT)
        if buffer is None:
            buffer = np.empty(size + _ALIGNMENT, np.uint8)
        address = -(-buffer.ctypes.data // _ALIGNMENT) * _ALIGNMENT
        lease = _Lease(
            {"shape": shape, "typestr": dtype.str, "data": (address, False), "version": 3}
        )
        finalizer = weakref.finalize(lease, self._free.give_back, buffer)
        finalizer.atexit = False
        made: NDArray = np.asarray(lease).view(NDArray)
        return made if wanted == dtype else made.view(wanted).view(NDArray)

    def close(self) -> None:
        """Let every free buffer go; buffers still held are let go with their arrays."""
        self._free.drop()
