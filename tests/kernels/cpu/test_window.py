"""A window of an image that is not resized is a copy, flipped or not."""

import numpy as np
import pytest

from gpuio.kernels.cpu import window
from gpuio.kernels.plan.layout import PLAN


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_crop_is_copied_at_every_width(channels, mirror):
    rng = np.random.default_rng(channels)
    taps, lanes, tail = np.empty(512, np.int32), np.empty(512, np.int16), np.empty(256, np.uint8)
    for width in range(1, 28):
        src_h, src_w = 5, width + width % 3
        image = rng.integers(0, 256, (src_h, src_w, channels), np.uint8)
        for x in range(src_w - width + 1):
            row = np.zeros(1, PLAN)
            row["src_h"], row["src_w"], row["mirror"] = src_h, src_w, mirror
            row["crop_y"], row["crop_x"], row["crop_h"], row["crop_w"] = 2, x, 3, width
            out = np.full(4 * 3 * width + 8, 9, np.uint8)
            made = out[: 4 * 3 * width]
            flat = image.reshape(-1)
            code = window.make_window(row, 0, flat, channels, 3, width, made, taps, lanes, tail)
            assert code == window.DONE
            want = np.zeros((3, width, 4), np.uint8)
            want[..., :channels] = image[2:, x : x + width][:, :: -1 if mirror else 1]
            assert made.tobytes() == want.tobytes()
            assert (out[4 * 3 * width :] == 9).all()
