"""gpuio.image against MXNet 1.9.1: frozen answers always, a live run where MXNet is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import types
from pathlib import Path

import numpy as np
import pytest

from gpuio import image, nd, recordio

DATA = Path(__file__).parents[1] / "data" / "image"
GOLDEN = json.loads((DATA / "golden.json").read_text())


def load(name):
    spec = importlib.util.spec_from_file_location(f"image_{name}", DATA / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


golden_tools = load("make_golden")


@pytest.fixture(scope="module")
def ours():
    return load("cases").results(types.SimpleNamespace(image=image, nd=nd, recordio=recordio))


def tolerance(name: str, values: np.ndarray) -> float:
    """Return the largest difference allowed, in the units of the result.

    uint8 is exact. float32 resizing adds in another order (2e-3 on a scale of 255), rotation and
    the jitters likewise; labels are the same float64 arithmetic.
    """
    if values.dtype == np.uint8:
        return 0
    if name.startswith("ImageIter"):
        return 1e-5  # after normalisation
    if "label" in name:
        return 1e-12
    if "rotate" in name:
        return 2e-5  # on a scale of 0 to 1
    resizes = ("imresize", "Resize", "RandomSized", "Crop", "Sequential")
    return 2e-3 if name.startswith(resizes) else 2e-4


def test_golden_holds_exactly_the_cases(ours):
    assert set(ours) == set(GOLDEN)


def wrong_against_golden(ours, names):
    wrong = []
    for name in names:
        expected, got = GOLDEN[name], golden_tools.digest(ours[name])
        if isinstance(expected, dict) and "values" in expected:
            bound = tolerance(name, ours[name])
            same = expected["shape"] == got["shape"] and expected["dtype"] == got["dtype"]
            if not same or not np.allclose(expected["values"], got["values"], rtol=0, atol=bound):
                wrong.append(name)
        elif expected != got:
            wrong.append(name)
    return wrong


@pytest.mark.parametrize(
    "group", ["im", "resize", "crop", "copyMakeBorder", "rotate", "dumps", "det", "Aug", ""]
)
def test_results_are_mxnets_frozen_ones(ours, group):
    names = [name for name in GOLDEN if group in name]
    assert names
    assert wrong_against_golden(ours, names) == []


@pytest.mark.mxnet
@pytest.mark.skipif("GPUIO_MXNET_PYTHON" not in os.environ, reason="no MXNet 1.9.1 at hand")
def test_results_are_those_of_a_live_mxnet(ours):
    theirs = golden_tools.mxnet_results()
    assert set(theirs) == set(ours)
    wrong = []
    for name, expected in theirs.items():
        got = ours[name]
        if isinstance(expected, np.ndarray):
            same = expected.shape == got.shape and expected.dtype == got.dtype
            bound = tolerance(name, got)
            if not same or np.abs(expected.astype(float) - got).max(initial=0) > bound:
                wrong.append(name)
        elif expected != got:
            wrong.append(name)
    assert wrong == []


def test_one_changed_pixel_changes_the_digest():
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    changed = pixels.copy()
    changed[1, 1, 2] += 1
    assert golden_tools.digest(pixels) != golden_tools.digest(changed)
