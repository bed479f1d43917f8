"""Code written for MXNet 1.9.1 runs with its import line changed, and prints the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPT = HERE / "tutorial.py"
PHOTOS = HERE.parent / "data" / "image"
PRINTED = (HERE.parent / "data" / "tutorial.txt").read_text()


def run(python, script, folder):
    folder.mkdir()
    done = subprocess.run(
        [python, str(script), str(PHOTOS), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_script_of_mxnets_runs_with_its_import_changed(tmp_path):
    changed = tmp_path / "changed.py"
    text = SCRIPT.read_text()
    assert text.count("import mxnet as mx\n") == 1
    changed.write_text(text.replace("import mxnet as mx\n", "import gpuio as mx\n"))
    assert run(sys.executable, changed, tmp_path / "out").splitlines() == PRINTED.splitlines()


@pytest.mark.mxnet
@pytest.mark.skipif("GPUIO_MXNET_PYTHON" not in os.environ, reason="no MXNet 1.9.1 at hand")
def test_mxnet_prints_what_is_frozen(tmp_path):
    patched = tmp_path / "patched.py"  # MXNet names an alias that NumPy 1.24 dropped
    patched.write_text("import numpy\nnumpy.bool = bool\n" + SCRIPT.read_text())
    python = os.environ["GPUIO_MXNET_PYTHON"]
    assert run(python, patched, tmp_path / "out").splitlines() == PRINTED.splitlines()
