"""NVRTC is found where CuPy finds it, and loads with what it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gpuio
from gpuio.backend.gpu.probe import Driver, Gpu, gaps, survey
from gpuio.kernels.cuda.nvrtc import load, locate, unseen
from support.nvrtc import compile_only

PATHFINDER = """
class DynamicLibNotFoundError(RuntimeError):
    pass

class Loaded:
    abs_path = {path!r}

def load_nvidia_dynamic_lib(name):
    assert name == "nvrtc"
    if not Loaded.abs_path:
        raise DynamicLibNotFoundError(name)
    return Loaded
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that makes a machine: CuPy's version, and what its pathfinder says."""
    site, elsewhere = tmp_path / "site-packages", tmp_path / "elsewhere"
    wheel = elsewhere / "nvidia" / "cu13" / "lib" / "libnvrtc.so.13"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    monkeypatch.setattr("sys.path", [str(site), str(elsewhere)])
    for name in [name for name in sys.modules if name.partition(".")[0] == "cuda"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delenv("CUDA_PATH", raising=False)

    def made(cupy, found=None):
        if cupy:
            folder = site / f"{cupy[0].replace('-', '_')}-{cupy[1]}.dist-info"
            folder.mkdir(parents=True)
            (folder / "METADATA").write_text(f"Name: {cupy[0]}\nVersion: {cupy[1]}\n")
        if found is not None:
            package = site / "cuda" / "pathfinder"
            package.mkdir(parents=True)
            (package / "__init__.py").write_text(PATHFINDER.format(path=found))
        return str(wheel)

    yield made
    for name in [name for name in sys.modules if name.partition(".")[0] == "cuda"]:
        del sys.modules[name]


def test_cupy_14_asks_its_pathfinder_and_so_does_the_doctor(machine):
    machine(("cupy-cuda13x", "14.2.0"), found="/site/libnvrtc.so.13")
    assert locate() == "/site/libnvrtc.so.13"
    assert unseen() == ""


def test_a_library_on_the_path_of_python_is_none_that_cupy_14_finds(machine):
    wheel = machine(("cupy-cuda13x", "14.2.0"), found="")
    assert locate() == ""
    assert unseen() == wheel
    found = survey()
    gpu = Driver(cuda=(13, 0), gpus=(Gpu("one", (9, 0), 1 << 30),), video=True)
    found = type(found)(gpu, found.cupy, "2.4.0", "0.9.0", found.nvrtc, found.nvrtc_unseen)
    (gap,) = gaps(found, 0)
    assert gap.what.endswith(f"lies where cupy-cuda13x 14.2.0 does not look: {wheel}")
    assert f"LD_LIBRARY_PATH={wheel.rpartition('/')[0]}" in gap.mend


def test_cupy_14_without_its_pathfinder_finds_nothing(machine):
    machine(("cupy-cuda12x", "14.0.1"))
    assert locate() == ""


def test_cupy_13_asks_the_dynamic_loader_for_its_cudas_library(machine, monkeypatch):
    wheel = machine(("cupy-cuda12x", "13.6.0"), found="/not/asked")
    asked = []

    def loader(name):
        asked.append(name)
        if len(asked) < 2:
            raise OSError(name)

    monkeypatch.setattr("gpuio.kernels.cuda.nvrtc.ctypes.CDLL", loader)
    assert locate() == ""
    assert locate() == "libnvrtc.so.12"
    assert asked == ["libnvrtc.so.12"] * 2
    assert wheel


def test_without_cupy_libraries_of_wheels_are_found_where_a_package_hides_the_others(
    tmp_path, machine
):
    wheel = machine(None)
    hiding = tmp_path / "site-packages" / "nvidia"
    hiding.mkdir(parents=True)
    (hiding / "__init__.py").touch()
    assert locate() == wheel


def test_builtins_that_lie_beside_it_are_loaded_first(tmp_path, monkeypatch):
    for name in ("libnvrtc.so.13", "libnvrtc-builtins.so.13.0", "libnvrtc-builtins.alt.so.13.0"):
        (tmp_path / name).touch()
    loaded = []
    monkeypatch.setattr("gpuio.kernels.cuda.nvrtc.ctypes.CDLL", loaded.append)
    load(str(tmp_path / "libnvrtc.so.13"))
    assert loaded == [
        str(tmp_path / "libnvrtc-builtins.so.13.0"),
        str(tmp_path / "libnvrtc.so.13"),
    ]


def test_the_nvrtc_that_is_here_compiles_a_kernel():
    if not locate():
        pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12")
    assert compile_only("sm_90", "stage_3")[:4] == b"\x7fELF"


OURS = "from gpuio.kernels.cuda.nvrtc import locate; print(bool(locate()))"
CUPYS = """
from cupy_backends.cuda.libs import nvrtc
try:
    nvrtc.getVersion()
except Exception:
    print(False)
else:
    print(True)
"""


@pytest.mark.parametrize("own_site", [True, False])
def test_what_is_located_is_what_cupy_loads(own_site):
    """Packages that are only on an interpreter's path are not looked into for libraries."""
    cupy = pytest.importorskip("cupy")
    python = sys.executable if own_site else sys._base_executable
    folders = [Path(cupy.__file__).parent.parent, Path(gpuio.__file__).parent.parent]
    how = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    ours, cupys = (
        subprocess.run([python, "-c", text], env=how, capture_output=True, text=True, check=True)
        for text in (OURS, CUPYS)
    )
    assert ours.stdout == cupys.stdout
