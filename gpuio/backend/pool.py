"""Host memory for batches: handed out, held as long as anybody holds it, then used again.

Invariant: a buffer returns to the pool only when the last array over it (views, DLPack exports and
framework tensors included) is gone, so nothing a user holds is ever overwritten. Fresh memory costs
a page fault every 4 KiB, some milliseconds per batch; used again it costs nothing.
"""

from __future__ import annotations

import importlib
import math
from typing import Any, NamedTuple

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


class _Buffer(NamedTuple):
    """Memory that is used again.

    Attributes
    ----------
    memory : uint8[n]
    address : int           the first of its bytes that is a multiple of `_ALIGNMENT`
    """

    memory: npt.NDArray[np.uint8]
    address: int

    @classmethod
    def of(cls, size: int) -> _Buffer:
        """Return new memory of `size` bytes."""
        memory = np.empty(size, np.uint8)
        return cls(memory, -(-memory.ctypes.data // _ALIGNMENT) * _ALIGNMENT)


class _Lease:
    """Stands at the bottom of a batch array's chain of bases; its death frees the buffer."""

    __slots__ = ("__array_interface__", "_buffer", "_free")

    def __init__(self, free: _Free, buffer: _Buffer, interface: dict[str, Any]) -> None:
        self._free, self._buffer, self.__array_interface__ = free, buffer, interface

    def __del__(self) -> None:
        self._free.give_back(self._buffer)


class _Free:
    """The buffers nobody holds, by size; apart from the pool, which leases may outlive."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.lock = lock()  # a collection inside `take` may end a lease
        self.buffers: dict[int, list[_Buffer]] = {}

    def take(self, size: int) -> _Buffer | None:
        with self.lock:
            kept = self.buffers.get(size)
            return kept.pop() if kept else None

    def give_back(self, buffer: _Buffer) -> None:
        with self.lock:
            kept = self.buffers.setdefault(buffer.memory.size, [])
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
        plain = wanted if wanted.kind in "biufc" else np.dtype(f"u{wanted.itemsize}")
        size = math.prod(shape) * plain.itemsize + _ALIGNMENT
        buffer = self._free.take(size) or _Buffer.of(size)
        interface = {
            "shape": shape,
            "typestr": plain.str,
            "data": (buffer.address, False),
            "version": 3,
        }
        made: NDArray = np.asarray(_Lease(self._free, buffer, interface)).view(NDArray)
        return made if wanted is plain else made.view(wanted).view(NDArray)

    def close(self) -> None:
        """Let every free buffer go; buffers still held are let go with their arrays."""
        self._free.drop()
