"""nd: what any batch's array becomes on the host."""

import numpy as np

from gpuio.nd import NDArray, asnumpy, host_array


class OnDevice:
    """A device array as MXNet or CuPy have it: one word brings it to the host."""

    dtype = np.dtype(np.float32)

    def __init__(self, word):
        setattr(self, word, lambda: np.arange(3, dtype=np.float32))


def test_a_host_array_becomes_plain_numpy_over_the_same_memory():
    array = host_array(np.arange(4.0))
    plain = asnumpy(array)
    assert isinstance(array, NDArray)
    assert type(plain) is np.ndarray
    assert np.shares_memory(plain, array)


def test_a_device_array_is_fetched_by_its_own_word():
    for word in ("asnumpy", "get"):
        fetched = asnumpy(OnDevice(word))
        assert type(fetched) is np.ndarray
        assert fetched.tolist() == [0, 1, 2]


def test_anything_array_like_is_taken():
    assert asnumpy([[1, 2], [3, 4]]).shape == (2, 2)
    assert asnumpy({"get": 1}).shape == ()
