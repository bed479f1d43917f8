"""The GPU benchmarks at toy size, without a GPU: they must not rot until somebody has one."""

import importlib.util
import json
import os
import subprocess
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


def test_the_session_script_runs_every_step_and_ends_with_1_if_one_failed(tmp_path):
    """A stand-in for python writes down how it was called and fails as pytest."""
    called = tmp_path / "called.txt"
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\necho "$GPUIO_REQUIRE_GPU|$*" >>{called}\n'
        'case "$*" in *pytest*) exit 5;; esac\n'
    )
    python.chmod(0o755)
    packs = tmp_path / "packs"
    packs.mkdir()
    (packs / "one.whl").touch()
    out = tmp_path / "out"
    done = subprocess.run(
        ["sh", str(BENCH / "gpu_session.sh"), str(packs), str(tmp_path)],
        env={"PATH": os.environ["PATH"], "OUT": str(out), "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    steps = [line.split()[:2] for line in (out / "steps.txt").read_text().splitlines()]
    assert [name for name, _ in steps] == ["install", "doctor", "tests", "gpu_kernels", "gpu"]
    assert dict(steps)["tests"] == "5"
    calls = called.read_text().splitlines()
    assert "--no-index" in calls[0]
    assert any(call.startswith("1|-m pytest -m gpu") for call in calls)
    assert any(f"bench/gpu.py --images {tmp_path}" in call for call in calls)
