"""Where random numbers come from: MXNet's global generators, or the caller's own generator.

Everything random in `gpuio.image` takes an argument `rng`:

============================  ====================================================================
``None`` (default)            Python's `random` and `numpy.random`, the global generators, as MXNet
                              uses them: ``random.seed(3); numpy.random.seed(3)`` repeats MXNet's
                              own results, number for number
``int``                       a private pair of generators with that seed: the same numbers as the
                              global ones give after seeding both with it
`random.Random`               that generator, for everything
`numpy.random.Generator`      that generator, for everything
`Draws`                       used as it is, so that several augmenters can share one
============================  ====================================================================

Invariant: nothing else in `gpuio.image` touches a generator.
"""

from __future__ import annotations

import random
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError

__all__ = ["GLOBAL", "Draws", "Rng", "as_draws", "keyed"]


@runtime_checkable
class Draws(Protocol):
    """The six kinds of random number that augmentation needs."""

    def random(self) -> float:
        """Return a number in [0, 1)."""

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""

    def randint(self, low: int, high: int) -> int:
        """Return a whole number in [low, high], both ends included."""

    def shuffle(self, items: list[Any]) -> list[Any]:
        """Permute a list in place and return it; a keyed generator returns a permuted copy."""

    def normals(self, std: float, count: int) -> npt.NDArray[np.float64]:
        """Return float64[count] of mean 0 and standard deviation `std`."""

    def uniforms(self, low: float, high: float, count: int) -> npt.NDArray[np.float64]:
        """Return float64[count] in [low, high)."""


Rng = int | random.Random | np.random.Generator | Draws | None


class _MXNetDraws:
    """Python's generator for most numbers, NumPy's legacy one for arrays, as in MXNet."""

    def __init__(self, python: Any, numpy: Any) -> None:
        self._python, self._numpy = python, numpy

    def random(self) -> float:
        return float(self._python.random())

    def uniform(self, low: float, high: float) -> float:
        return float(self._python.uniform(low, high))

    def randint(self, low: int, high: int) -> int:
        return int(self._python.randint(low, high))

    def shuffle(self, items: list[Any]) -> list[Any]:
        self._python.shuffle(items)
        return items

    def normals(self, std: float, count: int) -> npt.NDArray[np.float64]:
        return np.asarray(self._numpy.normal(0, std, size=(count,)), np.float64)

    def uniforms(self, low: float, high: float, count: int) -> npt.NDArray[np.float64]:
        return np.asarray(self._numpy.uniform(low, high, size=(count,)), np.float64)


class _PythonDraws(_MXNetDraws):
    """One `random.Random` for everything."""

    def __init__(self, python: random.Random) -> None:
        super().__init__(python, None)

    def normals(self, std: float, count: int) -> npt.NDArray[np.float64]:
        return np.array([self._python.gauss(0, std) for _ in range(count)], np.float64)

    def uniforms(self, low: float, high: float, count: int) -> npt.NDArray[np.float64]:
        return np.array([self._python.uniform(low, high) for _ in range(count)], np.float64)


class _NumpyDraws:
    """One `numpy.random.Generator` for everything."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def random(self) -> float:
        return float(self._generator.random())

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(self._generator.random())

    def randint(self, low: int, high: int) -> int:
        if low > high:
            raise ValueError(f"empty range for randint: [{low}, {high}]")
        return int(self._generator.integers(low, high, endpoint=True))

    def shuffle(self, items: list[Any]) -> list[Any]:
        items[:] = [items[i] for i in self._generator.permutation(len(items))]
        return items

    def normals(self, std: float, count: int) -> npt.NDArray[np.float64]:
        return self._generator.normal(0, std, size=count)

    def uniforms(self, low: float, high: float, count: int) -> npt.NDArray[np.float64]:
        return self._generator.uniform(low, high, size=count)


class _KeyedDraws(_NumpyDraws):
    """A generator of one sample: it must not change lists that other samples shuffle."""

    def shuffle(self, items: list[Any]) -> list[Any]:
        return super().shuffle(list(items))


class _GlobalDraws(_MXNetDraws):
    """The global generators; a pickled copy means those of the other process."""

    def __reduce__(self) -> str:
        return "GLOBAL"


GLOBAL: Draws = _GlobalDraws(random, np.random)


def as_draws(rng: Rng) -> Draws:
    """Turn an `rng` argument into a `Draws`; see the table at the top of this module.

    Raises
    ------
    OptionError             `rng` is not of a kind in the table
    """
    if rng is None:
        return GLOBAL
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        seed = int(rng)
        # RandomState takes 32 bits; the reduction does not change any seed that it accepts
        return _MXNetDraws(random.Random(seed), np.random.RandomState(seed % 2**32))
    if isinstance(rng, random.Random):
        return _PythonDraws(rng)
    if isinstance(rng, np.random.Generator):
        return _NumpyDraws(rng)
    if isinstance(rng, Draws):
        return rng
    raise OptionError(
        f"rng of type {type(rng).__name__}: expected None, an int seed, a random.Random, "
        "a numpy.random.Generator or a Draws"
    )


def keyed(seed: int, epoch: int, position: int) -> Draws:
    """Return the generator of one sample, a function of these three numbers only.

    Parameters
    ----------
    seed : int              any; reduced modulo 2**64
    epoch : int             >= 0
    position : int          place of the sample in the epoch's order, >= 0; -1 is the order itself

    Notes
    -----
    Philox with the seed as its key and (epoch, position) in the upper half of its counter. So the
    streams of two samples never overlap, and no sample depends on those drawn before it.
    """
    counter = np.array([0, 0, position % 2**64, epoch], np.uint64)
    bits = np.random.Philox(key=np.array([seed % 2**64, 0], np.uint64), counter=counter)
    return _KeyedDraws(np.random.Generator(bits))
