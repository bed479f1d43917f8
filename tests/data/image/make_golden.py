"""Make golden.json, MXNet 1.9.1's answers to `cases.py`.

Run `GPUIO_MXNET_PYTHON=/path/to/python python tests/data/image/make_golden.py`. uint8 arrays are
kept as a CRC-32 of their bytes, other arrays as every n-th of their values.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
KEPT = 24  # values of each float array


def digest(value):
    """Return what golden.json says of a result."""
    if not isinstance(value, np.ndarray):
        return value
    said = {"shape": list(value.shape), "dtype": str(value.dtype)}
    if value.dtype == np.uint8:
        return said | {"crc": zlib.crc32(value.tobytes())}
    step = max(1, value.size // KEPT)
    return said | {"values": [float(v) for v in value.reshape(-1)[::step]]}


def mxnet_results():
    """Run the cases under MXNet."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.pickle"
        command = [os.environ["GPUIO_MXNET_PYTHON"], str(HERE / "cases.py"), str(out)]
        subprocess.run(command, check=True)
        return pickle.loads(out.read_bytes())


if __name__ == "__main__":
    golden = {name: digest(value) for name, value in mxnet_results().items()}
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(said)}" for name, said in golden.items())
    (HERE / "golden.json").write_text("{\n" + text + "\n}\n")
