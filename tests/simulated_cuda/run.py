"""Run a script on the simulated GPU: python tests/simulated_cuda/run.py SCRIPT OPTIONS..."""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from simulated_cuda.install import install

if __name__ == "__main__":
    install()
    sys.argv[:] = sys.argv[1:]
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    runpy.run_path(sys.argv[0], run_name="__main__")
