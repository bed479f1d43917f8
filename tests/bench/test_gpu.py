"""The GPU benchmarks at toy size, without a GPU: they must not rot until somebody has one."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


def load(name, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def forget_helpers():
    yield
    sys.modules.pop("gpu_data", None)


def test_every_competitor_that_needs_no_gpu_is_measured(tmp_path, monkeypatch, capsys):
    pytest.importorskip("nvidia.dali")
    out = tmp_path / "result.json"
    result = load("gpu", monkeypatch).main(["--toy", "--cpu", "--out", str(out)])
    assert json.loads(out.read_text())["results"] == result["results"]
    assert json.loads(capsys.readouterr().out)["machine"]["cpus"] >= 1
    assert result["absent"] == {}
    assert set(result["results"]) == {
        "bare nvimgcodec",
        "bare dali",
        "gpuio batches cpu",
        "gpuio ImageRecordIter",
        "dali pipeline",
    }
    assert all(run["images_per_s_median"] > 0 for run in result["results"].values())


def test_kernel_time_stands_beside_its_memory_floor(tmp_path, monkeypatch, capsys):
    out = tmp_path / "result.json"
    load("gpu_kernels", monkeypatch).main(["--toy", "--cpu", "--out", str(out)])
    for run in json.loads(out.read_text())["results"]:
        assert run["bytes"] > 8 * 3 * 224 * 224
        assert run["times_floor"] == pytest.approx(run["kernel_us"] / run["floor_us"], rel=0.05)
    assert "copy_gb_per_s" in capsys.readouterr().out
