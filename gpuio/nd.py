"""As little of mx.nd as data scripts need: arrays that know `.asnumpy()`, and their contexts.

An `NDArray` *is* a `numpy.ndarray` (host) or a `cupy.ndarray` (device); the subclass only adds
MXNet's methods. Nothing here copies unless it says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "Context",
    "NDArray",
    "array",
    "asnumpy",
    "cpu",
    "cpu_pinned",
    "gpu",
    "host_array",
    "ones",
    "zeros",
]


class Context:
    """Where an array lives: a device type and a device number.

    Parameters
    ----------
    device_type : {"cpu", "cpu_pinned", "gpu"}
    device_id : int                 number of the device, >= 0

    Notes
    -----
    Compares and prints as MXNet's does: ``mx.cpu() == mx.cpu(0)``, ``repr`` is ``cpu(0)``.
    """

    __slots__ = ("device_id", "device_type")

    def __init__(self, device_type: str | Context, device_id: int = 0) -> None:
        kind, number = (
            (device_type.device_type, device_type.device_id)
            if isinstance(device_type, Context)
            else (device_type, device_id)
        )
        if kind not in ("cpu", "cpu_pinned", "gpu"):
            raise ValueError(f"device type {kind!r}: expected 'cpu', 'cpu_pinned' or 'gpu'")
        self.device_type: str = kind
        self.device_id: int = int(number)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Context)
            and self.device_type == other.device_type
            and self.device_id == other.device_id
        )

    def __hash__(self) -> int:
        return hash((self.device_type, self.device_id))

    def __repr__(self) -> str:
        return f"{self.device_type}({self.device_id})"

    __str__ = __repr__


def cpu(device_id: int = 0) -> Context:
    """Return the host's context."""
    return Context("cpu", device_id)


def cpu_pinned(device_id: int = 0) -> Context:
    """Return the context of page-locked host memory; here it is ordinary host memory."""
    return Context("cpu_pinned", device_id)


def gpu(device_id: int = 0) -> Context:
    """Return a GPU's context; making one does not need a GPU, using it does."""
    return Context("gpu", device_id)


class NDArray(np.ndarray[Any, np.dtype[Any]]):
    """A host array with MXNet's extra methods; everything else is NumPy's."""

    def asnumpy(self) -> npt.NDArray[Any]:
        """Return a copy as a plain `numpy.ndarray` (MXNet copies here, too)."""
        return np.array(self, copy=True, subok=False)

    def asscalar(self) -> Any:
        """Return the one element as a Python scalar; ValueError if there is not exactly one."""
        if self.size != 1:
            raise ValueError(f"The current array is not a scalar: its shape is {self.shape}")
        return self.item()

    def wait_to_read(self) -> None:
        """Return at once: a host array is always complete."""

    @property
    def context(self) -> Context:
        """The array's context, ``cpu(0)``."""
        return cpu()

    ctx = context

    @property
    def stype(self) -> str:
        """MXNet's storage type, always ``"default"`` (dense)."""
        return "default"

    def as_in_context(self, context: Context) -> Any:
        """Return this array in `context`: itself on the host, a copy on a GPU."""
        if context.device_type == "gpu":
            from gpuio.backend import array_backend

            return array_backend(context.device_id).put(self)
        return self

    as_in_ctx = as_in_context

    def copyto(self, other: Any) -> Any:
        """Copy into another array, or into a new one in a `Context`."""
        if isinstance(other, Context):
            return self.copy().as_in_context(other)
        other[...] = self
        return other


def host_array(values: npt.ArrayLike) -> NDArray:
    """View host memory as an `NDArray` without copying it."""
    return np.asarray(values).view(NDArray)


def array(source: Any, ctx: Context | None = None, dtype: npt.DTypeLike | None = None) -> Any:
    """Make an array from anything array-like, copying it.

    Parameters
    ----------
    source : array-like
    ctx : Context, optional         default ``cpu()``
    dtype : optional                default: the source's own if it is an array, else float32
    """
    if dtype is None:
        dtype = source.dtype if hasattr(source, "dtype") else np.float32
    made = np.array(source, dtype=dtype, copy=True, subok=False).view(NDArray)
    return made if ctx is None else made.as_in_context(ctx)


def asnumpy(array: Any) -> npt.NDArray[Any]:
    """Return any batch's array as a plain `numpy.ndarray`, copied from a device if it lies there.

    Parameters
    ----------
    array : array-like      an `NDArray`, a NumPy or CuPy array, a list

    Returns
    -------
    numpy.ndarray           host; shares the memory of a host array
    """
    if isinstance(array, np.ndarray):
        return np.asarray(array)
    for method in ("asnumpy", "get"):
        fetch = getattr(array, method, None)
        if callable(fetch) and hasattr(array, "dtype"):
            return np.asarray(fetch())
    return np.asarray(array)


def zeros(
    shape: int | tuple[int, ...],
    ctx: Context | None = None,
    dtype: npt.DTypeLike | None = None,
) -> Any:
    """Return an array of zeros, float32 unless `dtype` says otherwise."""
    made = np.zeros(shape, dtype=dtype or np.float32).view(NDArray)
    return made if ctx is None else made.as_in_context(ctx)


def ones(
    shape: int | tuple[int, ...],
    ctx: Context | None = None,
    dtype: npt.DTypeLike | None = None,
) -> Any:
    """Return an array of ones, float32 unless `dtype` says otherwise."""
    made = np.ones(shape, dtype=dtype or np.float32).view(NDArray)
    return made if ctx is None else made.as_in_context(ctx)
