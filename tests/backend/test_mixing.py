"""Mixing in place gives what mixing copies would give, whatever the block."""

import numpy as np
import pytest

from gpuio.backend import mixing
from gpuio.backend.cpu import CpuBackend

PARTNER = np.array([2, 1, 4, 0, 3])


def batch(dtype="float32", shape=(5, 3, 17, 23)):
    return np.random.default_rng(0).normal(0, 50, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("block", [1, 5000, 1 << 20])
def test_rows_are_weighed_with_their_partners_old_values(dtype, block, monkeypatch):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    monkeypatch.setattr(mixing, "_BLOCK_BYTES", block)
    data = batch(dtype)
    old = data.astype(np.float32)
    share = np.float32(0.3)
    expected = old[PARTNER] * (np.float32(1) - share) + old * share
    mixing.weigh(data, PARTNER, 0.3)
    expected = expected.astype(dtype)
    expected[1] = old[1].astype(dtype)  # its own partner
    assert np.array_equal(data, expected)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_rows_take_a_rectangle_of_their_partners_old_values(layout):
    data = batch()
    old = data.copy()
    expected = data.copy()
    expected[:, :, 3:8, 2:21] = old[PARTNER][:, :, 3:8, 2:21]
    if layout == "NHWC":
        data = np.ascontiguousarray(data.transpose(0, 2, 3, 1))
        expected = expected.transpose(0, 2, 3, 1)
    mixing.paste(data, PARTNER, (3, 2, 5, 19), layout)
    assert np.array_equal(data, expected)


def test_nobody_to_mix_with_changes_nothing():
    data = batch()
    mixing.weigh(data, np.arange(5), 0.3)
    mixing.paste(data, np.arange(5), (0, 0, 9, 9), "NCHW")
    assert np.array_equal(data, batch())


def test_the_cpu_mixes_by_a_box_or_by_a_share():
    backend = CpuBackend()
    for box in (None, (3, 2, 5, 19, "NCHW")):
        data, expected = batch(), batch()
        backend.mix(data, PARTNER, 0.3, box)
        if box is None:
            mixing.weigh(expected, PARTNER, 0.3)
        else:
            mixing.paste(expected, PARTNER, *(box[:4], box[4]))
        assert np.array_equal(data, expected)
    backend.close()
