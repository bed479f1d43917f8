"""Make tests/data/golden with a live MXNet 1.9.1: pictures, and what MXNet makes of them.

Run from the repository: ``GPUIO_MXNET_PYTHON=... python tests/parity/make_golden.py SET``; SET is
classification or detection. The pictures are made only if they are missing. A golden file is never
made anew to let a test pass; a change of it is a commit of its own that says why.
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

from gpuio.tools.photos import make_photos
from parity import det_cases
from parity.cases import CASES, EXACT, U8, full_options, whole_rows
from parity.conftest import pack
from parity.oracle import Epochs, Oracle

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
    # ten records, batches of four: what the third batch lacks is carried into the next epoch
    **{
        f"{name}epochs whose last batch is not filled": {
            "epochs": 3,
            "resize": 64,
            "rand_crop": True,
            "rand_mirror": True,
            "round_batch": False,
            "shuffle": bool(name),
            **U8,
        }
        for name in ("", "shuffled ")
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


def det_jobs(rec: str) -> dict[str, dict[str, Any]]:
    """Return the options of every golden run of detection, as `jobs`."""
    made = {}
    for name, case in det_cases.CASES.items():
        small = {} if case.bound == EXACT else {"data_shape": [3, 32, 32], "batches": 1}
        made[name] = det_cases.full_options(case.options, rec, **{"batch_size": 4, **small})
    for name, options in det_cases.ROUNDS.items():
        made[name] = det_cases.full_options(options, rec)
    return made


def digest(found: Epochs, *, unfilled: bool = False) -> dict[str, Any]:
    """Return shape, dtype, a CRC of the pixels of each batch, and the labels (a CRC, if boxes).

    With `unfilled` the rows behind the records of an epoch count as zeros: see `whole_rows`.
    """
    boxed = found.label.ndim == 3
    if unfilled:
        pad = np.zeros_like(found.pad)
        pad[np.cumsum(found.counts) - 1] = found.counts * found.data.shape[1] - COUNT
        found = whole_rows(found, pad)
    return {
        "shape": list(found.data.shape),
        "dtype": str(found.data.dtype),
        "crc": [_crc(batch) for batch in found.data],
        "label": [_crc(batch) for batch in found.label] if boxed else found.label.tolist(),
        "counts": found.counts.tolist(),
    }


def _crc(batch: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(batch).tobytes())


def main() -> None:
    """Write golden.json and bounded.npz, or detection.json and bounded_detection.npz."""
    detection = {"classification": False, "detection": True}[sys.argv[1]]
    pictures = DATA / "pictures"
    if not pictures.exists():
        make_photos(pictures, COUNT, 2, seed=1, size=SIZE)
    answers, bounded = {}, {}
    with tempfile.TemporaryDirectory() as folder, Oracle(os.environ["GPUIO_MXNET_PYTHON"]) as mxnet:
        files = sorted(pictures.rglob("*.jpg"))
        if detection:
            rec, _ = pack(Path(folder), files, label=det_cases.det_label)
            iterator, todo, cases = "ImageDetRecordIter", det_jobs(rec), det_cases.CASES
        else:
            paths = pack(Path(folder), files)
            iterator, todo, cases = "ImageRecordIter", jobs(paths), CASES
        for name, options in todo.items():
            found = mxnet.iterate(iterator, **options)
            answers[name] = digest(found, unfilled=not options.get("round_batch", True))
            if name in cases and cases[name].bound != EXACT:
                bounded[name] = found.data
        header = {"made_by": mxnet.versions, "pictures": "gpuio.tools.photos, seed 1"}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(answers[name])}" for name in answers)
    (DATA / f"{'detection' if detection else 'golden'}.json").write_text(
        f'{{\n"header": {json.dumps(header)},\n"cases": {{\n{lines}\n}}\n}}\n'
    )
    np.savez_compressed(DATA / f"bounded{'_detection' * detection}.npz", **bounded)


if __name__ == "__main__":
    main()
