"""The benchmark of caches runs at toy size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "cache.py"


@pytest.mark.slow
def test_the_toy_run_compares_every_cache_with_none(tmp_path):
    done = subprocess.run(
        [sys.executable, str(BENCH), "--toy", "--job", "faces", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("cache_faces-*.json")
    result = json.loads(path.read_text())
    assert result["question"].endswith("?")
    assert result["results"]["equal to the bit"] is True
    over = result["results"]["over off"]
    assert set(over) == {
        *("host", "host, first epoch", "host, half"),
        *("disk", "disk, slow", "disk, slow, found", "off, again"),
    }
    assert all(one["cpu"]["median"] > 0 for one in over.values())
    assert set(result["results"]["peers"]) == {
        *(*over, "off", "off, first epoch", "off, whole first epoch"),
    }
