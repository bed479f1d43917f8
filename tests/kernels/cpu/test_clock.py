"""The clock that compiled code reads is the system's."""

import time

import numba
import pytest

from gpuio.kernels.cpu import clock


@numba.njit
def read(address):
    return clock.now_ns(address)


@pytest.mark.skipif(not clock.clock_address(), reason="this C library has no such clock")
def test_it_is_pythons_clock_and_goes_forward():
    address = clock.clock_address()
    before = time.monotonic_ns()
    first, second = read(address), read(address)
    assert before <= first <= second <= time.monotonic_ns()


def test_without_it_nothing_is_timed(monkeypatch):
    monkeypatch.setattr(clock.ctypes, "CDLL", lambda name: object())
    assert clock.clock_address() == 0
