"""Two source trees are compared with each other, and never one with itself."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "bench"


@pytest.fixture(scope="module")
def pairs():
    sys.path.insert(0, str(BENCH))
    yield importlib.import_module("pairs")
    sys.path.remove(str(BENCH))
    for name in ("pairs", "jobs", "peers", "rounds", "workload"):
        sys.modules.pop(name, None)


def run(*words):
    return subprocess.run(
        [sys.executable, str(BENCH / "pairs.py"), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_tree_is_measured_by_its_own_code(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "gpuio").mkdir()
    for path in (ROOT / "gpuio").iterdir():  # links, so that the compiled kernels are there
        (tree / "gpuio" / path.name).symlink_to(path)
    (tree / "gpuio" / "__init__.py").unlink()
    code = (ROOT / "gpuio" / "__init__.py").read_text()
    (tree / "gpuio" / "__init__.py").write_text(code + "\nopen(__file__ + '.ran', 'w').close()\n")
    written = tmp_path / "pairs.json"
    done = run(ROOT, tree, "tiny", "--toy", "--json", written)
    assert done.returncode == 0, done.stderr
    assert (tree / "gpuio" / "__init__.py.ran").exists()
    assert not (ROOT / "gpuio" / "__init__.py.ran").exists()
    found = json.loads(written.read_text())["tiny"]
    assert found["pictures"] == {
        "without chance": "equal to the bit",
        "seeded": "equal to the bit",
    }
    assert found["cpu"]["q1"] <= found["cpu"]["median"] <= found["cpu"]["q3"]
    assert [len(rounds) for rounds in found["pairs"].values()] == [2, 2]
    assert "old / new, cpu:" in done.stdout


def test_a_folder_without_the_package_is_not_measured_as_another_gpuio(tmp_path):
    done = run(ROOT, tmp_path, "tiny", "--toy")
    assert done.returncode == 2
    assert f"{tmp_path}: no gpuio/__init__.py in it" in done.stderr
    assert "old / new" not in done.stdout


def test_an_unknown_job_is_refused_with_those_there_are():
    done = run(ROOT, ROOT, "facse")
    assert done.returncode == 2
    assert "no job 'facse'; there are photos, rrc, faces" in done.stderr


def test_the_ratio_is_above_one_where_the_new_tree_is_faster(pairs):
    measured = importlib.import_module("peers").Measured
    found = pairs.conclude(
        {"old": [measured(10, 2.0, 4.0)] * 3, "new": [measured(10, 1.0, 1.0)] * 3}
    )
    assert found["cpu"]["median"] == 4.0
    assert found["wall"]["median"] == 2.0
    assert found["cpu_us_per_image, old"]["median"] == 4e5


def test_images_that_differ_are_told_by_how_much(pairs):
    ours = [np.zeros((3, 2, 2), np.float32)]
    other = [ours[0].copy()]
    other[0][0, 0, 0] = 2
    assert pairs.compared(ours, ours) == "equal to the bit"
    assert pairs.compared(ours, other) == "NOT EQUAL: 8.33% of the values differ, by 2 at most"
