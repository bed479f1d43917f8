"""Ratios: ``(p - mean) / std * scale``, a division and a product, each rounded."""

import numpy as np
import pytest

from gpuio.kernels import normalise
from gpuio.kernels.cpu import augment
from gpuio.kernels.plan.layout import PLAN
from support import reference
from support.reference import normalisation

MEAN = np.array([123.68, -7.5, 0.5, 255], np.float32)
STD = np.array([58.393, 1, 0.23, 3], np.float32)


def test_a_table_divides():
    table = normalisation("float32", MEAN, STD, 1 / 255, 9.0, 7.0, ratio=True)
    f = np.float32
    for c in range(4):
        for p in range(256):
            assert table[c, p] == f(f(f(p) - MEAN[c]) / STD[c]) * f(1 / 255)
    product = normalisation("float32", MEAN, STD, 1 / 255)
    assert (table != product).any()


@pytest.mark.parametrize("dtype", normalise.DTYPES)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("C", [1, 3, 4])
def test_the_cpu_equals_the_reference(dtype, layout, centred, C):
    rng = np.random.default_rng(C)
    pixels = rng.integers(0, 256, (9, 13, C), np.uint8)
    row = np.zeros(1, PLAN)
    row["src_h"] = row["crop_h"] = 9
    row["src_w"] = row["crop_w"] = 13
    row["mirror"], row["gain"], row["shift"] = 1, 2, 3  # gain and shift have no part in it
    mean = rng.uniform(0, 255, (C, 9, 13)).astype(np.float32) if centred else None
    how = augment.Normalisation(dtype, MEAN[:C], STD[:C], 0.7, layout, mean, ratio=True)
    out = np.zeros((C, 9, 13) if layout == "NCHW" else (9, 13, C), how.storage)
    augment.augment(pixels, row, how, out, augment.Scratch())
    want = reference.augment(pixels, row[0], 9, 13, dtype, MEAN[:C], STD[:C], 0.7, mean, ratio=True)
    want = want if layout == "NCHW" else want.transpose(1, 2, 0)
    assert out.tobytes() == np.ascontiguousarray(want).tobytes()
