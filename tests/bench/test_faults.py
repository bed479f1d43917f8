"""The benchmark of bad records runs, and loses the bad records only."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.slow
def test_the_toy_run_compares_damaged_files_with_the_sound_one(tmp_path):
    words = [sys.executable, str(BENCH / "faults.py"), "--toy", "--out", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("faults-*.json")
    results = json.loads(path.read_text())["results"]
    images = {kind: one["rounds"][0]["images"] for kind, one in results["peers"].items()}
    assert images == {"sound": 16, "half JPEGs": 14, "damaged heads": 14}
    for kind in ("half JPEGs", "damaged heads"):
        assert results["of_sound"][kind]["wall"]["median"] > 0
