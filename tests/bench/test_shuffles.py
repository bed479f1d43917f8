"""The shuffles are measured beside MXNet's, at toy size."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"


def test_each_shuffle_is_compared_with_mxnets(tmp_path):
    written = tmp_path / "shuffles.json"
    command = [sys.executable, BENCH / "shuffles.py", "--toy", "--job", "tiny", "--json", written]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(written.read_text())["tiny"]
    assert set(found) == {"cpu_us_per_image", "full", "block"}
    for way in ("full", "block"):
        assert found[way]["cpu"]["q1"] <= found[way]["cpu"]["median"] <= found[way]["cpu"]["q3"]
    assert "mxnet / full, cpu:" in done.stdout
