"""MXNet's functions on arrays, where the arrays lie: on the host by NumPy, on a GPU by CuPy.

Invariant: a result shares no memory with what it is made of, and has MXNet's methods, too. NumPy's
functions pass a device's arrays on to the device's library, so that there is one code for both.

Two rules differ from MXNet's: of integers a sum has 64 bits, and a mean, a logarithm, a root and a
norm are float64, where MXNet wraps around and cuts off; and an index (`argmax`) is float32 where
MXNet's would have the type of the values, and so be wrong beyond 255 or 2,048.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError
from gpuio.nd.shapes import flat_shape, new_shape
from gpuio.nd.wrapped import bare, compute

__all__ = [
    "abs",
    "argmax",
    "argmin",
    "argsort",
    "broadcast_to",
    "cast",
    "clip",
    "concat",
    "concatenate",
    "dot",
    "exp",
    "expand_dims",
    "flatten",
    "flip",
    "log",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "norm",
    "one_hot",
    "ones_like",
    "repeat",
    "reshape",
    "slice_axis",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "sum",
    "swapaxes",
    "take",
    "tile",
    "transpose",
    "where",
    "zeros_like",
]

_Axis = int | Sequence[int] | None
_EXACT = {"float32": 2**24}  # whole numbers up to here are exact


def _axes(data: Any, axis: _Axis, exclude: bool) -> tuple[int, ...] | None:
    """Return the axes to reduce; None means all of them."""
    if axis is None or axis in ((), []):
        return None
    given = (axis,) if isinstance(axis, int) else tuple(axis)
    if not all(-data.ndim <= one < data.ndim for one in given):
        raise OptionError(f"axis={axis}: the array has {data.ndim} axes")
    given = tuple(one % data.ndim for one in given)
    if not exclude:
        return given
    return tuple(one for one in range(data.ndim) if one not in given)


def _real(data: Any) -> Any:
    """Return numbers as float64 if they are whole ones, and as they are otherwise."""
    return data.astype(np.float64) if data.dtype.kind in "iub" else data


def _reduced(
    name: str, data: Any, axis: _Axis, keepdims: bool, exclude: bool, options: dict[str, Any]
) -> Any:
    """Reduce by NumPy's function of a name."""
    if not isinstance(keepdims, (bool, int, np.bool_)):
        raise TypeError(f"{name}: keepdims={keepdims!r}: expected True or False")
    function: Callable[..., Any] = getattr(np, name)
    return compute(
        lambda x: function(x, axis=_axes(x, axis, exclude), keepdims=bool(keepdims), **options),
        data,
    )


def sum(
    data: Any, axis: _Axis = None, keepdims: bool = False, exclude: bool = False, **options: Any
) -> Any:
    """Return the sum over some axes, or with `exclude` over the others; integers with 64 bits."""
    return _reduced("sum", data, axis, keepdims, exclude, options)


def mean(
    data: Any, axis: _Axis = None, keepdims: bool = False, exclude: bool = False, **options: Any
) -> Any:
    """Return the mean over some axes, or with `exclude` over the others; integers as float64."""
    return _reduced("mean", data, axis, keepdims, exclude, options)


def max(
    data: Any, axis: _Axis = None, keepdims: bool = False, exclude: bool = False, **options: Any
) -> Any:
    """Return the largest value over some axes, or with `exclude` over the others."""
    return _reduced("max", data, axis, keepdims, exclude, options)


def min(
    data: Any, axis: _Axis = None, keepdims: bool = False, exclude: bool = False, **options: Any
) -> Any:
    """Return the smallest value over some axes, or with `exclude` over the others."""
    return _reduced("min", data, axis, keepdims, exclude, options)


def _place(name: str, data: Any, axis: int | None, keepdims: bool) -> Any:
    """Return where NumPy's function of a name finds its value, as MXNet's float."""

    def find(x: Any) -> Any:
        kind = x.dtype if x.dtype in (np.float32, np.float64) else np.dtype(np.float32)
        length = x.size if axis is None else x.shape[axis]
        if length > _EXACT.get(kind.name, length):
            kind = np.dtype(np.float64)
        return getattr(np, name)(x, axis=axis, keepdims=bool(keepdims)).astype(kind)

    return compute(find, data)


