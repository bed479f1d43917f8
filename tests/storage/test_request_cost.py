"""What a request costs beside its bytes, learned from requests."""

import numpy as np
import pytest

from gpuio.storage.request_cost import RequestCost

LEAST, FIRST, MOST = 8 << 10, 32 << 10, 256 << 10
SIZES = np.random.default_rng(0).integers(4 << 10, 20 << 10, 2000)


def noted(cost, per_byte_s, sizes=SIZES, latency_s=0.02):
    """Take in requests that took so long; return the cost."""
    noise = np.random.default_rng(1).exponential(0.0005, len(sizes))
    for size, more in zip(sizes.tolist(), noise.tolist(), strict=True):
        cost.note(size, latency_s + per_byte_s * size + more)
    return cost


@pytest.mark.parametrize(
    ("per_byte_s", "least", "most"),
    [
        (1e-9, MOST, MOST),  # a link that is far from full: bytes cost next to nothing
        (1e-7, 150 << 10, 220 << 10),
        (1e-6, 24 << 10, 44 << 10),
        (1e-5, LEAST, 12 << 10),  # a full one
    ],
)
def test_a_gap_is_what_one_more_request_costs(per_byte_s, least, most):
    assert least <= noted(RequestCost(LEAST, FIRST, MOST), per_byte_s).gap_bytes <= most


def test_where_little_is_known_the_first_value_stays():
    assert RequestCost(LEAST, FIRST, MOST).gap_bytes == FIRST
    assert noted(RequestCost(LEAST, FIRST, MOST), 1e-5, SIZES[:20]).gap_bytes == FIRST
    cost = RequestCost(LEAST, FIRST, MOST)
    for _ in range(100):
        cost.note(8, 0.0)  # as fast as the clock can tell
    assert cost.gap_bytes == MOST


def test_a_link_that_is_full_is_noticed_whoever_waits():
    """All wait as long, small and large, for those in front of them."""
    cost = noted(RequestCost(LEAST, FIRST, MOST), 1e-9)
    for size in SIZES.tolist():
        cost.note(size, 0.09)
    assert cost.gap_bytes == LEAST
    assert noted(cost, 1e-9).gap_bytes == MOST


def test_one_that_was_tried_again_for_a_minute_says_little():
    cost = noted(RequestCost(LEAST, FIRST, MOST), 1e-6)
    before = cost.gap_bytes
    cost.note(8 << 10, 60.0)
    assert abs(cost.gap_bytes - before) < before / 8
