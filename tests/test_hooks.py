"""What a lower layer calls of a higher one is there, and loaded when it is called."""

import importlib
import subprocess
import sys

import pytest

import gpuio
from gpuio import hooks
from gpuio.nd import gpu, zeros


@pytest.mark.parametrize("place", hooks._PLACES.values())
def test_a_place_is_a_function(place):
    module, _, function = place.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_an_array_is_put_on_a_device_by_the_backend_of_that_device(monkeypatch):
    asked = []

    class Device:
        def put(self, array):
            return ("on the device", array)

    monkeypatch.setattr(gpuio.backend, "array_backend", lambda n: asked.append(n) or Device())
    array = zeros((2,))
    assert array.as_in_context(gpu(3)) == ("on the device", array)
    assert asked == [3]


def test_arrays_load_no_backend_until_then():
    code = "import sys, gpuio.nd\nassert 'gpuio.backend' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
