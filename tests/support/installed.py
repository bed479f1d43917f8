"""A package of kernels of its own, in a folder, and what processes that use it say."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from gpuio.kernels import jit

SCRIPT = """
from gpuio.kernels.cpu import orient
import numpy as np
out = np.zeros(8, np.uint8)
orient.orient(np.array([5, 6], np.uint8), 1, 1, 2, 2, out)
assert out.tolist() == [6, 0, 0, 0, 5, 0, 0, 0], out
stats = orient.orient.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def install(folder):
    """Copy what `orient` needs into a package of its own; return the folder it lies in."""
    kernels = folder / "gpuio" / "kernels"
    (kernels / "cpu").mkdir(parents=True)
    (folder / "gpuio" / "__init__.py").write_text("")
    for name in ("__init__.py", "compiler.py", "jit.py", "cpu/__init__.py", "cpu/orient.py"):
        shutil.copy(Path(jit.__file__).parent / name, kernels / name)
    return kernels / "cpu"


def run(folder, home, script=SCRIPT, timeout=600):
    return said_by(folder, home, script, timeout)[0].split()


def said_by(folder, home, script=SCRIPT, timeout=600, before=()):
    """Return what a process says, on standard output and on standard error.

    `before` are the words in front of its command.
    """
    environment = {"PYTHONPATH": str(folder), "HOME": str(home), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [*before, sys.executable, "-P", "-B", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr
