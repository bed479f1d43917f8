"""Make tests/data/golden with a live MXNet 1.9.1: pictures, and what MXNet makes of them.

Run from the repository: ``GPUIO_MXNET_PYTHON=... python tests/parity/make_golden.py``. The pictures
are made only if they are missing. A golden file is never made anew to let a test pass; a change of
it is a commit of its own that says why.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from parity.cases import CASES, EXACT, U8, full_options
from parity.conftest import pack
from parity.oracle import Epochs, Oracle

from gpuio.tools.photos import make_photos

DATA = Path(__file__).parents[1] / "data" / "golden"
COUNT, SIZE = 10, (128, 160)  # resize=64 halves them exactly
ROUNDS = {
    "shuffled epochs": {
        "epochs": 3,
        "resize": 64,
        "rand_crop": True,
        "rand_mirror": True,
        "shuffle": True,
        "seed": 5,
        **U8,
    },
    "second of three parts": {"epochs": 2, "resize": 64, "num_parts": 3, "part_index": 1, **U8},
}


def jobs(paths: tuple[str, str]) -> dict[str, dict[str, Any]]:
    """Return the options of every golden run; those of a bounded case make small arrays."""
    made = {}
    for name, case in CASES.items():
        small = {} if case.bound == EXACT else {"data_shape": [3, 32, 32], "batches": 1}
        made[name] = full_options(case.options, paths, batch_size=4, **small)
    for name, options in ROUNDS.items():
        made[name] = full_options(options, paths, batch_size=4)
    return made


def digest(found: Epochs) -> dict[str, Any]:
    """Return shape, dtype, a CRC of the pixels of each batch, and the labels."""
    return {
        "shape": list(found.data.shape),
        "dtype": str(found.data.dtype),
        "crc": [zlib.crc32(np.ascontiguousarray(batch).tobytes()) for batch in found.data],
        "label": found.label.tolist(),
        "counts": found.counts.tolist(),
    }


def main() -> None:
    """Write golden.json and bounded.npz."""
    pictures = DATA / "pictures"
    if not pictures.exists():
        make_photos(pictures, COUNT, 2, seed=1, size=SIZE)
    answers, bounded = {}, {}
    with tempfile.TemporaryDirectory() as folder, Oracle(os.environ["GPUIO_MXNET_PYTHON"]) as mxnet:
        paths = pack(Path(folder), sorted(pictures.rglob("*.jpg")))
        for name, options in jobs(paths).items():
            found = mxnet.iterate(**options)
            answers[name] = digest(found)
            if name in CASES and CASES[name].bound != EXACT:
                bounded[name] = found.data
        header = {"made_by": mxnet.versions, "pictures": "gpuio.tools.photos, seed 1"}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(answers[name])}" for name in answers)
    (DATA / "golden.json").write_text(
        f'{{\n"header": {json.dumps(header)},\n"cases": {{\n{lines}\n}}\n}}\n'
    )
    np.savez_compressed(DATA / "bounded.npz", **bounded)


if __name__ == "__main__":
    main()
