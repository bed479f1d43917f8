from __future__ import annotations

import numpy as np
import pytest

from gpuio.image import imrotate, random_rotate

IMAGE = np.random.default_rng(0).random((2, 9, 9), np.float32)


def test_quarter_turns_are_counter_clockwise():
    for turns in range(5):
        made = imrotate(IMAGE, 90 * turns)
        assert np.allclose(made, np.rot90(IMAGE, turns, (1, 2)), atol=1e-6)


def test_zooming_out_keeps_all_and_zooming_in_leaves_no_hole():
    ones = np.ones((1, 21, 31), np.float32)
    assert (imrotate(ones, 30, zoom_in=True)[0, 1:-1, 1:-1] > 0.99).all()
    assert imrotate(ones, 30)[0, 0, 0] == 0
    assert imrotate(ones, 30, zoom_out=True).sum() < imrotate(ones, 30).sum()


def test_each_image_of_a_batch_has_its_angle():
    batch = np.stack([IMAGE, IMAGE])
    made = imrotate(batch, np.array([0.0, 90.0]))
    assert np.allclose(made[0], IMAGE, atol=1e-6)
    assert np.allclose(made[1], np.rot90(IMAGE, 1, (1, 2)), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((IMAGE.astype(np.float64), 5), TypeError),
        ((IMAGE, np.array([5.0])), TypeError),
        ((IMAGE[0], 5), ValueError),
        ((IMAGE, 5, True, True), ValueError),
        ((IMAGE[None], np.array([1.0, 2.0])), ValueError),
    ],
)
def test_what_cannot_be_rotated_is_refused(arguments, error):
    with pytest.raises(error):
        imrotate(*arguments)


def test_random_angles_lie_in_their_limits_and_repeat_with_their_rng():
    batch = np.stack([IMAGE, IMAGE])
    first = random_rotate(batch, (10, 11), rng=3)
    assert np.array_equal(first, random_rotate(batch, (10, 11), rng=3))
    assert not np.array_equal(first[0], first[1])
    assert np.allclose(random_rotate(IMAGE, (90, 90)), np.rot90(IMAGE, 1, (1, 2)), atol=1e-6)
