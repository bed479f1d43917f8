from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuio import nd
from gpuio.errors import MXNetError, OptionError
from gpuio.image import ops
from gpuio.image.geometry import Crop, Resize
from gpuio.kernels.plan.layout import CUBIC
from support.reference import resize

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def test_a_cubic_resize_of_bytes_is_the_kernels_reference():
    for channels in (1, 3, 4):
        source = np.ascontiguousarray(np.dstack([IMAGE, IMAGE[:, :, :1]])[:, :, :channels])
        for h, w in ((11, 17), (60, 50), (30, 17)):
            made = ops.imresize(source, w, h, 2)
            expected = resize(source, h, w, CUBIC)
            assert np.array_equal(np.asarray(made), expected)


def test_a_cubic_resize_to_the_same_size_is_a_copy():
    made = ops.imresize(IMAGE, 40, 30, 2)
    assert np.array_equal(made, IMAGE)
    made[0, 0] = 0
    assert IMAGE[0, 0].any()


def test_resizing_keeps_any_number_of_channels():
    assert ops.imresize(IMAGE[:, :, :1], 7, 5).shape == (5, 7, 1)
    assert ops.imresize(np.zeros((9, 9, 5), np.uint8), 7, 5).shape == (5, 7, 5)


@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        (IMAGE[:, :, 0], (7, 5)),
        (IMAGE, (0, 5)),
        (IMAGE, (7, 2.5)),
        (IMAGE, (7, 5, 9)),
        (IMAGE.astype(np.float16), (7, 5)),
        (IMAGE.astype(np.int64), (7, 5)),
    ],
)
def test_a_resize_that_cannot_be_is_an_mxnet_error(source, arguments):
    with pytest.raises(MXNetError):
        ops.imresize(source, *arguments)


def test_out_is_written_and_checked():
    out = nd.zeros((5, 7, 3), dtype="uint8")
    assert ops.imresize(IMAGE, 7, 5, out=out) is out
    assert np.array_equal(out, ops.imresize(IMAGE, 7, 5))
    with pytest.raises(OptionError, match="out is"):
        ops.imresize(IMAGE, 8, 5, out=out)


def test_a_crop_shares_no_memory_with_its_source():
    made = ops.fixed_crop(IMAGE, 3, 4, 5, 6)
    assert np.array_equal(made, IMAGE[4:10, 3:8])
    assert not np.shares_memory(made, IMAGE)


@pytest.mark.parametrize("window", [(-1, 0, 5, 5), (0, -1, 5, 5), (40, 0, 5, 5), (0, 30, 5, 5)])
def test_a_window_outside_the_image_is_an_error(window):
    with pytest.raises(OptionError, match="holds none"):
        ops.fixed_crop(IMAGE, *window)


def test_the_same_rng_gives_the_same_crop_and_does_not_touch_the_global_one():
    import random

    random.seed(1)
    before = random.getstate()
    first = ops.random_crop(IMAGE, (10, 10), rng=5)
    assert first[1] == ops.random_crop(IMAGE, (10, 10), rng=5)[1]
    ops.random_size_crop(IMAGE, (10, 10), 0.2, (0.5, 2), rng=np.random.default_rng(1))
    assert random.getstate() == before


def test_min_area_is_the_old_name_of_area():
    with pytest.warns(DeprecationWarning, match="min_area"):
        old = ops.random_size_crop(IMAGE, (9, 9), 0.9, (1, 1), min_area=0.1, rng=3)
    assert old[1] == ops.random_size_crop(IMAGE, (9, 9), 0.1, (1, 1), rng=3)[1]
    with pytest.raises(AssertionError, match="unexpected keyword"):
        ops.random_size_crop(IMAGE, (9, 9), 0.1, (1, 1), max_area=0.1)


def test_normalising_works_in_place_on_floats_only():
    source = IMAGE.astype(np.float32)
    assert ops.color_normalize(source, np.array([1, 2, 3]), 2.0) is source
    assert np.allclose(source, (IMAGE - np.array([1.0, 2, 3])) / 2)
    with pytest.raises(OptionError, match="cast first"):
        ops.color_normalize(IMAGE.copy(), 5)


def test_a_single_border_value_serves_all_channels():
    made = ops.copyMakeBorder(IMAGE, 1, 0, 0, 0, values=(7,))
    assert (made[0] == 7).all()
    assert np.array_equal(made[1:], IMAGE)
    five = ops.copyMakeBorder(np.zeros((2, 2, 5), np.uint8), 1, 0, 0, 0, values=(1, 2, 3, 4, 5))
    assert five[0, 0].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "keywords", [{"values": (1, 2)}, {"top": -1}, {"type": 5}, {"out": np.zeros((2, 2, 3))}]
)
def test_a_border_that_cannot_be_is_an_mxnet_error(keywords):
    arguments = {"top": 1, "bot": 1, "left": 1, "right": 1, **keywords}
    with pytest.raises(MXNetError):
        ops.copyMakeBorder(IMAGE, **arguments)


@given(st.data())
def test_a_window_of_a_cubic_resize_is_the_resize_cropped(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    height, width, new_h, new_w = (draw(2, 90) for _ in range(4))
    channels = data.draw(st.sampled_from([1, 2, 3, 4]))  # 2: not by the kernel
    shape = height, width, channels
    source = np.random.default_rng(draw(0, 9)).integers(0, 256, shape, dtype=np.uint8)
    w, h = draw(1, new_w), draw(1, new_h)
    x, y = draw(0, new_w - w), draw(0, new_h - h)
    window = ops.resize_window(source, Resize(new_w, new_h, 2), Crop(x, y, w, h, None))
    whole = ops.imresize(source, new_w, new_h, 2)
    assert np.array_equal(window, whole[y : y + h, x : x + w])
    assert window.flags.owndata
