"""mx.random: MXNet 1.9.1's numbers for its seeds (its CPU build), and nobody else's generator."""

import random

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import OptionError
from gpuio.nd import NDArray

UNIFORM = "0.52383333 0.05501367 0.03996297 0.59453225 0.18596531 0.6903532 0.7727907 0.98788726"

LONG = [9.723060607910156, 77.08800506591797, 218.82400512695312, 144.14895629882812]


def test_uniform_numbers_are_mxnets_to_the_bit():
    mx.random.seed(1)
    expected = np.array(UNIFORM.split(), np.float32)
    assert mx.nd.random.uniform(shape=3).tolist() == expected[:3].tolist()
    assert mx.random.uniform(shape=(5,)).tolist() == expected[3:].tolist()
    mx.random.seed(1)
    assert mx.random.uniform(shape=8).tolist() == expected.tolist()


def test_long_arrays_take_a_stretch_of_every_state():
    mx.random.seed(128)
    made = mx.nd.random.uniform(0, 255, shape=(300, 500))
    assert made.shape == (300, 500)
    # MXNet: mx.nd.random.uniform(0, 255, shape=(300, 500)) after seed 128
    assert made[0, :2].tolist() + made[299, 498:].tolist() == LONG


def test_normal_numbers_are_mxnets_within_a_logarithms_last_bits():
    mx.random.seed(1)
    made = mx.nd.random.normal(shape=(3,))
    assert np.allclose(made, [-0.6776515, 0.10073948, 0.5759544], rtol=3e-7)
    mx.random.seed(1)
    wide = mx.nd.random.normal(shape=4, dtype="float64")
    assert np.allclose(wide, [0.1277556, -0.02978801, -2.1338758, 0.9517113], rtol=1e-6)
    many = mx.nd.random.normal(2, 3, shape=(100, 1000))
    assert abs(many.mean() - 2) < 0.05
    assert abs(np.std(many) - 3) < 0.05


def test_what_is_drawn_first_is_consumed():
    """MXNet: two uniform, four normal, then these uniform numbers."""
    mx.random.seed(1)
    mx.random.uniform(shape=2)
    assert np.allclose(
        mx.random.normal(shape=4), [0.10073948, 0.5759544, -0.3469252, -0.22134334], rtol=1e-6
    )
    found = mx.random.uniform(shape=3)
    assert found.tolist() == np.array([0.44139475, 0.4481566, 0.7155492], np.float32).tolist()


def test_whole_numbers_are_mxnets():
    mx.random.seed(1)
    assert mx.nd.random.randint(0, 10, shape=(6,)).tolist() == [6, 8, 5, 3, 4, 3]
    mx.random.seed(1)
    made = mx.random.randint(0, 2**40, shape=2, dtype="int64")
    assert (made.tolist(), made.dtype) == ([431880495164, 762762708060], np.int64)
    assert mx.random.randint(0, 10).dtype == np.int32


def test_a_seed_is_an_int_and_counts_by_its_lowest_32_bits():
    first = [mx.random.seed(-3), mx.random.uniform().tolist()][1]
    assert first == [mx.random.seed(2**32 - 3, ctx=mx.cpu()), mx.random.uniform().tolist()][1]
    assert first != [mx.random.seed(np.int64(4), ctx="all"), mx.random.uniform().tolist()][1]
    for wrong in (1.5, "1", True, None):
        with pytest.raises(ValueError, match="seed_state must be int"):
            mx.random.seed(wrong)


def test_nothing_else_draws_from_it_and_it_draws_from_nothing_else():
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    expected = np.random.rand(), random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    mx.random.seed(5)
    mx.random.uniform(shape=100)
    assert (np.random.rand(), random.random()) == expected  # noqa: NPY002
    mx.random.seed(1)
    list(mx.io.NDArrayIter(np.arange(9), shuffle=True))
    assert mx.random.uniform().tolist() == [np.float32(0.52383333)]


def test_shapes_types_and_outputs():
    assert mx.random.uniform().shape == (1,)
    assert mx.random.uniform(shape=()).shape == ()
    assert mx.random.uniform(shape=0).shape == (0,)
    assert mx.random.normal(shape=0).shape == (0,)
    assert mx.random.normal(shape=(2, 3), dtype="float16").dtype == np.float16
    out = mx.nd.zeros((2, 3))
    assert mx.random.uniform(1, 2, out=out) is out
    assert type(out) is NDArray
    assert 1 <= out.min() <= out.max() < 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mx.random.uniform(np.zeros(2), 1), "arrays of parameters"),
        (lambda: mx.random.normal(0, mx.nd.ones(2)), "arrays of parameters"),
        (lambda: mx.random.uniform(dtype="int32"), "dtype=int32"),
        (lambda: mx.random.randint(0, 5, dtype="float32"), "dtype=float32"),
        (lambda: mx.random.randint(5, 5), "is empty"),
        (lambda: mx.random.randint(0, 2**40), "not of int32"),
    ],
)
def test_what_is_not_here_is_refused(call, words):
    with pytest.raises(OptionError, match=words):
        call()
