"""The GPU benchmarks at toy size, without a GPU: they must not rot until somebody has one."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
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
    for name in ("gpu_data", "gpu_engines", "gpu_rivals"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_every_competitor_that_needs_no_gpu_is_measured(tmp_path, monkeypatch, capsys):
    pytest.importorskip("nvidia.dali")
    out = tmp_path / "result.json"
    result = load("gpu", monkeypatch).main(["--toy", "--cpu", "--out", str(out)])
    assert json.loads(out.read_text())["results"] == result["results"]
    assert json.loads(capsys.readouterr().out)["machine"]["cpus"] >= 1
    assert result["absent"] == {}
    assert result["complete"] is True
    assert result["pixels_beside_opencv"]["bare dali"]["largest_difference"] == 0
    assert set(result["results"]) == {
        "bare nvimgcodec",
        "bare dali",
        "gpuio batches cpu",
        "gpuio ImageRecordIter",
        "dali pipeline",
    }
    for run in result["results"].values():
        assert run["images_per_s_median"] > 0
        assert run["epochs"] == 2


def test_a_run_that_is_cut_short_leaves_what_it_measured(tmp_path, monkeypatch, capsys):
    out = tmp_path / "result.json"
    module = load("gpu", monkeypatch)

    class Cut(BaseException):
        pass

    class Never:
        def __init__(self, *args, **settings):
            saved = json.loads(out.read_text())
            assert saved["results"]["bare nvimgcodec"]["epochs"] == 1
            raise Cut

    class Absent:
        def __init__(self, *args, **settings):
            raise ImportError("not installed")

    monkeypatch.setattr(module, "Batches", Absent)
    monkeypatch.setattr(module, "Iterator", Never)
    with pytest.raises(Cut):
        module.main(["--toy", "--cpu", "--out", str(out)])
    saved = json.loads(out.read_text())
    assert saved["absent"] == {"gpuio batches cpu": "ImportError: not installed"}
    assert saved["complete"] is False


def test_whoever_is_to_be_left_out_is_not_opened(monkeypatch, capsys):
    result = load("gpu", monkeypatch).main(["--toy", "--cpu", "--without", "gpuio"])
    assert list(result["results"]) == ["bare nvimgcodec", "bare dali", "dali pipeline"]


def test_nothing_is_begun_after_the_time_is_used_up(tmp_path, monkeypatch, capsys):
    result = load("gpu", monkeypatch).main(["--toy", "--cpu", "--seconds", "-1"])
    assert result["results"] == {}
    assert result["complete"] is False


def test_another_picture_than_opencvs_is_not_timed(monkeypatch, capsys):
    module = load("gpu", monkeypatch)
    monkeypatch.setattr("gpuio.decode.opencv.decode", lambda blob, channels: np.uint8(0))
    result = module.main(["--toy", "--cpu"])
    assert "another picture" in result["absent"]["bare nvimgcodec"]


@pytest.mark.slow
def test_memory_and_iterators_left_early_are_looked_at(tmp_path, monkeypatch, capsys):
    out = tmp_path / "result.json"
    load("gpu_soak", monkeypatch).main(["--toy", "--cpu", "--out", str(out)])
    result = json.loads(out.read_text())
    assert result["memory cpu"]["batches"] == len(result["memory cpu"]["levels"]) == 24
    assert result["memory cpu"]["growth_mib"]["resident_mib"] < 50
    early = result["left early"]
    assert early["iterators"] == 4
    for what in ("python_threads", "files"):
        assert early["before"][what] == early["after"][what]


def test_kernel_time_stands_beside_its_memory_floor(tmp_path, monkeypatch, capsys):
    out = tmp_path / "result.json"
    load("gpu_kernels", monkeypatch).main(["--toy", "--cpu", "--out", str(out)])
    for run in json.loads(out.read_text())["results"]:
        assert run["bytes"] > 8 * 3 * 224 * 224
        assert run["times_floor"] == pytest.approx(run["kernel_us"] / run["floor_us"], rel=0.05)
    assert "copy_gb_per_s" in capsys.readouterr().out


@pytest.fixture
def session(tmp_path):
    """Run the session's script with a stand-in for python, which writes down how it was called."""
    called, out = tmp_path / "called.txt", tmp_path / "out"
    python = tmp_path / "python"
    packs = tmp_path / "packs"
    packs.mkdir()

    def run(behaviour, *arguments, **environment):
        python.write_text(
            f'#!/bin/sh\necho "$GPUIO_REQUIRE_GPU|$*" >>{called}\ncase "$*" in {behaviour} esac\n'
        )
        python.chmod(0o755)
        done = subprocess.run(
            ["sh", str(BENCH / "gpu_session.sh"), *map(str, arguments)],
            env={"PATH": os.environ["PATH"], "OUT": str(out), "PYTHON": str(python)} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        steps = [line.split()[:2] for line in (out / "steps.txt").read_text().splitlines()]
        return done, dict(steps), called.read_text().splitlines()

    return run


def test_the_session_script_runs_every_step_and_ends_with_1_if_one_failed(tmp_path, session):
    packs = tmp_path / "packs"
    (packs / "one.whl").touch()
    (packs / "install.sh").write_text(f'echo "$3" >>{tmp_path}/installed.txt\n')
    for name in ("gpu-dali.tar.xz.00", "gpu-nvic.tar.xz.00", "gpu-nvic.tar.xz.01"):
        (packs / name).touch()
    done, steps, calls = session("*'-m pytest'*) exit 5;;", packs, tmp_path)
    assert done.returncode == 1, done.stderr
    tests = ["tests", "tests_of_dali"]
    expected = ["install", "doctor", *tests, "gpu_kernels", "gpu", "gpu_soak"]
    assert list(steps) == expected
    assert steps == dict.fromkeys(expected, "0") | dict.fromkeys(tests, "5")
    assert "--no-index" in calls[0]
    packs_installed = (tmp_path / "installed.txt").read_text().split()
    assert packs_installed == ["gpu-dali.tar.xz", "gpu-nvic.tar.xz"]
    assert sum(call.startswith("1|-X faulthandler -m pytest -m gpu") for call in calls) == 2
    assert any(f"bench/gpu.py --images {tmp_path}" in call for call in calls)


def test_what_a_crash_of_dali_took_away_is_measured_without_it(session):
    done, steps, calls = session("*bench/gpu.py*gpu.json) kill -SEGV $$;;")
    assert done.returncode == 1
    assert steps["gpu"] == "139"
    assert steps["gpu_without_dali"] == steps["gpu_soak"] == "0"
    assert any("--without dali" in call and "gpu_without_dali.json" in call for call in calls)


@pytest.mark.slow
def test_a_step_that_hangs_is_cut_and_the_others_run(session):
    done, steps, calls = session("*'-m pytest'*) exec sleep 60;;", BUDGET="6")
    assert done.returncode == 1
    assert steps["tests"] == "124"
    assert steps["gpu_soak"] == "not"  # begun: nothing is left
    assert not any("gpu_soak" in call for call in calls)
