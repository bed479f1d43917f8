"""The benchmark of large photos runs at toy size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "large_photos.py"


@pytest.mark.slow
def test_the_toy_run_compares_auto_with_off(tmp_path):
    done = subprocess.run(
        [sys.executable, str(BENCH), "--toy", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("large_photos-*.json")
    result = json.loads(path.read_text())
    assert result["question"].endswith("?")
    assert set(result["results"]) == {"photos", "rrc"}
    for part in result["results"].values():
        assert part["auto over off"]["cpu"]["median"] > 0
        assert part["levels of 255 between them, mean"] > 0  # the option was on
