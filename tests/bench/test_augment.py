from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def augment():
    sys.path.insert(0, str(BENCH))
    yield importlib.import_module("augment")
    sys.path.remove(str(BENCH))
    for name in ("augment", "jobs", "peers", "report", "rounds", "workload"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_the_toy_run_measures_every_job_beside_the_main_job(tmp_path, augment):
    words = [sys.executable, str(BENCH / "augment.py"), "--toy", "--out", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("augment-*.json")
    results = json.loads(path.read_text())["results"]
    assert set(results["jobs"]) == set(results["of_main_job"]) == set(augment.JOBS)
    for job in augment.JOBS:
        assert results["jobs"][job]["peers"]["gpuio"]["cpu_ms_per_image"]["median"] > 0
        assert results["of_main_job"][job]["gpuio"]["cpu"]["median"] > 0
    assert results["of_main_job"][augment.MAIN]["gpuio"]["wall"]["median"] == 1


def test_other_pictures_than_mxnets_are_noticed(augment):
    ours = [np.zeros((3, 40, 40), np.float32)]
    assert augment.same_pictures(ours, ours, "geometry", 58.0) == "equal to the bit"
    near = [ours[0].copy()]
    near[0][0, 0, 0] = 1 / 58
    assert "2.1e-04" in augment.same_pictures(ours, near, "geometry and colour", 58.0)
    with pytest.raises(AssertionError, match="not MXNet's"):
        augment.same_pictures(ours, near, "geometry", 58.0)
    near[0][0, 0, 1] = 4 / 58
    with pytest.raises(AssertionError, match="not MXNet's"):
        augment.same_pictures(ours, near, "geometry and colour", 58.0)
