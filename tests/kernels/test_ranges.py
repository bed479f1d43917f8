"""Ranges of a file in one compiled call: where each lies, and which one could not be read."""

import os
import resource
import sys
import time

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuio.kernels import ranges
from gpuio.kernels.ranges import lay_out, read_ranges, scatter

DATA = np.random.default_rng(0).integers(0, 256, 5000, np.uint8)


@pytest.fixture(scope="module")
def descriptor(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranges") / "data.bin"
    path.write_bytes(DATA.tobytes())
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


@given(
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 1000)), max_size=30),
    st.integers(0, 300),
)
def test_every_range_is_where_it_is_said_to_be(descriptor, ranges, gap):
    begin = np.array([at for at, _ in ranges], np.int64)
    length = np.array([size for _, size in ranges], np.int64)
    end = begin + length
    low, high, place = np.full((3, len(ranges)), -1, np.int64)
    order = begin.argsort(kind="stable")
    reads, nbytes = lay_out(begin, length, order, gap, low, high, place)
    low, high = low[:reads], high[:reads]
    assert nbytes == (high - low).sum()
    assert (low[1:] - high[:-1] > gap).all()
    covered = np.zeros(5000, bool)
    for first, stop in zip(low, high, strict=True):
        covered[first:stop] = True
    for first, stop in zip(begin, end, strict=True):
        assert covered[first:stop].all()
    memory = np.zeros(int((high - low).sum()), np.uint8)
    assert read_ranges(descriptor, low, high, 0, memory)[0] == reads
    for at, first, stop in zip(place, begin, end, strict=True):
        assert (memory[at : at + stop - first] == DATA[first:stop]).all()


def test_the_first_read_that_fails_is_named(descriptor):
    low, high = np.array([0, 4990, 100]), np.array([10, 5001, 110])
    memory = np.zeros(31, np.uint8)
    assert read_ranges(descriptor, low, high, 0, memory)[0] == 1  # the file ends in it
    assert (memory[:10] == DATA[:10]).all()
    assert (memory[21:] == 0).all()
    assert read_ranges(descriptor, low, high, 2, memory)[0] == 3
    assert (memory[21:] == DATA[100:110]).all()
    assert read_ranges(-1, low, high, 0, memory)[0] == 0


def test_pieces_of_memory_are_copied_to_their_places():
    memory = np.zeros(300, np.uint8)
    length = np.array([7, 0, 100, 1])
    source = DATA.ctypes.data + np.array([5, 4000, 1000, 4999])
    scatter(source, length, memory.ctypes.data + np.array([200, 0, 10, 299]))
    expected = np.zeros(300, np.uint8)
    expected[200:207], expected[10:110], expected[299] = DATA[5:12], DATA[1000:1100], DATA[4999]
    assert (memory == expected).all()


@pytest.mark.skipif(sys.platform != "linux", reason="no system else tells of a thread's waits")
def test_it_tells_how_often_the_thread_waited(descriptor):
    low, high = np.array([0, 4000]), np.array([1000, 5000])
    memory = np.zeros(2000, np.uint8)
    # it was just written; what the system does beside that may make one try wait
    assert (2, 0) in [read_ranges(descriptor, low, high, 0, memory) for _ in range(10)]

    def dropped():
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def pythons():
        dropped()
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        os.pread(descriptor, 5000, 0)
        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before

    def ours():
        dropped()
        return read_ranges(descriptor, low, high, 0, memory)[1]

    os.fsync(descriptor)
    both = [(pythons(), ours()) for _ in range(20)]
    if sum(python > 0 for python, _ in both) < 10:
        pytest.skip("the file lies in memory, or on a disk that is hardly waited for")
    assert any(waits > 0 for _, waits in both)


@numba.njit
def waited():
    return ranges._waits()


@pytest.mark.skipif(sys.platform != "linux", reason="no system else tells of a thread's waits")
def test_its_waits_are_those_that_the_system_tells_of():
    def waits():
        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw

    waited()
    for _ in range(3):
        before, now, after = waits(), waited(), waits()
        assert before <= now <= after
        time.sleep(1e-3)
    assert waited() > before
