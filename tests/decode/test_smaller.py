"""Sizes of images that are made smaller, and the images."""

import numpy as np
import pytest

from gpuio.decode.smaller import smaller, smaller_sizes


@pytest.mark.parametrize(
    ("size", "edge", "expected"),
    [
        ((375, 500), 256, (256, 341)),
        ((500, 375), 256, (341, 256)),
        ((100, 500), 256, (100, 500)),
        ((256, 500), 256, (256, 500)),
        ((3, 60_000), 1, (1, 20_000)),
        ((400, 400), 0, (400, 400)),
        ((0, 0), 10, (0, 0)),
    ],
)
def test_the_shorter_edge_is_at_most_so_long(size, edge, expected):
    height, width = (np.array([one, 5], np.int32) for one in size)
    made = smaller_sizes(height, width, edge)
    assert tuple(int(one[0]) for one in made) == expected
    assert made[0].dtype == np.int32
    if edge > 5:
        assert (made[0][1], made[1][1]) == (5, 5)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_pixel_is_the_mean_of_what_it_covers(channels):
    image = np.random.default_rng(0).integers(0, 256, (40, 60, channels), np.uint8)
    made = smaller(image, 20, 30)
    mean = image.reshape(20, 2, 30, 2, channels).mean(axis=(1, 3))
    assert made.shape == (20, 30, channels)
    assert np.abs(made - mean).max() <= 0.5
    assert smaller(image, 40, 60) is image
