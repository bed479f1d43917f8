"""Contexts: which one new arrays take, how many GPUs there are, and who says so."""

import threading

import pytest

import gpuio as mx
from gpuio.backend.gpu import probe
from gpuio.errors import OptionError


def test_a_with_makes_a_context_the_default():
    assert mx.current_context() == mx.context.current_context() == mx.cpu()
    with mx.Context("cpu", 2) as outer:
        assert mx.current_context() == outer == mx.cpu(2)
        with mx.cpu_pinned():
            assert mx.current_context() == mx.cpu_pinned(0)
        assert mx.current_context() is outer
        seen = []
        other = threading.Thread(target=lambda: seen.append(mx.current_context()))
        other.start()
        other.join()
        assert seen == [mx.cpu()]
    assert mx.current_context() == mx.cpu()
    with pytest.raises(KeyError), mx.cpu(1):
        raise KeyError
    assert mx.current_context() == mx.cpu()


def test_arrays_are_made_in_the_default_context(monkeypatch):
    put = []
    monkeypatch.setattr("gpuio.nd.arrays.put", lambda array, context: put.append(context) or array)
    with mx.gpu(1):
        mx.nd.zeros(1)
        mx.nd.array([1])
        mx.nd.random.uniform()
        mx.nd.ones(1, ctx=mx.cpu())
    assert put == [mx.gpu(1)] * 3 + [mx.cpu()]


def test_the_gpus_are_those_that_the_driver_shows(monkeypatch):
    gpus = (probe.Gpu("one", (9, 0), 1), probe.Gpu("two", (9, 0), 1))
    monkeypatch.setattr(probe, "_driver", lambda: probe.Driver(gpus=gpus))
    assert mx.num_gpus() == mx.context.num_gpus() == 2
    assert list(mx.test_utils.list_gpus()) == [0, 1]
    monkeypatch.setattr(probe, "_driver", lambda: probe.Driver(trouble="libcuda.so.1 is not found"))
    assert mx.num_gpus() == 0
    assert not mx.test_utils.list_gpus()


def test_another_kind_of_device_is_refused():
    with pytest.raises(OptionError, match=r"expected 'cpu', 'cpu_pinned' or 'gpu'$"):
        mx.Context("tpu")
