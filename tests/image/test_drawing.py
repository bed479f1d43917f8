from __future__ import annotations

import numpy as np
import pytest

from gpuio.errors import BackendError
from gpuio.image import drawing
from gpuio.image.draws import as_draws
from gpuio.image.recipes import MEAN, STD


def style(**keywords):
    fields = {"color": (1, 2, 3), "thickness": 1, "mean": None, "std": None, "clip": True}
    return drawing.BoxStyle(**{**fields, "id2labels": None, "draws": as_draws(0), **keywords})


BOX = np.array([[0, 0.25, 0.25, 0.75, 0.75]])


def test_a_normalisation_is_undone_and_channels_swapped():
    row = np.zeros((3, 8, 8), np.float32)
    row[0] = 1
    picture = drawing.draw_boxes(row, BOX[:0], style(mean=True, std=True))
    assert picture[0, 0].tolist() == [int(MEAN[2]), int(MEAN[1]), int(MEAN[0] + STD[0])]


def test_clipping_can_be_left_out():
    row = np.full((3, 8, 8), 300, np.float32)
    assert (drawing.draw_boxes(row, BOX[:0], style()) == 255).all()


def test_boxes_are_drawn_in_the_colour_given_as_r_g_b():
    picture = drawing.draw_boxes(np.zeros((3, 8, 8), np.float32), BOX, style())
    assert picture[2, 2].tolist() == [3, 2, 1]
    assert picture[0, 0].tolist() == [0, 0, 0]


def test_boxes_that_start_left_of_the_image_are_left_out():
    box = BOX - [0, 0.5, 0, 0, 0]
    assert not drawing.draw_boxes(np.zeros((3, 8, 8), np.float32), box, style()).any()


def test_random_colours_repeat_with_their_generator():
    row = np.zeros((3, 8, 8), np.float32)
    first = drawing.draw_boxes(row, BOX, style(color=None, draws=as_draws(1)))
    assert np.array_equal(first, drawing.draw_boxes(row, BOX, style(color=None, draws=as_draws(1))))
    assert not np.array_equal(
        first, drawing.draw_boxes(row, BOX, style(color=None, draws=as_draws(2)))
    )


def test_an_opencv_without_windows_says_what_to_install(monkeypatch):
    import cv2

    def refuse(*_):
        raise cv2.error("not implemented")

    monkeypatch.setattr(cv2, "imshow", refuse, raising=False)
    with pytest.raises(BackendError, match="opencv-python instead"):
        drawing.show(np.zeros((2, 2, 3), np.uint8), "window", 1)