def argmax(data: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return the index of the first largest value, of the flat array without `axis`; float32.

    float64 for float64, and where an index may be larger than float32 holds exactly.
    """
    return _place("argmax", data, axis, keepdims)


def argmin(data: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return the index of the first smallest value; as `argmax`."""
    return _place("argmin", data, axis, keepdims)


def norm(data: Any, ord: int = 2, axis: _Axis = None, keepdims: bool = False) -> Any:
    """Return the sum of absolute values (`ord` 1), or the root of the sum of squares (2).

    Raises
    ------
    OptionError         another `ord`
    """
    if ord not in (1, 2):
        raise OptionError(f"norm: ord={ord!r}: expected 1 or 2")

    def measure(x: Any) -> Any:
        kind = _real(x).dtype
        wide = x.astype(np.float32) if kind == np.float16 else _real(x)
        over: dict[str, Any] = {"axis": _axes(x, axis, False), "keepdims": bool(keepdims)}
        if ord == 1:
            return np.sum(np.abs(wide), **over).astype(kind)
        return np.sqrt(np.sum(np.square(wide), **over)).astype(kind)

    return compute(measure, data)


def log(data: Any) -> Any:
    """Return the natural logarithm; integers as float64."""
    return compute(lambda x: np.log(_real(x)), data)


def exp(data: Any) -> Any:
    """Return e to the power of each value; integers as float64."""
    return compute(lambda x: np.exp(_real(x)), data)


def sqrt(data: Any) -> Any:
    """Return the square root; integers as float64."""
    return compute(lambda x: np.sqrt(_real(x)), data)


def abs(data: Any) -> Any:
    """Return the absolute value."""
    return compute(np.abs, data)


def square(data: Any) -> Any:
    """Return the square; an integer type wraps around, as in ``x * x``."""
    return compute(np.square, data)


def maximum(lhs: Any, rhs: Any) -> Any:
    """Return the larger value of two arrays, or of an array and a number, place by place."""
    return compute(np.maximum, lhs, rhs)


def minimum(lhs: Any, rhs: Any) -> Any:
    """Return the smaller value of two arrays, or of an array and a number, place by place."""
    return compute(np.minimum, lhs, rhs)


def dot(lhs: Any, rhs: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    """Sum products over the last axis of `lhs` and the first one of `rhs`; dense arrays.

    With `transpose_a` over the first axis of `lhs`, with `transpose_b` over the last of `rhs`.

    Raises
    ------
    OptionError         a sparse operand
    """
    if "csr" in (getattr(lhs, "stype", None), getattr(rhs, "stype", None)):
        raise OptionError("dot: expected dense arrays; of a sparse one take asscipy()")
    axes = (0 if transpose_a else -1, -1 if transpose_b else 0)
    return compute(lambda a, b: np.tensordot(a, b, axes), lhs, rhs)


def one_hot(
    indices: Any,
    depth: int,
    on_value: float = 1.0,
    off_value: float = 0.0,
    dtype: npt.DTypeLike = "float32",
) -> Any:
    """Return `on_value` at each index and `off_value` elsewhere, along a new last axis.

    Parameters
    ----------
    indices : array[...]            fractions are cut off; an index out of [0, depth) is nowhere
    depth : int                     length of the new axis
    """

    def mark(x: Any) -> Any:
        places = np.arange(depth, like=x)
        hot = x.astype(np.int64)[..., None] == places
        return np.where(hot, on_value, off_value).astype(dtype)

    return compute(mark, indices)


def tile(data: Any, reps: int | Sequence[int]) -> Any:
    """Return the array repeated along its axes."""
    return compute(lambda x: np.tile(x, reps), data)


def repeat(data: Any, repeats: int, axis: int | None = None) -> Any:
    """Return every element repeated, along an axis or of the flat array."""
    return compute(lambda x: np.repeat(x, repeats, axis), data)


def clip(data: Any, a_min: float, a_max: float) -> Any:
    """Return values below `a_min` as `a_min` and those above `a_max` as `a_max`; keeps the dtype.

    Fractions of the bounds of an integer array are cut off, and bounds outside of its type do
    nothing.
    """

    def cut(x: Any) -> Any:
        if x.dtype.kind not in "iu":
            return np.clip(x, a_min, a_max)
        kind = np.iinfo(x.dtype)
        low, high = (
            builtins.min(builtins.max(bound, kind.min), kind.max) for bound in (a_min, a_max)
        )
        return np.clip(x, int(low), int(high))

    return compute(cut, data)


def concat(*data: Any, dim: int = 1) -> Any:
    """Join arrays along an axis; the second one by default, as in MXNet."""
    return compute(lambda *parts: np.concatenate(parts, dim), *data)


def concatenate(arrays: Sequence[Any], axis: int = 0, always_copy: bool = True) -> Any:
    """Join arrays along an axis; a single one comes back itself unless `always_copy`."""
    if len(arrays) == 1 and not always_copy:
        return arrays[0]
    return concat(*arrays, dim=axis)


def stack(*data: Any, axis: int = 0) -> Any:
    """Join arrays along a new axis."""
    return compute(lambda *parts: np.stack(parts, axis), *data)


def split(data: Any, num_outputs: int, axis: int = 1, squeeze_axis: bool = False) -> Any:
    """Cut an array into equal parts.

    Parameters
    ----------
    num_outputs : int               divides the axis' length
    squeeze_axis : bool             drop the axis, whose parts have length 1

    Returns
    -------
    list of arrays; the array alone where `num_outputs` is 1

    Raises
    ------
    OptionError                     the length cannot be divided, or parts are longer than 1
    """
    length = data.shape[axis]
    if num_outputs < 1 or length % num_outputs or (squeeze_axis and length != num_outputs):
        raise OptionError(
            f"split: axis {axis} of {tuple(data.shape)} does not make {num_outputs} equal parts"
            + (" of length 1" if squeeze_axis else "")
        )

    def cut(x: Any) -> list[Any]:
        parts = np.split(x, num_outputs, axis)
        return [(np.squeeze(one, axis) if squeeze_axis else one).copy() for one in parts]

    found = compute(cut, data)
    return found[0] if num_outputs == 1 else found


def zeros_like(data: Any) -> Any:
    """Return zeros of the array's shape and dtype."""
    return compute(np.zeros_like, data)


def ones_like(data: Any) -> Any:
    """Return ones of the array's shape and dtype."""
    return compute(np.ones_like, data)


def where(condition: Any, x: Any, y: Any) -> Any:
    """Return values of `x` where the condition is not 0, and of `y` elsewhere.

    Parameters
    ----------
    condition : array               of the shape of `x`, or one value for each of its rows
    x, y : array or number

    Raises
    ------
    OptionError                     the condition has another shape
    """
    shapes = [tuple(one.shape) for one in (x, y) if getattr(one, "shape", ())]
    given = tuple(condition.shape)
    rows = len(given) == 1 and shapes and given[0] == shapes[0][0]
    if not rows and any(given != shape for shape in shapes):
        raise OptionError(f"where: condition of {given} for {shapes[0]}: expected that or its rows")

    def choose(mask: Any, *values: Any) -> Any:
        if rows:
            mask = mask.reshape(-1, *(1 for _ in shapes[0][1:]))
        return np.where(mask != 0, *values)

    return compute(choose, condition, x, y)


def cast(data: Any, dtype: npt.DTypeLike) -> Any:
    """Return the values in another dtype; fractions are cut off."""
    return compute(lambda x: x.astype(dtype), data)


def slice_axis(data: Any, axis: int, begin: int, end: int | None) -> Any:
    """Return a copy of the part [begin, end) of an axis; negative numbers count from its end.

    Raises
    ------
    OptionError         the part is empty or reaches beyond the axis
    """
    length = data.shape[axis]
    first = begin + length if begin < 0 else begin
    stop = length if end is None else end + length if end < 0 else end
    if not 0 <= first < stop <= length:
        raise OptionError(f"slice_axis: [{begin}, {end}) of axis {axis}, which has {length}")
    key = (slice(None),) * (axis % data.ndim) + (slice(first, stop),)
    return compute(lambda x: x[key].copy(), data)


def take(a: Any, indices: Any, axis: int = 0, mode: str = "clip") -> Any:
    """Return the parts of an axis that indices name.

    Parameters
    ----------
    indices : array, list or int    fractions are cut off
    mode : {"clip", "wrap", "raise"}
        What becomes of an index out of [0, length): the nearest one, the rest of the division by
        the length, an error

    Raises
    ------
    OptionError                     another mode
    IndexError                      with "raise"
    """
    if mode not in ("clip", "wrap", "raise"):
        raise OptionError(f"take: mode={mode!r}: expected 'clip', 'wrap' or 'raise'")

    def choose(x: Any) -> Any:
        length = x.shape[axis]
        index = bare(indices)
        index = (index if hasattr(index, "dtype") else np.asarray(index, like=x)).astype(np.int64)
        if mode == "wrap":
            index = index % length
        elif mode == "clip":
            index = np.clip(index, 0, length - 1)
        elif bool(np.any((index < 0) | (index >= length))):
            raise IndexError(f"take: an index is outside of [0, {length})")
        return np.take(x, index, axis)

    return compute(choose, a)


def sort(data: Any, axis: int | None = -1, is_ascend: bool = True) -> Any:
    """Return the values sorted along an axis; without one, flat."""

    def order(x: Any) -> Any:
        made = np.sort(x, axis)
        return made if is_ascend else np.flip(made, axis if axis is not None else 0).copy()

    return compute(order, data)


def argsort(
    data: Any, axis: int | None = -1, is_ascend: bool = True, dtype: npt.DTypeLike = "float32"
) -> Any:
    """Return the indices that sort the values along an axis; equal values keep their order."""

    def order(x: Any) -> Any:
        flat, along = (x.reshape(-1), 0) if axis is None else (x, axis)
        if is_ascend:
            return np.argsort(flat, along, kind="stable").astype(dtype)
        found = np.flip(np.argsort(np.flip(flat, along), along, kind="stable"), along)
        return (flat.shape[along] - 1 - found).astype(dtype)

    return compute(order, data)


def reshape(data: Any, shape: int | Sequence[int], reverse: bool = False) -> Any:
    """Return a copy in another shape: see `gpuio.nd.shapes.new_shape` about its codes."""
    codes = (shape,) if isinstance(shape, int) else tuple(shape)
    return compute(lambda x: x.reshape(new_shape(x.shape, codes, reverse=reverse)).copy(), data)


def flatten(data: Any) -> Any:
    """Return a copy of two axes: the first one, and all others in one."""
    return compute(lambda x: x.reshape(flat_shape(x.shape)).copy(), data)


def squeeze(data: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """Return a copy without axes of length 1; at least one axis stays."""

    def drop(x: Any) -> Any:
        made = np.squeeze(x, axis)
        return (made.reshape(1) if made.ndim == 0 else made).copy()

    return compute(drop, data)


def swapaxes(data: Any, dim1: int = 0, dim2: int = 0) -> Any:
    """Return a copy with two axes exchanged."""
    return compute(lambda x: np.swapaxes(x, dim1, dim2).copy(), data)


def broadcast_to(data: Any, shape: Sequence[int]) -> Any:
    """Return a copy whose axes of length 1 are repeated."""
    return compute(lambda x: np.broadcast_to(x, tuple(shape)).copy(), data)


def transpose(data: Any, axes: Sequence[int] = ()) -> Any:
    """Return a copy with the axes in another order, backwards if none is given."""
    return compute(lambda x: x.transpose(*axes).copy(), data)


def expand_dims(data: Any, axis: int) -> Any:
    """Return a copy with a new axis of length 1."""
    return compute(lambda x: np.expand_dims(x, axis).copy(), data)


def flip(data: Any, axis: int | Sequence[int]) -> Any:
    """Return a copy with one axis, or several, reversed."""
    over = axis if isinstance(axis, int) else tuple(axis)
    return compute(lambda x: np.flip(x, over).copy(), data)
