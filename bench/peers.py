"""Peers of a benchmark behind one interface, each in its own long-lived process.

Invariant: libraries never share a process, so neither thread pools nor versions of NumPy mix, and
CPU time is the peer's own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

__all__ = ["Measured", "Peer", "PeerError", "mxnet_python", "open_peers", "python_of"]

ROOT = Path(__file__).resolve().parents[1]
_WORKER = Path(__file__).with_name("peer_worker.py")


class Measured(NamedTuple):
    """One round: how many images (or records), and the seconds they took."""

    images: int
    wall_s: float
    cpu_s: float  # of all threads


class PeerError(Exception):
    """A peer failed in its work."""


class Peer:
    """One peer.

    Parameters
    ----------
    label : str             how results call it
    name : str              which of the worker's peers
    work : dict             what the worker is to do: files, options; "env": variables to set
    python : path           the Python that has the peer's library
    root : path             the source tree whose gpuio it imports, where that Python is this one

    Attributes
    ----------
    absent : str            why the peer cannot be had here; empty if it can
    versions : dict         package to version
    file : str              where its library was imported from, where the worker says so
    has_torch : bool        its Python has torch
    """

    def __init__(
        self,
        label: str,
        name: str,
        work: dict[str, Any],
        python: Path | str = sys.executable,
        root: Path | str = ROOT,
    ) -> None:
        self.label, self.absent, self.versions, self.file = label, "", {}, ""
        self.has_torch = False
        self._process: subprocess.Popen[str] | None = None
        if not Path(python).exists():
            self.absent = "its Python is not there"
            return
        env = {**os.environ, **work.get("env", {})}
        if str(python) == sys.executable:
            env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), env.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [str(python), str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=env,
        )
        answer = self._order(do="open", name=name, work=work)
        if "absent" in answer:
            self.close()
            self.absent = answer["absent"]
        else:
            self.versions = {answer["package"]: answer["version"]}
            self.file, self.has_torch = answer["file"], answer["torch"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def round(self, **options: Any) -> Measured:
        """Let the peer do its work once; `options` are changed for it alone."""
        return Measured(**self._order(do="round", options=options))

    def images(self, count: int, **options: Any) -> list[np.ndarray]:
        """Return the peer's first images; `options` are changed for them alone."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "images.npz"
            self._order(do="check", images=count, out=str(out), options=options)
            with np.load(out) as arrays:
                return [arrays[str(i)] for i in range(len(arrays.files))]

    def close(self) -> None:
        """End the process; may be called twice."""
        process, self._process = self._process, None
        if process is not None:
            process.stdin.close()
            process.stdout.close()
            process.wait()

    def _order(self, **order: Any) -> dict[str, Any]:
        process = self._process
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            self.close()
            raise PeerError(f"{self.label}: its process ended with status {process.returncode}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{self.label}: {answer['error']}")
        return answer


def python_of(environment: str) -> Path:
    """Return where a Python is to be: GPUIO_NAME_PYTHON, else .venv-name.

    Parameters
    ----------
    environment : {"mxnet", "frameworks", "decoders"}
    """
    given = os.environ.get(f"GPUIO_{environment.upper()}_PYTHON")
    # absolute, but not resolved: following the links would leave the virtual environment
    return Path(given).absolute() if given else ROOT / f".venv-{environment}" / "bin" / "python"


def mxnet_python() -> Path:
    """Return where a Python with MXNet is to be."""
    return python_of("mxnet")


def _python_of(label: str) -> Path | str:
    if label.startswith("mxnet"):
        return mxnet_python()
    return python_of("frameworks") if label.startswith("torch") else sys.executable


def open_peers(wanted: dict[str, tuple[str, dict[str, Any]]]) -> tuple[list[Peer], dict[str, str]]:
    """Open peers.

    Parameters
    ----------
    wanted : dict       label to (worker's name, work); labels that start with "mxnet" or
                        "torch" run in the Python that has it

    Returns
    -------
    peers : list of Peer        those that can be had
    absent : dict               label to the reason, of the others
    """
    found, absent = [], {}
    for label, (name, work) in wanted.items():
        peer = Peer(label, name, work, _python_of(label))
        if peer.absent:
            absent[label] = peer.absent
        else:
            found.append(peer)
    return found, absent
