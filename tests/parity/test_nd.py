"""mx.nd beside a live MXNet 1.9.1: values, shapes, dtypes, views, and the numbers of a seed."""

import json
import os
import subprocess

import numpy as np
import pytest

import gpuio
from parity import nd_cases

pytestmark = pytest.mark.mxnet


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    python = os.environ.get("GPUIO_MXNET_PYTHON")
    if not python:
        pytest.skip("GPUIO_MXNET_PYTHON names no Python with MXNet 1.9.1; `make parity` sets it")
    out = tmp_path_factory.mktemp("theirs") / "answers.json"
    command = [python, nd_cases.__file__, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def ours(theirs):
    return json.loads(json.dumps(nd_cases.results(gpuio)))


def agree(mine, other, rtol):
    """Say whether two answers agree; values within a relative error, all else exactly."""
    if isinstance(mine, list) and isinstance(other, list) and mine and isinstance(mine[0], list):
        return len(mine) == len(other) and all(map(agree, mine, other, [rtol] * len(mine)))
    if not isinstance(mine, list) or not isinstance(mine[0], str) or other == "error":
        return mine == other
    return mine[:2] == other[:2] and np.allclose(mine[2], other[2], rtol=rtol, atol=rtol)


@pytest.mark.parametrize(
    ("beginning", "rtol"), [("float32", 1e-5), ("float64", 1e-12), ("index", 0), ("seed", 0)]
)
def test_answers_are_mxnets(ours, theirs, beginning, rtol):
    names = [name for name in theirs if name.startswith(beginning)]
    assert len(names) > 15
    wrong = {
        name: (ours[name], theirs[name])
        for name in names
        if not agree(ours[name], theirs[name], 3e-6 if name.endswith("normal") else rtol)
    }
    assert wrong == {}
