"""MXNet's methods of an array, the same for host arrays and for those of a GPU.

A method is the function of `gpuio.nd.functions` of its name. NumPy and CuPy have methods of some of
these names and call them themselves: with one of their arguments (`out`, `dtype`, `order`, `kind`)
a method is theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from gpuio.nd import functions
from gpuio.nd.shapes import flat_shape, new_shape

__all__ = ["ArrayMethods"]

_Axis = int | Sequence[int] | None


def _reduction(name: str) -> Any:
    """Return the method of a reduction; `theirs` has NumPy's order: axis, dtype, out, keepdims."""
    function = getattr(functions, name)

    def reduce(
        self: Any,
        axis: _Axis = None,
        keepdims: Any = False,
        exclude: Any = False,
        *theirs: Any,
        **options: Any,
    ) -> Any:
        if theirs:
            options = {"dtype": keepdims, "out": exclude, **options}
            return self.of_library(name, axis=axis, keepdims=theirs[0], **options)
        if options:
            return self.of_library(name, axis=axis, keepdims=keepdims, **options)
        return function(self, axis, keepdims, exclude)

    reduce.__name__, reduce.__doc__ = name, function.__doc__
    return reduce


def _placing(name: str) -> Any:
    """Return the method that finds an index."""
    function = getattr(functions, name)

    def find(self: Any, axis: int | None = None, keepdims: bool = False, **options: Any) -> Any:
        if options:
            return self.of_library(name, axis=axis, keepdims=keepdims, **options)
        return function(self, axis, keepdims)

    find.__name__, find.__doc__ = name, function.__doc__
    return find


def _plain(name: str) -> Any:
    """Return the method of a function that no array library has a method for."""
    function = getattr(functions, name)

    def method(self: Any, *args: Any, **options: Any) -> Any:
        return function(self, *args, **options)

    method.__name__, method.__doc__ = name, function.__doc__
    return method


class ArrayMethods:
    """The methods; a class of arrays stands behind it in the bases.

    It needs ``unwrapped()`` and ``wrapped()`` of `gpuio.nd.wrapped`.
    """

    sum = _reduction("sum")
    mean = _reduction("mean")
    max = _reduction("max")
    min = _reduction("min")
    argmax = _placing("argmax")
    argmin = _placing("argmin")
    norm = _plain("norm")
    log = _plain("log")
    exp = _plain("exp")
    sqrt = _plain("sqrt")
    abs = _plain("abs")
    square = _plain("square")
    one_hot = _plain("one_hot")
    tile = _plain("tile")
    split = _plain("split")
    slice_axis = _plain("slice_axis")
    zeros_like = _plain("zeros_like")
    ones_like = _plain("ones_like")
    flip = _plain("flip")
    broadcast_to = _plain("broadcast_to")
    swapaxes = _plain("swapaxes")
    squeeze = _plain("squeeze")

    def of_library(self, name: str, *args: Any, **options: Any) -> Any:
        """Call the array library's own method of a name."""
        plain = self.unwrapped()  # type: ignore[attr-defined]
        return self.wrapped(getattr(plain, name)(*args, **options))  # type: ignore[attr-defined]

    def clip(self, a_min: Any = None, a_max: Any = None, **options: Any) -> Any:
        """Return values below `a_min` as `a_min`, those above `a_max` as `a_max`."""
        if options or a_min is None or a_max is None:
            return self.of_library("clip", a_min, a_max, **options)
        return functions.clip(self, a_min, a_max)

    def repeat(self, repeats: Any, axis: int | None = None) -> Any:
        """Return every element repeated, along an axis or of the flat array."""
        return functions.repeat(self, repeats, axis)

    def take(self, indices: Any, axis: int | None = 0, mode: str = "clip", **options: Any) -> Any:
        """Return the parts of an axis that indices name; see `gpuio.nd.take`."""
        if options or axis is None:
            return self.of_library("take", indices, axis, mode=mode, **options)
        return functions.take(self, indices, axis, mode)

    def sort(self, axis: int | None = -1, is_ascend: bool = True, **options: Any) -> Any:
        """Return the values sorted along an axis, as a new array.

        With NumPy's `kind` or `order` this array itself is sorted, and nothing is returned.
        """
        if options:
            return self.of_library("sort", axis, **options)
        return functions.sort(self, axis, is_ascend)

    def argsort(
        self,
        axis: int | None = -1,
        is_ascend: bool = True,
        dtype: npt.DTypeLike = "float32",
        **options: Any,
    ) -> Any:
        """Return the indices that sort the values along an axis, as float32."""
        if options:
            return self.of_library("argsort", axis, **options)
        return functions.argsort(self, axis, is_ascend, dtype)

    def reshape(
        self, *shape: Any, reverse: bool = False, order: str | None = None, **options: Any
    ) -> Any:
        """Return a view in another shape (a copy, where the values do not lie in a row).

        Parameters
        ----------
        shape : int, ... or one sequence, or ``shape=``
            lengths and MXNet's codes 0, -1, -2, -3, -4: see `gpuio.nd.shapes.new_shape`
        reverse : bool          read shape and codes from the right
        order : optional        NumPy's

        Raises
        ------
        OptionError             the codes do not fit
        ValueError              another number of elements
        """
        if "shape" in options and not shape:
            shape = (options.pop("shape"),)
        if options or not shape:
            raise TypeError(f"reshape: expected a shape, and reverse=; got {sorted(options)}")
        codes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        codes = (codes,) if hasattr(codes, "__index__") else tuple(int(one) for one in codes)
        wanted = new_shape(self.shape, codes, reverse=reverse)  # type: ignore[attr-defined]
        return super().reshape(wanted, order=order or "C")  # type: ignore[misc]

    def flatten(self, order: str | None = None, *, inplace: bool = False) -> Any:
        """Return a copy of two axes, the first one and all others in one; a view with `inplace`.

        With NumPy's `order` a copy of one axis.
        """
        if order is not None:
            return self.of_library("flatten", order)
        if inplace:
            return self.reshape(flat_shape(self.shape))  # type: ignore[attr-defined]
        return functions.flatten(self)

    def transpose(self, *order: Any, axes: Any = None) -> Any:
        """Return a copy with its axes in another order; takes ``axes=`` by name, too."""
        given = order if axes is None else axes
        if len(given) == 1 and not isinstance(given[0], int):
            given = given[0] or ()
        return functions.transpose(self, given)

    @property
    def T(self) -> Any:  # noqa: N802 -- MXNet's and NumPy's name
        """A copy with its axes in the opposite order."""
        return functions.transpose(self)

    def expand_dims(self, axis: int, inplace: bool = False) -> Any:
        """Return a copy with a new axis of length 1; a view with `inplace`."""
        if inplace:
            axis += (self.ndim + 1) * (axis < 0)  # type: ignore[attr-defined]
            shape: Any = self.shape  # type: ignore[attr-defined]
            return self.reshape((*shape[:axis], 1, *shape[axis:]))
        return functions.expand_dims(self, axis)
