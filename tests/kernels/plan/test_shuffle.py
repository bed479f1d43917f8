"""The compiled swaps are those of the definition."""

import numpy as np

from gpuio.kernels.plan.shuffle import swap_all


def test_each_run_is_swapped_in_order_within_itself():
    rng = np.random.default_rng(3)
    for lengths in ([1], [2], [7, 1, 500, 3], [1, 1, 60]):
        others = [int(rng.integers(0, i + 1)) for n in lengths for i in range(1, n)]
        values, expected = np.arange(sum(lengths), dtype=np.int32), []
        draws = iter(others)
        for n in lengths:
            run = list(range(len(expected), len(expected) + n))
            for i in range(1, n):
                j = next(draws)
                run[i], run[j] = run[j], run[i]
            expected += run
        swap_all(values, np.array(others, np.uint32), np.array(lengths, np.int64))
        assert values.tolist() == expected
