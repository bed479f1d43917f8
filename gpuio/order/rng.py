"""The words that shuffle, and what is made of them.

`Mersenne` is C++'s ``std::mt19937``, which MXNet shuffles with. The recipes turn its 32-bit words
into numbers as gcc 4.8's libstdc++ does, with which MXNet's wheels were built.
`gpuio.kernels.plan.random_bits` has the same generator, and Philox, with the recipes of the
augmentation, for compiled loops.

Invariant: a recipe takes as many words as MXNet's, so that the draws after it agree as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "COMPILED_FROM", "Mersenne", "draw_and_shuffle", "draw_below", "run_sizes", "shuffle",
    "skip_below",
]  # fmt: skip

_WORD = 0xFFFFFFFF  # the largest word, and the mask of one
_BLOCK = 1 << 16  # words tested for rejection at once
COMPILED_FROM = 20_000  # records; below, loading Numba costs more than it saves
_in_python = [0]  # records that this process has shuffled without it


class Mersenne:
    """A stream of 32-bit words, those of ``std::mt19937``.

    Parameters
    ----------
    seed : int      any sign; taken modulo 2^32, as C++ converts it
    """

    def __init__(self, seed: int) -> None:
        seeded: Any = np.random.RandomState(seed & _WORD)  # its seeding is that of std::mt19937
        self._bits: Any = np.random.MT19937()
        self._bits.state = seeded.get_state(legacy=False)

    def words(self, count: int) -> npt.NDArray[np.uint32]:
        """Return the next `count` words, uint32[count]."""
        words: npt.NDArray[np.uint32] = self._bits.random_raw(count).astype(np.uint32)
        return words

    @property
    def state(self) -> Any:
        """The place in the stream: a value of 2.5 KB that may be assigned back."""
        return self._bits.state

    @state.setter
    def state(self, state: Any) -> None:
        self._bits.state = state


def draw_below(source: Mersenne, sizes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Draw one whole number in [0, size) for each size, in order.

    Parameters
    ----------
    source : Mersenne           advanced by one word a number, and one more for each rejected word
    sizes : uint32[n]           each >= 1

    Returns
    -------
    uint32[n]                   host

    Source: libstdc++ 4.8, bits/random.tcc, uniform_int_distribution.
    """
    scale = np.uint32(_WORD) // sizes
    limit = scale * sizes
    drawn = np.empty(len(sizes), np.uint32)
    done = 0
    while done < len(sizes):
        words = source.words(min(len(sizes) - done, _BLOCK))
        while len(words):
            rejected = words >= limit[done : done + len(words)]
            good = int(rejected.argmax()) if rejected.any() else len(words)
            drawn[done : done + good] = words[:good]
            done += good
            words = words[good + 1 :]
    drawn //= scale
    return drawn


def skip_below(source: Mersenne, sizes: npt.NDArray[np.uint32], times: int) -> None:
    """Move a source as `times` calls of `draw_below` would, several times faster.

    Parameters
    ----------
    source : Mersenne
    sizes : uint32[n]           each >= 1
    times : int                 best some 10^7 draws at once: a compiled call cannot be interrupted
    """
    from gpuio.kernels.plan.shuffle import skip_draws

    state = source.state
    words = np.ascontiguousarray(state["state"]["key"], np.uint32)
    at = skip_draws(words, state["state"]["pos"], (np.uint32(_WORD) // sizes) * sizes, times)
    source.state = {**state, "state": {"key": words, "pos": at}}


def shuffle(
    values: npt.NDArray[np.int32],
    others: npt.NDArray[np.uint32],
    lengths: npt.NDArray[np.int64] | None = None,
) -> None:
    """Shuffle each of some runs of values, in place.

    In a run, ``values[i]`` is swapped with ``values[other]`` for i = 1, 2, ..., the next number of
    `others` each time.

    Parameters
    ----------
    values : int32[n]               contiguous; changed
    others : uint32[n - runs]       drawn from [0, i] for i = 1 .. length-1 of each run: `run_sizes`
                                    and `draw_below` make them
    lengths : int64[runs], optional of the runs, each >= 1, n in all; one run if None

    Source: libstdc++ 4.8, bits/stl_algo.h, shuffle.
    """
    runs = np.array([len(values)], np.int64) if lengths is None else lengths
    if len(values) + _in_python[0] >= COMPILED_FROM:
        from gpuio.kernels.plan.shuffle import swap_all

        swap_all(values, others, runs)
        return
    _in_python[0] += len(values)
    items, draws = values.tolist(), iter(others.tolist())
    first = 0
    for length in runs.tolist():
        for i in range(first + 1, first + length):
            j = first + next(draws)
            items[i], items[j] = items[j], items[i]
        first += length
    values[:] = items


def draw_and_shuffle(
    source: Mersenne, values: npt.NDArray[np.int32], lengths: npt.NDArray[np.int64]
) -> None:
    """Do what `draw_below` of `run_sizes` and `shuffle` do, in one compiled loop, in place.

    Parameters
    ----------
    source : Mersenne
    values, lengths             as `shuffle` has them
    """
    from gpuio.kernels.plan.shuffle import draw_and_swap

    state = source.state
    words = np.ascontiguousarray(state["state"]["key"], np.uint32)
    at = draw_and_swap(words, state["state"]["pos"], values, lengths)
    source.state = {**state, "state": {"key": words, "pos": at}}


def run_sizes(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """Return the sizes from which `shuffle` of runs of these lengths draws: 2 .. length of each."""
    starts = np.cumsum(lengths) - lengths
    place = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    sizes: npt.NDArray[np.uint32] = (place[place > 0] + 1).astype(np.uint32)
    return sizes
