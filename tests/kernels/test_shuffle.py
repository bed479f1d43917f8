"""The compiled swaps are those of the definition."""

import numpy as np

from gpuio.kernels.shuffle import swap_all


def test_swaps_are_made_in_order():
    rng = np.random.default_rng(3)
    for n in (1, 2, 7, 500):
        others = np.array([rng.integers(0, i + 1) for i in range(1, n)], np.uint32)
        values, expected = np.arange(n, dtype=np.int32), list(range(n))
        for i, j in enumerate(others.tolist(), start=1):
            expected[i], expected[j] = expected[j], expected[i]
        swap_all(values, others)
        assert values.tolist() == expected
