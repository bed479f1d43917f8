"""Arrays that know `.asnumpy()`, and MXNet's functions that make and join them.

An `NDArray` *is* a `numpy.ndarray` (host) or a `cupy.ndarray` (device); the subclass only adds
MXNet's methods, and prints as MXNet's does. Nothing here copies unless it says so.

One element of an `NDArray`, ``x[0]``, is a NumPy scalar that knows `.asnumpy()` and `.asscalar()`,
too, and ``x[0][:] = value`` writes into `x`. (MXNet's is an array of shape (1,), and so is what
`.asnumpy()` returns.)
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.nd.context import Context, cpu, put

__all__ = [
    "NDArray",
    "arange",
    "array",
    "asnumpy",
    "concat",
    "described",
    "empty",
    "expand_dims",
    "flip",
    "full",
    "host_array",
    "ones",
    "stack",
    "transpose",
    "waitall",
    "zeros",
]


def _assign(element: Any, key: Any, value: Any) -> None:
    """Write into the array that an element is of: MXNet's ``x[0][:] = value``."""
    if element.home is None:
        raise TypeError("cannot assign to a scalar that is not an element of an NDArray")
    if key not in (slice(None), ..., 0, -1):
        raise IndexError(f"one element has no part {key!r}: write [:]")
    array, place = element.home
    array[place] = value


@functools.cache
def _element_type(kind: Any) -> Any:
    """Return a NumPy scalar type that knows MXNet's methods; the type itself if it is final."""
    methods = {
        "__module__": __name__,
        "__doc__": "One element of an array, with MXNet's methods; everything else is NumPy's.",
        "home": None,  # (array, place) of an element
        "__setitem__": _assign,
        "asnumpy": lambda self: np.array([self.item()], self.dtype),
        "asscalar": lambda self: self.item(),
        "wait_to_read": lambda _: None,
        "context": property(lambda _: cpu()),
        "ctx": property(lambda _: cpu()),
    }
    try:
        return type(kind.__name__, (kind,), methods)  # NumPy asks that `kind` be the first base
    except TypeError:  # bfloat16 of ml_dtypes
        return kind


def _element(value: Any, home: Any = None) -> Any:
    """Return a NumPy number as one that knows MXNet's methods; anything else as it is."""
    if not isinstance(value, np.number):
        return value
    kind: Any = type(value)
    made: Any = _element_type(kind)(value)
    if type(made) is not kind:
        made.home = home
    return made


def described(values: npt.NDArray[Any], context: Context) -> str:
    """Return what ``print`` shows of an array, in MXNet's form: values, shape, context."""
    shape = "x".join(map(str, values.shape))
    return f"\n{values}\n<NDArray {shape} @{context}>"


class NDArray(np.ndarray[Any, np.dtype[Any]]):
    """A host array with MXNet's extra methods; everything else is NumPy's."""

    def __getitem__(self, key: Any) -> Any:
        return _element(super().__getitem__(key), (self, key))

    def __array_wrap__(
        self, array: Any, context: Any = None, return_scalar: bool = False, /
    ) -> Any:
        """Return the sum, or another single number, as one that knows MXNet's methods."""
        if return_scalar:
            return _element(array[()])
        return super().__array_wrap__(array, context, return_scalar)

    def mean(self, *args: Any, **options: Any) -> Any:
        """Return NumPy's mean."""
        return _element(super().mean(*args, **options))

    def transpose(self, *order: Any, axes: Any = None) -> Any:
        """Return a view with its axes in another order; takes ``axes=`` by name, as MXNet does."""
        return super().transpose(*order if axes is None else axes)

    def expand_dims(self, axis: int) -> Any:
        """Return a view with a new axis of length 1."""
        return np.expand_dims(self, axis)

    def __repr__(self) -> str:
        return described(np.asarray(self), self.context)

    __str__ = __repr__

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
        return put(self, context)

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
    dtype : optional                default: an `NDArray`'s own; float32 for everything else, a
                                    `numpy.ndarray` of whatever dtype included, as in MXNet
    """
    if hasattr(source, "dtype") and not isinstance(source, (np.ndarray, np.generic)):
        source = host_array(asnumpy(source))  # it lies on another device
    if dtype is None:
        dtype = source.dtype if isinstance(source, NDArray) else np.float32
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


def _made(values: Any, ctx: Context | None = None) -> Any:
    """Return new host memory as an array in a context; a device's array as it is."""
    made: Any = values.view(NDArray) if isinstance(values, np.ndarray) else values
    return made if ctx is None else made.as_in_context(ctx)


_Shape = int | tuple[int, ...]


def zeros(shape: _Shape, ctx: Context | None = None, dtype: npt.DTypeLike | None = None) -> Any:
    """Return an array of zeros, float32 unless `dtype` says otherwise."""
    return _made(np.zeros(shape, dtype or np.float32), ctx)


def ones(shape: _Shape, ctx: Context | None = None, dtype: npt.DTypeLike | None = None) -> Any:
    """Return an array of ones, float32 unless `dtype` says otherwise."""
    return _made(np.ones(shape, dtype or np.float32), ctx)


def empty(shape: _Shape, ctx: Context | None = None, dtype: npt.DTypeLike | None = None) -> Any:
    """Return an array of unset values, float32 unless `dtype` says otherwise."""
    return _made(np.empty(shape, dtype or np.float32), ctx)


def full(
    shape: _Shape, val: Any, ctx: Context | None = None, dtype: npt.DTypeLike | None = None
) -> Any:
    """Return an array of one value, float32 unless `dtype` says otherwise."""
    return _made(np.full(shape, val, dtype or np.float32), ctx)


def arange(
    start: float,
    stop: float | None = None,
    step: float = 1.0,
    repeat: int = 1,
    ctx: Context | None = None,
    dtype: npt.DTypeLike | None = None,
) -> Any:
    """Return evenly spaced values of the half-open range, each `repeat` times; float32."""
    start, stop = (0, start) if stop is None else (start, stop)
    values = np.arange(start, stop, step).repeat(repeat)
    return _made(values.astype(dtype or np.float32), ctx)


def _joined(join: Any, data: Sequence[Any], axis: int) -> Any:
    """Join arrays where the first one lives."""
    on_device = getattr(data[0], "joined", None)
    return on_device(join, data, axis) if on_device else _made(join(data, axis))


def concat(*data: Any, dim: int = 1) -> Any:
    """Join arrays along an axis; the second one by default, as in MXNet."""
    return _joined(np.concatenate, data, dim)


def stack(*data: Any, axis: int = 0) -> Any:
    """Join arrays along a new axis."""
    return _joined(np.stack, data, axis)


def transpose(data: Any, axes: Sequence[int] = ()) -> Any:
    """Return a view with the axes in another order, backwards if none is given."""
    return data.transpose(*axes)


def expand_dims(data: Any, axis: int) -> Any:
    """Return a view with a new axis of length 1."""
    return np.expand_dims(data, axis)


def flip(data: Any, axis: int) -> Any:
    """Return a view with one axis, or several, reversed."""
    return np.flip(data, axis)


def waitall() -> None:
    """Return at once: arrays of the host are always complete, others wait where they are read."""
