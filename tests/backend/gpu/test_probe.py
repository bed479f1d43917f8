"""probe and choose_engine: what is missing, in words and with the command that mends it."""

import subprocess
import sys

import pytest

from gpuio.backend.gpu.backend import GpuBackend
from gpuio.backend.gpu.engines import choose_engine
from gpuio.backend.gpu.probe import Driver, Gpu, Machine, gaps, survey
from gpuio.errors import BackendError, OptionError
from support.fake_device import FakeDevice

H100 = Gpu("NVIDIA H100", (9, 0), 80 << 30)
WHOLE = Machine(
    driver=Driver(cuda=(13, 0), version="580.65", gpus=(H100,), video=True),
    cupy=("cupy-cuda13x 14.2.0",),
    dali="2.4.0",
    nvimgcodec="0.9.0",
    nvrtc="/lib/libnvrtc.so.13",
)


def but(**changes):
    import attrs

    return attrs.evolve(WHOLE, **changes)


def driver(**changes):
    import attrs

    return but(driver=attrs.evolve(WHOLE.driver, **changes))


def test_a_whole_machine_has_no_gaps():
    assert gaps(WHOLE, 0) == []


@pytest.mark.parametrize(
    ("machine", "device_id", "what", "mend"),
    [
        (but(driver=Driver(trouble="libcuda.so.1 is not found")), 0, "libcuda.so.1", "--gpus all"),
        (
            but(
                driver=Driver(cuda=(11, 8), version="520.1", gpus=(H100,)),
                cupy=("cupy-cuda12x 13.6.0",),
            ),
            0,
            "runs CUDA 11.8",
            "525 or newer",
        ),
        (WHOLE, 1, "GPU 1 does not exist: the driver shows 1", "from 0 to 0"),
        (driver(gpus=()), 0, "the driver shows 0", "CUDA_VISIBLE_DEVICES"),
        (but(cupy=()), 0, "CuPy is not installed", "gpuio[cuda13]"),
        (
            but(cupy=("cupy-cuda12x 13.6.0", "cupy-cuda13x 14.2.0")),
            0,
            "2 CuPy packages",
            "pip uninstall -y cupy-cuda12x cupy-cuda13x",
        ),
        (driver(cuda=(12, 4)), 0, "needs a driver for CUDA 13", "gpuio[cuda12]"),
        (but(nvrtc=""), 0, "NVRTC", "cupy-cuda13x[ctk]"),
        (but(dali="", nvimgcodec=""), 0, "no decode engine", "gpuio[cuda13]"),
    ],
)
def test_each_gap_is_named_with_what_mends_it(machine, device_id, what, mend):
    (gap,) = gaps(machine, device_id)
    assert what in gap.what
    assert mend in gap.mend


def test_a_bare_machine_names_every_gap_driver_first():
    found = gaps(Machine(Driver(trouble="libcuda.so.1 is not found")), 0)
    assert [gap.what.split(":")[0] for gap in found] == [
        "no CUDA driver",
        "CuPy is not installed",
        "no decode engine",
    ]


def test_one_decode_engine_is_enough():
    assert gaps(but(dali=""), 0) == []
    assert gaps(but(nvimgcodec=""), 0) == []


def test_survey_loads_none_of_what_it_looks_for():
    script = (
        "import sys; from gpuio.backend.gpu.probe import survey; survey(); "
        "heavy = ('cupy', 'nvidia.dali', 'nvidia.nvimgcodec', 'torch'); "
        "print([module for module in heavy if module in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    assert said.strip() == b"[]"


@pytest.mark.parametrize(
    ("name", "machine", "taken"),
    [
        ("auto", WHOLE, "dali"),
        ("auto", but(dali=""), "nvimgcodec"),
        ("auto", but(dali="", nvimgcodec=""), ""),
        ("nvimgcodec", WHOLE, "nvimgcodec"),
    ],
)
def test_the_engine_taken_comes_with_its_reason(name, machine, taken):
    engine, why = choose_engine(name, machine)
    assert engine == taken
    assert why


def test_an_unknown_engine_is_refused_with_the_known_ones():
    with pytest.raises(OptionError, match="auto, dali, nvimgcodec"):
        choose_engine("turbo", WHOLE)


def test_the_backend_logs_the_decoder_it_takes_and_why(monkeypatch, caplog):
    monkeypatch.setattr("gpuio.backend.gpu.backend.survey", lambda: WHOLE)
    monkeypatch.setattr("gpuio.backend.gpu.cuda.CudaDevice", lambda number: FakeDevice())

    class Engine:
        name, uses_arena = "one", True

        def close(self):
            pass

    with caplog.at_level("INFO", logger="gpuio"):
        GpuBackend(0, open_engine=Engine).close()
    assert "GPU 0 decodes with dali: DALI 2.4.0 is installed" in caplog.text


def test_the_backend_says_the_same_gaps():
    found = gaps(survey(), 0)
    if not found:
        pytest.skip("this machine has a usable GPU")
    with pytest.raises(BackendError) as error:
        GpuBackend(0)
    for gap in found:
        assert gap.what in str(error.value)
        assert gap.mend in str(error.value)
