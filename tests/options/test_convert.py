"""Numbers are understood as MXNet's parser understands their texts."""

from pathlib import Path

import numpy as np
import pytest

from gpuio.options.convert import mxnet_float32, path_or_switch, within, word_or


@pytest.mark.parametrize(
    ("value", "whole", "fraction"),
    [(1.195, 1, 0.195), (1.343, 1, 0.343), (123.68, 123, 0.68), (-0.25, 0, -0.25), (7.0, 7, 0)],
)
def test_whole_part_and_fraction_are_rounded_apart(value, whole, fraction):
    assert mxnet_float32(value) == np.float32(whole) + np.float32(fraction)


def test_some_numbers_are_not_the_nearest():
    # what MXNet 1.9.1 subtracts for mean_r=1.195, and the nearest float32
    assert mxnet_float32(1.195).tobytes() != np.float32(1.195).tobytes()
    assert abs(mxnet_float32(1.195) - 1.195) < 1.2e-7


@pytest.mark.parametrize("value", [0.0, 1e-5, 3.3e-7, 1.5e10, 12345.678, 0.017, 1e30])
def test_exponents_are_near(value):
    assert mxnet_float32(value) == pytest.approx(value, rel=3e-7)


def test_infinity_stays():
    assert mxnet_float32(float("inf")) == np.inf


@pytest.mark.parametrize(
    ("value", "held"),
    [
        (False, ""),
        (None, ""),
        ("", ""),
        ("False", ""),
        (True, True),
        ("True", True),
        ("1", True),
        (Path("/a/b"), "/a/b"),
        ("/a;/b", "/a;/b"),
        (["/a", Path("b")], ("/a", f"{Path.cwd()}/b")),
    ],
)
def test_a_path_or_a_switch(value, held):
    assert path_or_switch(value) == held
    assert path_or_switch(str(path_or_switch(value)) if held is True else held) == held


def test_a_word_or_a_number():
    share = word_or("auto", within(0.0, 1.0))
    assert [share(each) for each in ("auto", " Auto ", "0.5", 1, 0)] == ["auto", "auto", 0.5, 1, 0]
    for wrong in ("automatic", "2", 1.5, None, True, float("nan")):
        with pytest.raises(ValueError, match=r"expected .*; or 'auto'"):
            share(wrong)
