"""Random words and the recipes on top of them, for compiled loops.

One state array serves both generators: ``std::mt19937``, seeded and advanced only as far as words
are asked for, and Philox4x32-10. The recipes are gcc 4.8 libstdc++'s, with which MXNet's wheels
were built: they take the same number of words and round where it rounds.

Invariant: a recipe never looks at which generator its words come from.
"""

from __future__ import annotations

import math

import numpy as np

from gpuio.kernels.jit import inner

__all__ = [
    "STATE_WORDS",
    "between",
    "coin",
    "mersenne_state",
    "normal3",
    "philox_word",
    "seed_mersenne",
    "seed_philox",
    "whole",
]

_MERSENNE = 624  # state words 0..623: those of mt19937
_AT = 624  # mt19937: the next word's index; philox: words used of the block in _OUT
_SEEDED = 625  # how many of the 624 words are seeded; 0 = the generator is philox
_COUNTER = 626  # philox: block, pass, record low, record high
_KEY = 630
_OUT = 632
STATE_WORDS = 636

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def mersenne_state(seed):
    """Return the state of mt19937 before its first word, uint32[STATE_WORDS]."""
    state = np.zeros(STATE_WORDS, np.uint32)
    state[0], state[_SEEDED] = seed % (1 << 32), 1
    return state


@inner
def seed_mersenne(state, seed):
    """Start mt19937 from a seed, taken modulo 2^32."""
    state[0] = np.uint32(seed & 0xFFFFFFFF)
    state[_SEEDED] = 1
    state[_AT] = 0


@inner
def seed_philox(state, seed, pass_index, record):
    """Start the stream of one record in one pass."""
    state[_SEEDED] = 0
    state[_AT] = 4
    state[_COUNTER] = 0
    state[_COUNTER + 1] = np.uint32(pass_index & 0xFFFFFFFF)
    state[_COUNTER + 2] = np.uint32(record & 0xFFFFFFFF)
    state[_COUNTER + 3] = np.uint32((record >> 32) & 0xFFFFFFFF)
    state[_KEY] = np.uint32(seed & 0xFFFFFFFF)
    state[_KEY + 1] = np.uint32((seed >> 32) & 0xFFFFFFFF)


@inner
def _mersenne_word(state):
    """Return mt19937's next word, seeding and twisting no further than it reaches."""
    at = state[_AT]
    reach = min(at + np.uint32(398), np.uint32(_MERSENNE))
    for i in range(state[_SEEDED], reach):
        before = np.uint64(state[i - 1])
        before = before ^ (before >> np.uint64(30))
        state[i] = np.uint32((np.uint64(1812433253) * before + np.uint64(i)) & _LOW)
    if reach > state[_SEEDED]:
        state[_SEEDED] = reach
    after = at + np.uint32(1) if at < 623 else np.uint32(0)
    far = at + np.uint32(397) if at < 227 else at - np.uint32(227)
    mixed = (state[at] & np.uint32(0x80000000)) | (state[after] & np.uint32(0x7FFFFFFF))
    word = state[far] ^ (mixed >> np.uint32(1))
    if mixed & np.uint32(1):
        word ^= np.uint32(0x9908B0DF)
    state[at] = word
    state[_AT] = after
    word ^= word >> np.uint32(11)
    word ^= (word << np.uint32(7)) & np.uint32(0x9D2C5680)
    word ^= (word << np.uint32(15)) & np.uint32(0xEFC60000)
    return np.uint32(word ^ (word >> np.uint32(18)))


@inner
def philox_word(state):
    """Return the next word of the block, making a block where the last one is used up."""
    if state[_AT] == 4:
        c0, c1 = np.uint64(state[_COUNTER]), np.uint64(state[_COUNTER + 1])
        c2, c3 = np.uint64(state[_COUNTER + 2]), np.uint64(state[_COUNTER + 3])
        k0, k1 = np.uint64(state[_KEY]), np.uint64(state[_KEY + 1])
        for _ in range(10):
            p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
            c0, c1, c2, c3 = (
                (p1 >> _HALF) ^ c1 ^ k0,
                p1 & _LOW,
                (p0 >> _HALF) ^ c3 ^ k1,
                p0 & _LOW,
            )
            k0 = (k0 + np.uint64(0x9E3779B9)) & _LOW
            k1 = (k1 + np.uint64(0xBB67AE85)) & _LOW
        state[_OUT], state[_OUT + 1] = np.uint32(c0), np.uint32(c1)
        state[_OUT + 2], state[_OUT + 3] = np.uint32(c2), np.uint32(c3)
        state[_COUNTER] += np.uint32(1)
        state[_AT] = 0
    word = state[_OUT + state[_AT]]
    state[_AT] += np.uint32(1)
    return word


@inner
def _word(state):
    """Return the next 32 random bits."""
    if state[_SEEDED]:
        return _mersenne_word(state)
    return philox_word(state)


@inner
def _unit(state):
    """Return a float32 in [0, 1]; 1 where a word rounds up to 2^32."""
    return np.float32(_word(state)) * np.float32(2.0**-32)


@inner
def between(state, low, high):
    """Return a float32 in [low, high)."""
    low, high = np.float32(low), np.float32(high)
    return np.float32(_unit(state) * np.float32(high - low) + low)


@inner
def whole(state, low, high):
    """Return an int64 in [low, high]; a range of one value still takes a word."""
    size = np.uint64(high - low + 1)
    scale = _LOW // size
    limit = size * scale
    word = np.uint64(_word(state))
    while word >= limit:
        word = np.uint64(_word(state))
    return low + np.int64(word // scale)


@inner
def coin(state):
    """Return true with probability one half."""
    low = np.float64(_word(state))
    high = np.float64(_word(state))
    return (low + high * 2.0**32) * 2.0**-64 < 0.5


@inner
def _polar(state):
    """Return two float32 of the standard normal distribution, in the order they are used."""
    while True:
        x = np.float32(np.float32(2.0) * _unit(state) - np.float32(1.0))
        y = np.float32(np.float32(2.0) * _unit(state) - np.float32(1.0))
        square = np.float32(x * x + y * y)
        if np.float32(0.0) < square <= np.float32(1.0):
            break
    log = np.float32(math.log(square))
    stretch = np.float32(math.sqrt(np.float32(np.float32(-2.0) * log / square)))
    return np.float32(y * stretch), np.float32(x * stretch)


@inner
def normal3(state, deviation):
    """Return three float32 of the normal distribution of mean 0."""
    first, second = _polar(state)
    third, _ = _polar(state)
    return (
        np.float32(first * deviation),
        np.float32(second * deviation),
        np.float32(third * deviation),
    )
