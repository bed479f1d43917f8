"""Words of many streams are the published ones, and depend on seed, pass and record alone."""

import numpy as np
import pytest

from gpuio.kernels.plan.philox import philox_words
from support import philox


def compiled(seed, pass_index, record, count):
    passes, records = (np.atleast_1d(np.array(one, np.int64)) for one in (pass_index, record))
    out = np.empty((len(records), count), np.uint32)
    philox_words(np.uint64(seed % (1 << 64)).astype(np.int64), passes, records, out)
    return out


@pytest.mark.parametrize("words", [compiled, philox.philox])
def test_words_are_the_published_ones(words):
    # Random123, kat_vectors, philox4x32 10
    assert words(0, 0, 0, 4).tolist() == [[0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]]


@pytest.mark.parametrize("words", [compiled, philox.philox])
def test_streams_differ_by_seed_pass_and_record_alone(words):
    base = words(7, [3], [5], 12)
    assert words(7, [1, 3, 9], [4, 5, 6], 12)[1].tolist() == base[0].tolist()
    assert words(7, [3], [5], 6)[0].tolist() == base[0, :6].tolist()
    others = [words(8, [3], [5], 12), words(7, [4], [5], 12), words(7, [3], [6], 12)]
    others += [words(7 + (1 << 32), [3], [5], 12), words(7, [3], [5 + (1 << 32)], 12)]
    assert len({each.tobytes() for each in [base, *others]}) == 6


@pytest.mark.parametrize("seed", [0, -1, 1 << 50, (1 << 64) - 3])
@pytest.mark.parametrize("count", [1, 4, 27])
def test_words_are_those_of_the_definition(seed, count):
    passes, records = [0, 7, 2**32 - 1, 2**32 + 5], [0, -1, 1 << 33, 12]
    made = compiled(seed, passes, records, count)
    assert np.array_equal(made, philox.philox(seed, passes, records, count))
