"""Philox4x32-10 in NumPy, written from its definition."""

import numpy as np

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_STEPS = (0x9E3779B9, 0xBB67AE85)


def philox(seed, pass_index, record, count):
    """Return the first `count` words of each record's own stream.

    Parameters
    ----------
    seed : int                  any sign; taken modulo 2^64, the key
    pass_index : int[B]         taken modulo 2^32
    record : int[B]             global position, taken modulo 2^64
    count : int                 words a record, >= 1

    Returns
    -------
    uint32[B, count]            host

    Notes
    -----
    Philox4x32-10; the counter is (block of four words, pass, record low, record high).

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    passes = np.atleast_1d(np.asarray(pass_index)).astype(np.uint64) & np.uint64(_WORD)
    records = np.atleast_1d(np.asarray(record)).astype(np.uint64)
    blocks = np.arange(-(-count // 4), dtype=np.uint64)
    shape = (len(records), len(blocks))
    c0 = np.broadcast_to(blocks, shape)
    c1 = np.broadcast_to(passes[:, None], shape)
    c2 = np.broadcast_to((records & np.uint64(_WORD))[:, None], shape)
    c3 = np.broadcast_to((records >> np.uint64(32))[:, None], shape)
    k0, k1 = seed & _WORD, (seed >> 32) & _WORD
    low, half = np.uint64(_WORD), np.uint64(32)
    for _ in range(10):
        p0, p1 = c0 * np.uint64(_MULTIPLIERS[0]), c2 * np.uint64(_MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            (p1 >> half) ^ c1 ^ np.uint64(k0),
            p1 & low,
            (p0 >> half) ^ c3 ^ np.uint64(k1),
            p0 & low,
        )
        k0, k1 = (k0 + _STEPS[0]) & _WORD, (k1 + _STEPS[1]) & _WORD
    words = np.stack([c0, c1, c2, c3], axis=2).astype(np.uint32)
    return words.reshape(len(records), -1)[:, :count]
