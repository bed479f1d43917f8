"""mx.nd.random: numbers of MXNet's own generator, the one that `mx.random.seed` sets.

MXNet keeps 1,024 Mersenne Twisters and gives each its own stretch of an array. The same is done
here, so that for one seed `uniform` gives MXNet's numbers to the bit (float32, on the host), and
`normal` the same within the last bits of a logarithm. On a GPU, MXNet draws others; here they are
drawn on the host everywhere.

Nothing else uses this generator: as in MXNet, `mx.image` and `NDArrayIter` draw from Python's
`random` and from ``numpy.random``, and the record iterators have `seed` and `seed_aug`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError
from gpuio.forking import lock
from gpuio.hooks import missing
from gpuio.nd.arrays import host_array
from gpuio.nd.context import Context, current_context

__all__ = ["normal", "randint", "seed", "uniform"]

_STATES = 1024  # MXNet's kNumRandomStates
_STRETCH = 64  # numbers that one state gives at least, kMinNumRandomPerThread
_MAGIC = 127  # kRandMagic
_Shape = int | Sequence[int]


class _State:
    """One Mersenne Twister, read as words of 32 bits; words may be given back."""

    def __init__(self, number: int) -> None:
        self._words: Any = np.random.RandomState(number)
        self._left = np.empty(0, np.uint32)

    def take(self, count: int) -> npt.NDArray[np.uint32]:
        """Return the next words."""
        fresh = max(count - len(self._left), 0)
        drawn = self._words.randint(0, 2**32, fresh, np.uint32)
        words = np.concatenate([self._left, drawn]) if len(self._left) else drawn
        self._left = words[count:]
        return words[:count]

    def give_back(self, words: npt.NDArray[np.uint32]) -> None:
        """Have the next call begin with these words."""
        self._left = np.concatenate([words, self._left])


class _Generator:
    """The states, made when they are first drawn from."""

    def __init__(self) -> None:
        self.turn = lock()
        self.seed(0)

    def seed(self, number: int) -> None:
        """Begin all states anew."""
        self._base = number * _MAGIC % 2**32
        self._states: dict[int, _State] = {}

    def fill(
        self, count: int, draw: Callable[[_State, int, Any], npt.NDArray[Any]], kind: Any
    ) -> npt.NDArray[Any]:
        """Return numbers of all states, each its stretch."""
        out = np.empty(count, kind)
        parts = min(-(-count // _STRETCH), _STATES)
        step = -(-count // parts) if parts else 0
        with self.turn:
            for number, begin in enumerate(range(0, count, max(step, 1))):
                if number not in self._states:
                    self._states[number] = _State((self._base + number) % 2**32)
                stop = min(begin + step, count)
                out[begin:stop] = draw(self._states[number], stop - begin, kind)
        return out


_generator = _Generator()


def seed(seed_state: int, ctx: str | Context = "all") -> None:
    """Begin the generator of this module anew.

    Parameters
    ----------
    seed_state : int        its lowest 32 bits count
    ctx : optional          MXNet has a generator on each device; here one serves them all

    Raises
    ------
    ValueError              `seed_state` is not an int, as in MXNet
    """
    if isinstance(seed_state, bool) or not hasattr(seed_state, "__index__"):
        raise ValueError("seed_state must be int")
    if ctx != "all":
        Context(ctx)
    with _generator.turn:
        _generator.seed(operator.index(seed_state) % 2**32)


def _real_of(words: npt.NDArray[np.uint32], real: Any) -> npt.NDArray[Any]:
    """Return numbers in [0, 1) as C++ makes them: float32 of 32 bits, float64 of twice as many."""
    if real is np.float32:
        made: npt.NDArray[Any] = words.astype(np.float32) * np.float32(2.0**-32)
        made[made > np.float32(1 - 2.0**-24)] = np.float32(1 - 2.0**-24)
        return made
    low, high = words[::2].astype(np.float64), words[1::2].astype(np.float64)
    wide: npt.NDArray[Any] = (low + high * 2.0**32) * 2.0**-64
    wide[wide > 1 - 2.0**-53] = 1 - 2.0**-53
    return wide


def _fractions(state: _State, count: int, real: Any) -> npt.NDArray[Any]:
    """Return numbers in [0, 1)."""
    return _real_of(state.take(count * (2 if real is np.float64 else 1)), real)


def _bells(state: _State, count: int, real: Any) -> npt.NDArray[Any]:
    """Return normal numbers by Marsaglia's polar method, one of each pair, as in MXNet."""
    words_each = 4 if real is np.float64 else 2
    found = [np.empty(0, real)]
    while count:
        words = state.take(words_each * (count + count // 2 + 8))
        points = _real_of(words, real) * real(2) - real(1)
        x, y = points[::2], points[1::2]
        reach = x * x + y * y
        good = np.flatnonzero((reach <= 1) & (reach > 0))[:count]
        if len(good) == count:
            state.give_back(words[words_each * (good[-1] + 1) :])
        count -= len(good)
        found.append(y[good] * np.sqrt(real(-2) * np.log(reach[good]) / reach[good]))
    return np.concatenate(found)


def _shaped(
    values: Callable[[int, np.dtype[Any]], npt.NDArray[Any]],
    shape: _Shape | None,
    dtype: npt.DTypeLike | None,
    ctx: Context | None,
    out: Any,
) -> Any:
    """Return the numbers in the shape asked for, or write them into `out`."""
    if out is not None:
        shape, dtype = out.shape, out.dtype
    kind = np.dtype(np.float32 if dtype in (None, "None") else dtype)
    wanted = (1,) if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
    made = host_array(values(math.prod(wanted), kind).reshape(wanted))
    if out is not None:
        out[...] = made.as_in_context(out.context)
        return out
    return made.as_in_context(current_context() if ctx is None else ctx)


def _scalars(name: str, *values: Any) -> None:
    """Refuse arrays of parameters."""
    for value in values:
        if getattr(value, "shape", ()):
            raise OptionError(f"random.{name}: expected numbers; arrays of parameters are not here")


def _real_kind(name: str, kind: np.dtype[Any]) -> Any:
    """Return the type that MXNet computes a dtype in: float64 but for float32."""
    if kind not in (np.float16, np.float32, np.float64):
        raise OptionError(f"random.{name}: dtype={kind.name}: expected float16, float32, float64")
    return np.float32 if kind == np.float32 else np.float64


def uniform(
    low: float = 0,
    high: float = 1,
    shape: _Shape | None = None,
    dtype: npt.DTypeLike | None = None,
    ctx: Context | None = None,
    out: Any = None,
) -> Any:
    """Return numbers drawn evenly from [low, high).

    Parameters
    ----------
    low, high : float
    shape : int or tuple, optional          default (1,)
    dtype : {"float16", "float32", "float64"}, default "float32"
    ctx : Context, optional                 default `current_context`
    out : array, optional                   write into it; it has the shape and the dtype then

    Raises
    ------
    OptionError         arrays as `low` or `high`, or another dtype
    """
    _scalars("uniform", low, high)

    def values(count: int, kind: np.dtype[Any]) -> npt.NDArray[Any]:
        real = _real_kind("uniform", kind)
        made = _generator.fill(count, _fractions, real)
        first, last = np.float32(low), np.float32(high)
        scaled: npt.NDArray[Any] = real(first) + real(last - first) * made
        return scaled.astype(real if kind == real else np.float32).astype(kind)

    return _shaped(values, shape, dtype, ctx, out)


def normal(
    loc: float = 0,
    scale: float = 1,
    shape: _Shape | None = None,
    dtype: npt.DTypeLike | None = None,
    ctx: Context | None = None,
    out: Any = None,
) -> Any:
    """Return normal numbers around `loc` with the standard deviation `scale`.

    Parameters
    ----------
    loc, scale : float
    shape, dtype, ctx, out      as of `uniform`

    Raises
    ------
    OptionError                 arrays as `loc` or `scale`, or another dtype
    """
    _scalars("normal", loc, scale)

    def values(count: int, kind: np.dtype[Any]) -> npt.NDArray[Any]:
        real = _real_kind("normal", kind)
        made = _generator.fill(count, _bells, real)
        scaled: npt.NDArray[Any] = made * real(np.float32(scale)) + real(np.float32(loc))
        return scaled.astype(kind)

    return _shaped(values, shape, dtype, ctx, out)


def randint(
    low: int,
    high: int,
    shape: _Shape | None = None,
    dtype: npt.DTypeLike | None = "int32",
    ctx: Context | None = None,
    out: Any = None,
) -> Any:
    """Return whole numbers drawn evenly from [low, high).

    Parameters
    ----------
    low, high : int
    shape, ctx, out                         as of `uniform`
    dtype : {"int32", "int64"}, default "int32"

    Raises
    ------
    OptionError         another dtype, an empty range, or one that the dtype cannot hold
    """

    def values(count: int, kind: np.dtype[Any]) -> npt.NDArray[Any]:
        if kind not in (np.int32, np.int64):
            raise OptionError(f"random.randint: dtype={kind.name}: expected int32 or int64")
        limit = np.iinfo(kind)
        if not limit.min <= low < high <= limit.max:
            raise OptionError(f"random.randint: [{low}, {high}) is empty or not of {kind.name}")

        def draw(state: _State, size: int, _: Any) -> npt.NDArray[Any]:
            words = state.take(2 * size).astype(np.uint64).reshape(-1, 2)
            wide = (words[:, 0] << np.uint64(31)) + words[:, 1]  # as MXNet's rand_int64
            return (wide % np.uint64(high - low)).astype(np.int64) + low

        return _generator.fill(count, draw, np.int64).astype(kind)

    return _shaped(values, shape, "int32" if dtype is None else dtype, ctx, out)


def __getattr__(name: str) -> None:
    raise missing("gpuio.nd.random", name)
