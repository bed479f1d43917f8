"""Ask a live MXNet: one long-lived child process answers jobs about its iterators."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

WORKER = Path(__file__).with_name("mxnet_worker.py")


class Epochs(NamedTuple):
    """Some epochs of an iterator, all batches one after the other.

    data : [batches, batch_size, channels, height, width]; label : float32[batches, batch_size] or
    [batches, batch_size, label_width]; pad : int64[batches]; counts : int64[epochs], batches each.
    """

    data: np.ndarray
    label: np.ndarray
    pad: np.ndarray
    counts: np.ndarray


class OracleError(Exception):
    """MXNet refused a job, or died over it."""


class Oracle:
    """MXNet behind a pipe.

    Parameters
    ----------
    python : str        a Python in which ``import mxnet`` works; a relative path is taken from here

    Notes
    -----
    A job that kills the process (MXNet divides by zero, aborts) is an `OracleError`; the next job
    starts another process.
    """

    def __init__(self, python: str) -> None:
        # not resolved: following the links would leave the virtual environment
        self._python = str(Path(python).absolute()) if "/" in python else python
        self._folder = tempfile.TemporaryDirectory(prefix="gpuio-oracle-")
        self._worker: subprocess.Popen[str] | None = None
        self.versions: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def iterate(
        self,
        iterator: str = "ImageRecordIter",
        *,
        epochs: int = 1,
        batches: int | None = None,
        **options: Any,
    ) -> Epochs:
        """Return some epochs of an iterator of ``mx.io``; `batches` limits each.

        Raises
        ------
        OracleError
        """
        out = Path(self._folder.name) / "answer.npz"
        job = {
            "iterator": iterator,
            "options": options,
            "epochs": epochs,
            "batches": batches,
            "out": str(out),
        }
        worker = self._started()
        worker.stdin.write(json.dumps(job) + "\n")
        worker.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise OracleError(answer["error"])
        with np.load(out) as arrays:
            return Epochs(*(arrays[name] for name in Epochs._fields))

    def close(self) -> None:
        """End the process; may be called twice."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stdin.close()
            worker.stdout.close()
            worker.wait()
        self._folder.cleanup()

    def _started(self) -> subprocess.Popen[str]:
        if self._worker is None:
            self._worker = subprocess.Popen(
                [self._python, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            self.versions = self._answer()["versions"]
        return self._worker

    def _answer(self) -> dict[str, Any]:
        line = self._worker.stdout.readline()
        if line:
            return json.loads(line)
        worker, self._worker = self._worker, None
        worker.stdin.close()
        worker.stdout.close()
        raise OracleError(f"MXNet's process ended with status {worker.wait()}")
