"""Marks: what needs a GPU is skipped without one, unless the job says that it must have one."""

import os
import signal

import pytest

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # the tests that need a GPU run without it, too
    pass
else:
    # machines are shared and slow: how long an example takes says nothing. The examples are the
    # same in every run, so that what passes here passes there; GPUIO_LONG=1 draws new ones
    settings.register_profile(
        "gpuio",
        deadline=None,
        derandomize=os.environ.get("GPUIO_LONG") != "1",
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("gpuio")


_SIMULATED = os.environ.get("GPUIO_SIMULATED_CUDA") == "1"


def pytest_configure():
    """Put the simulated CUDA under CuPy if the run asks for it."""
    if _SIMULATED:
        from simulated_cuda.install import install

        install()


def pytest_report_header():
    """Say by which seed a run on the simulated CUDA can be repeated."""
    if _SIMULATED:
        seed = os.environ.get("GPUIO_REHEARSAL_SEED", "0")
        return f"simulated CUDA: GPUIO_REHEARSAL_SEED={seed}"
    return None


@pytest.fixture(autouse=_SIMULATED)
def _nothing_that_cuda_refuses():
    """Fail a test that made a call which CUDA would have refused or crashed on."""
    from simulated_cuda.install import complaint, simulator

    simulator().sim_forgive()
    yield
    assert complaint() == ""


def pytest_collection_modifyitems(items):
    """Skip tests marked `gpu` where no GPU can be used; GPUIO_REQUIRE_GPU=1 lets them fail."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked or os.environ.get("GPUIO_REQUIRE_GPU") == "1":
        return
    from gpuio.backend.gpu.probe import missing_for_gpu

    gaps = missing_for_gpu(0)
    if gaps:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"no usable GPU: {gaps[0].what}"))


# a runner may start us with interrupts ignored (a background job of a shell): tests send some, and
# what we start inherits the disposition
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
