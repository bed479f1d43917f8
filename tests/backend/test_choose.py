"""ctx='auto' takes a GPU that opens, else the CPU; ctx='gpu' says why it does not open."""

import logging
import weakref

import numpy as np
import pytest

from gpuio.backend import array_backend, open_backend
from gpuio.backend.gpu.probe import Driver, Gpu, Machine, gaps
from gpuio.decode.engine import OutOfDeviceMemoryError
from gpuio.errors import BackendError, OptionError
from gpuio.io import ImageRecordIter
from support.fake_device import FakeDevice
from support.leaks import left, threads
from support.making import write_rec
from support.pictures import jpeg, picture


class Engine:
    name, uses_arena = "one", False

    def __init__(self, *args, **settings):
        pass

    def close(self):
        pass


@pytest.fixture
def machine(monkeypatch):
    """A machine that lacks nothing, its GPU a fake device; return the devices that were opened."""
    opened = weakref.WeakSet()

    def device(number, **settings):
        made = FakeDevice()
        opened.add(made)
        return made

    monkeypatch.setattr("gpuio.backend.gpu.probe.missing_for_gpu", lambda device_id: [])
    monkeypatch.setattr("gpuio.backend.gpu.backend.survey", lambda: None)
    monkeypatch.setattr("gpuio.backend.gpu.backend.gaps", lambda machine, device_id: [])
    monkeypatch.setattr(
        "gpuio.backend.gpu.backend.choose_engine", lambda name, machine: ("dali", "a test")
    )
    monkeypatch.setattr("gpuio.backend.gpu.cuda.CudaDevice", device)
    monkeypatch.setattr("gpuio.decode.dali.DaliEngine", Engine)
    return opened


def raising(kind, text):
    def opener(*args, **settings):
        raise kind(text)

    return opener


DEVICE, ENGINE = "gpuio.backend.gpu.cuda.CudaDevice", "gpuio.decode.dali.DaliEngine"
FAILURES = {
    "CUDA error": (DEVICE, RuntimeError, "cudaErrorDevicesUnavailable: all devices are busy"),
    "kernels": (DEVICE, BackendError, "kernels do not compile or load"),
    "full device": (DEVICE, MemoryError, "out of memory allocating 512 bytes"),
    "no engine": (ENGINE, BackendError, "DALI made no pipeline:\n  no kernel image"),
    "full engine": (ENGINE, OutOfDeviceMemoryError, "DALI: CUDA_ERROR_OUT_OF_MEMORY"),
    "engine's CUDA error": (ENGINE, RuntimeError, "CUDA driver version is insufficient"),
}


@pytest.fixture(params=FAILURES, ids=str)
def failure(request, machine, monkeypatch):
    """Let the GPU fail to open; return the last word of the reason."""
    place, kind, text = FAILURES[request.param]
    monkeypatch.setattr(place, raising(kind, text))
    return text.split()[-1]


def test_a_gpu_that_opens_is_taken(machine, caplog):
    with caplog.at_level(logging.INFO, "gpuio"):
        backend = open_backend("auto")
    assert backend.name == "gpu"
    assert len(machine) == 1
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
    assert caplog.records[-1].getMessage() == "ctx='auto' takes GPU 0"
    backend.close()


def test_a_gpu_that_does_not_open_is_an_error_if_it_was_asked_for(failure, caplog):
    with pytest.raises(BackendError, match=failure):
        open_backend("gpu", keep=3, decoders=1)
    assert caplog.records == []


def test_auto_takes_the_cpu_then_and_warns_in_one_line(failure, caplog):
    backend = open_backend("auto", keep=3, decoders=1, hw_decoder_load=0.5)
    assert backend.name == "cpu"
    backend.close()
    (record,) = caplog.records
    said = record.getMessage()
    assert record.levelname == "WARNING"
    assert said.startswith("ctx='auto' takes the CPU, GPU 0 does not open: ")
    assert failure in said
    assert "(ctx='gpu' raises this; `gpuio doctor` shows the machine)" in said
    assert "\n" not in said


def test_a_failed_opening_leaves_nothing_behind(failure, machine):
    before = threads()
    for _ in range(20):
        open_backend("auto", keep=3).close()
    assert left(before) == []
    assert len(machine) == 0


def test_an_option_that_is_wrong_is_no_reason_to_take_the_cpu(machine, monkeypatch):
    monkeypatch.setattr(DEVICE, raising(OptionError, "decoder: expected one of"))
    with pytest.raises(OptionError, match="decoder"):
        open_backend("auto", decoder="turbo")


def test_an_iterator_of_a_gpu_that_does_not_open_gives_the_cpus_batches(failure, tmp_path, caplog):
    rec, idx = write_rec(tmp_path, [jpeg(picture(40, 50, seed=k)) for k in range(6)])
    seen = []
    for ctx in ("auto", "cpu"):
        with ImageRecordIter(
            path_imgrec=rec,
            path_imgidx=idx,
            data_shape=(3, 24, 24),
            batch_size=3,
            rand_crop=True,
            verbose=False,
            ctx=ctx,
        ) as it:
            seen.append([batch.data[0].asnumpy() for batch in it])
    assert np.array_equal(*seen)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    with pytest.raises(BackendError, match=failure):
        ImageRecordIter(
            path_imgrec=rec, path_imgidx=idx, data_shape=(3, 24, 24), batch_size=3, ctx="gpu"
        )


@pytest.fixture
def arrays():
    array_backend.cache_clear()
    yield array_backend
    array_backend.cache_clear()


def bare_machine(**found):
    """Return a machine with a GPU, and of all packages CuPy."""
    driver = Driver((13, 0), "580", (Gpu("one", (9, 0), 1 << 30),))
    return Machine(**{"driver": driver, "cupy": ("cupy-cuda13x 14.2.0",), **found})


def survey_finds(monkeypatch, found):
    for module in ("arrays", "backend"):
        name = f"gpuio.backend.gpu.{module}.survey"
        monkeypatch.setattr(name, lambda: found, raising=False)


def test_arrays_need_cupy_only_and_open_no_engine(machine, arrays, monkeypatch):
    survey_finds(monkeypatch, bare_machine())
    monkeypatch.setattr("gpuio.backend.gpu.backend.gaps", gaps)
    opened = []
    for name in ("dali.DaliEngine", "nvimgcodec.NvImageCodecEngine"):
        monkeypatch.setattr(f"gpuio.decode.{name}", lambda *args, **_: opened.append(args))
    values = np.arange(12, dtype=np.float32)
    assert np.array_equal(arrays(0).put(values).asnumpy(), values)
    assert arrays(0) is arrays(0)
    assert opened == []


def test_arrays_name_what_is_missing_and_no_engine(arrays, monkeypatch):
    survey_finds(monkeypatch, bare_machine(cupy=()))
    with pytest.raises(BackendError, match="CuPy is not installed") as raised:
        arrays(0)
    assert "decode engine" not in str(raised.value)
    survey_finds(monkeypatch, bare_machine())
    with pytest.raises(BackendError, match="GPU 3 does not exist"):
        arrays(3)
