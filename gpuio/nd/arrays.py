"""Arrays that know `.asnumpy()`, and MXNet's functions that make them.

An `NDArray` *is* a `numpy.ndarray` (host) or a `cupy.ndarray` (device); the subclass has MXNet's
methods (`gpuio.nd.methods`), and prints as MXNet's does. Views and copies are MXNet's: an index
gives a view where what it names lies in a row, and a copy elsewhere (``x[:, 0]``). NumPy's own
functions mean on it what they mean on any array.

One element of an `NDArray`, ``x[0]``, is a NumPy scalar that knows `.asnumpy()` and `.asscalar()`,
too, and ``x[0][:] = value`` writes into `x`. (MXNet's is an array of shape (1,), and so is what
`.asnumpy()` returns.)
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.nd.context import Context, cpu, current_context, put
from gpuio.nd.methods import ArrayMethods

__all__ = [
    "NDArray",
    "arange",
    "array",
    "asnumpy",
    "described",
    "empty",
    "full",
    "host_array",
    "ones",
    "waitall",
    "wrapped",
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


def _part(element: Any, key: Any) -> Any:
    """Return the element itself: MXNet's is an array of one, and ``x[0][0]`` is ``x[0]``."""
    if isinstance(key, tuple) and len(key) == 1:
        key = key[0]
    if not isinstance(key, (int, slice, tuple, type(...))) or key not in (
        0,
        -1,
        slice(None),
        ...,
        (),
    ):
        raise IndexError(f"one element has no part {key!r}")
    return element


@functools.cache
def _element_type(kind: Any) -> Any:
    """Return a NumPy scalar type that knows MXNet's methods; the type itself if it is final."""
    methods = {
        "__module__": __name__,
        "__doc__": "One element of an array, with MXNet's methods; everything else is NumPy's.",
        "home": None,  # (array, place) of an element
        "__setitem__": _assign,
        "__getitem__": _part,
        "asnumpy": lambda self: np.array([self.item()], self.dtype),
        "asscalar": lambda self: self.item(),
        "wait_to_read": lambda _: None,
        "astype": lambda self, dtype, copy=True: _element(np.dtype(dtype).type(self)),  # noqa: ARG005
        "as_in_context": put,
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


def wrapped(values: Any) -> Any:
    """Return what NumPy has made, an array, a number or a list of them, with MXNet's methods."""
    if type(values) is np.ndarray:
        return values.view(NDArray) if values.ndim else _element(values[()])
    if type(values) in (list, tuple):
        return type(values)(map(wrapped, values))
    return _element(values)


def _unwrapped(values: Any) -> Any:
    """Return arguments with plain arrays for ours."""
    if isinstance(values, NDArray):
        return values.unwrapped()
    if type(values) in (list, tuple):
        return type(values)(map(_unwrapped, values))
    if type(values) is dict:
        return {name: _unwrapped(value) for name, value in values.items()}
    return values


def _places(key: Any) -> Any:
    """Return an index as NumPy takes it: MXNet's arrays of indices are often float32."""
    if isinstance(key, tuple):
        return tuple(map(_places, key))
    if isinstance(key, NDArray) and key.dtype.kind == "f":
        return key.unwrapped().astype(np.int64)
    return key


class NDArray(ArrayMethods, np.ndarray[Any, np.dtype[Any]]):  # type: ignore[misc]
    """A host array with MXNet's methods; everything else is NumPy's."""

    def __getitem__(self, key: Any) -> Any:
        """Return a view where the elements lie in a row, a copy elsewhere; one element as such."""
        found = super().__getitem__(_places(key))
        if type(found) is not NDArray:
            return _element(found, (self, key))
        if found.base is None or found.flags.c_contiguous or not self.flags.c_contiguous:
            return found
        return found.copy()

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_places(key), value)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        """Let NumPy's functions work on plain arrays, with NumPy's methods and views."""
        made = super().__array_function__(function, types, _unwrapped(args), _unwrapped(options))
        return made if made is NotImplemented else wrapped(made)

    def __array_wrap__(
        self, array: Any, context: Any = None, return_scalar: bool = False, /
    ) -> Any:
        """Return a single number as one that knows MXNet's methods."""
        if return_scalar:
            return _element(array[()])
        return super().__array_wrap__(array, context, return_scalar)

    def unwrapped(self) -> npt.NDArray[Any]:
        """Return a plain `numpy.ndarray` over the same memory."""
        return self.view(np.ndarray)

    @staticmethod
    def wrapped(values: Any) -> Any:
        """Return what NumPy has made with MXNet's methods."""
        return wrapped(values)

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
    ctx : Context, optional         default `current_context`, ``cpu()`` outside of a ``with``
    dtype : optional                default: an `NDArray`'s own; float32 for everything else, a
                                    `numpy.ndarray` of whatever dtype included, as in MXNet
    """
    if hasattr(source, "dtype") and not isinstance(source, (np.ndarray, np.generic)):
        source = host_array(asnumpy(source))  # it lies on another device
    if dtype is None:
        dtype = source.dtype if isinstance(source, NDArray) else np.float32
    made = np.array(source, dtype=dtype, copy=True, subok=False).view(NDArray)
    return made.as_in_context(current_context() if ctx is None else ctx)


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
    return made.as_in_context(current_context() if ctx is None else ctx)


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


def waitall() -> None:
    """Return at once: arrays of the host are always complete, others wait where they are read."""
