"""Buffers are used again, and never while somebody holds one."""

import gc

import numpy as np

from gpuio.backend import HostPool

SHAPE = (4, 3, 8, 8)


def address(array):
    return array.ctypes.data


def test_a_buffer_nobody_holds_is_used_again():
    pool = HostPool(keep=2)
    first = pool.array(SHAPE, np.float32)
    place = address(first)
    del first
    assert address(pool.array(SHAPE, np.float32)) == place


def test_a_held_array_keeps_its_buffer():
    pool = HostPool(keep=2)
    first = pool.array(SHAPE, np.float32)
    first[:] = 7
    for _ in range(5):
        other = pool.array(SHAPE, np.float32)
        other[:] = 1
    assert (first == 7).all()


def test_a_view_and_a_dlpack_export_keep_the_buffer():
    pool = HostPool(keep=2)
    first = pool.array(SHAPE, np.float32)
    place = address(first)
    view = first[2:, 1]
    exported = np.from_dlpack(first)
    del first
    gc.collect()
    assert address(pool.array(SHAPE, np.float32)) != place
    del view
    assert address(pool.array(SHAPE, np.float32)) != place
    del exported
    assert address(pool.array(SHAPE, np.float32)) == place


def test_no_more_free_buffers_are_kept_than_asked_for():
    pool = HostPool(keep=2)
    many = [pool.array(SHAPE, np.uint8) for _ in range(6)]
    del many
    assert sum(map(len, pool._free.buffers.values())) == 2


def test_arrays_are_aligned_and_outlive_a_closed_pool():
    pool = HostPool(keep=2)
    array = pool.array((3, 5), np.uint8)
    assert address(array) % 64 == 0
    array[:] = 3
    pool.close()
    assert (array == 3).all()
    del array
    assert not pool._free.buffers.get(15 + 64)
