"""What rows need is what looking at each question alone says."""

import numpy as np
import pytest

from gpuio.kernels.cpu.needs import Needs, look_at
from gpuio.kernels.image_header import HEADER
from gpuio.kernels.plan.layout import PLAN

H, W = 8, 9
SIDES = [1, 8, 9, 500, 65_535, 65_536, 4_194_304]


def asked_one_by_one(rows, headers, lengths, known, scales):
    """Return the same, a question at a time."""
    src_h, src_w = rows["src_h"].astype(np.int64), rows["src_w"].astype(np.int64)
    is_jpegs = (src_h <= 65_535) & (src_w <= 65_535)
    first = rows[:1]
    whole = (first["resize_h"] == 0) | (first["resize_h"] == first["src_h"])
    shrinks = (src_h < headers["height"]) | (src_w < headers["width"])
    return Needs(
        widest=max(np.minimum(src_w, 65_535).tolist(), default=0),
        most=max((src_h * src_w * is_jpegs).tolist(), default=0),
        colours=any((rows[name] != 0).any() for name in ("jitter", "hls_on", "pca_on")),
        crop=(whole & (first["crop_h"] == H) & (first["crop_w"] == W)).any(),
        scaled=(scales > 1).any(),
        smaller=(shrinks & (scales == 1) & (lengths > 0) & (known == 0)).any(),
    )


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_each_need_is_found(count):
    rng = np.random.default_rng(count)
    seen = set()
    for _ in range(300):
        rows, headers = np.zeros(count, PLAN), np.zeros(count, HEADER)
        for side in ("h", "w"):
            rows[f"src_{side}"] = rng.choice(SIDES, count)
            rows[f"resize_{side}"] = rng.choice([0, 8, 9], count)
            rows[f"crop_{side}"] = rng.choice([8, 9], count)
        for name in ("jitter", "hls_on", "pca_on"):
            rows[name] = rng.random(count) < 0.1
        larger = rng.random(count) < 0.3
        headers["height"] = np.where(larger, rows["src_h"].astype(np.int64) + 1, rows["src_h"])
        headers["width"] = rows["src_w"]
        lengths, known = rng.choice([-1, 0, 5], count), rng.choice([0, 99], count)
        scales = rng.choice([1, 1, 1, 2], count)
        asked = rows, headers, *(one.astype(np.int64) for one in (lengths, known, scales))
        needs = Needs(*look_at(*asked, H, W))
        assert needs == asked_one_by_one(*asked)
        seen |= {(name, value > 0) for name, value in needs._asdict().items()}
    if count:  # each of them, and that it is not needed
        every = {(name, yes) for name in Needs._fields for yes in (False, True)}
        assert every - seen <= {("widest", False), ("most", False)}
    else:
        assert needs == Needs(0, 0, 0, 0, 0, 0)
