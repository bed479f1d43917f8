"""The size of a cache is bytes, a text with a unit, or a share of what is free."""

import numpy as np
import pytest

from gpuio.options.cache import cache_size


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (np.int64(1 << 40), 1 << 40),
        ("4096", 4096),
        ("40GiB", 40 << 30),
        ("40 GB", 40 * 10**9),
        ("1.5g", 1_500_000_000),
        ("500m", 500_000_000),
        ("2kib", 2048),
        (".5TiB", 1 << 39),
        (0.5, 0.5),
        (1.0, 1.0),
        ("0.25", 0.25),
        ("50%", 0.5),
        (np.float32(0.5), 0.5),
    ],
)
def test_sizes(value, expected):
    made = cache_size(value)
    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize(
    "value", [0, -1, 0.0, 1.5, 2.0, "0", "0%", "150%", "1.5", "40 pints", "", "nan", True, None, []]
)
def test_what_is_no_size_is_refused_with_an_example(value):
    with pytest.raises(ValueError, match="40GiB"):
        cache_size(value)
