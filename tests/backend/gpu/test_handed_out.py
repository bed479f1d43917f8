"""Arrays that leave gpuio are complete: whoever reads one at once, on any stream, reads it."""

import os

import numpy as np
import pytest

import gpuio as mx
from gpuio.backend.choose import CPU_ONLY
from gpuio.backend.gpu.backend import GpuBackend
from gpuio.decode.nvimgcodec import NvImageCodecEngine
from support import device_arrays
from support.fake_device import FakeArray, FakeDevice


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return device_arrays.write(tmp_path_factory.mktemp("handed-out"))


@pytest.fixture
def gpu(monkeypatch):
    """Let every GPU be a fake device, whose queued work runs when somebody waits for it."""
    pytest.importorskip("nvidia.nvimgcodec")
    from gpuio.backend import open_backend

    made = []

    def opened(name="gpu", device_id=0, **settings):
        if name != "gpu":
            return open_backend(name, device_id, **settings)
        given = {key: value for key, value in settings.items() if key not in CPU_ONLY}
        made.append(
            GpuBackend(
                device_id,
                device=FakeDevice(),
                open_engine=lambda: NvImageCodecEngine(None, 1),
                **given,
            )
        )
        return made[-1]

    arrays = opened()
    monkeypatch.setattr("gpuio.pipeline.opening.open_backend", opened)
    monkeypatch.setattr("gpuio.backend.array_backend", lambda device_id: arrays)
    yield mx.gpu(0)
    for backend in made:
        backend.close()


@pytest.mark.parametrize("name", device_arrays.MAKERS)
def test_what_is_read_at_once_is_what_the_host_has(gpu, folder, name):
    make = device_arrays.MAKERS[name]
    wanted = make(mx.cpu(), folder)
    got = make(gpu, folder)
    assert len(got) == len(wanted) > 0
    for ours, theirs in zip(got, wanted, strict=True):
        assert isinstance(ours, FakeArray)
        at_once = np.array(ours, subok=False)  # no method of ours is asked: nothing waits
        assert at_once.tobytes() == theirs.asnumpy().tobytes()


def test_the_list_above_has_every_public_function_that_is_told_a_context():
    listed = {name.split(" ")[0] for name in device_arrays.MAKERS}
    asked = {name.removeprefix("gpuio.") for name in device_arrays.asks_for_a_context()}
    assert asked - listed == set()


@pytest.mark.gpu
@pytest.mark.parametrize("delay_ms", [0, 2, 9])
@pytest.mark.parametrize("name", device_arrays.MAKERS)
def test_a_copy_on_the_default_stream_right_after_is_the_hosts(folder, name, delay_ms):
    import cupy

    simulated = os.environ.get("GPUIO_SIMULATED_CUDA") == "1"
    if simulated:
        from simulated_cuda import install

        install.set_up(1000 * delay_ms, seed=11 + delay_ms)
    make = device_arrays.MAKERS[name]
    wanted = make(mx.cpu(), folder)
    try:
        for _ in range(4):
            for ours, theirs in zip(make(mx.gpu(0), folder), wanted, strict=True):
                copied = cupy.empty(ours.shape, ours.dtype)
                copied.data.copy_from_device_async(ours.data, ours.nbytes, cupy.cuda.Stream.null)
                ours.data.memset_async(0xEE, ours.nbytes, cupy.cuda.Stream.null)  # for the next one
                assert copied.get().tobytes() == theirs.asnumpy().tobytes()
    finally:
        if simulated:
            install.set_up(200)
