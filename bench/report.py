"""The JSON file a benchmark writes: its results, and everything needed to judge them.

Invariant: no path of the machine is in it, so that a result can be published as it is.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["machine", "save", "slug"]

ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("numpy", "numba", "opencv-python-headless")


def machine() -> dict[str, Any]:
    """Return what the machine is: CPU, cores, memory, system."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    models = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": models[0].strip() if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "cores_allowed": allowed,
        "memory_gib": round(pages / 2**30, 1),
        "load_1min_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def slug(found: dict[str, Any]) -> str:
    """Return a short name of a machine for file names."""
    cpu = re.sub(r"\((R|TM)\)|CPU|@.*", "", found["cpu"], flags=re.IGNORECASE)
    words = re.sub(r"[^a-z0-9]+", "-", cpu.lower()).strip("-")
    return f"{words}-{found['cores_allowed']}-cores"


def save(
    folder: Path | str,
    name: str,
    question: str,
    options: dict[str, Any],
    results: dict[str, Any],
    *,
    page_cache: str,
    versions: dict[str, str] | None = None,
) -> Path:
    """Write a benchmark's JSON file.

    Parameters
    ----------
    folder : path
    name, question : str            the benchmark's; `name` begins the file's name
    options, results : dict         JSON types
    page_cache : str                whether the data lay in it: "warm", "cold", "not used"
    versions : dict, optional       of peers in other processes; override those found here

    Raises
    ------
    ValueError                      a text in it looks like a path of this machine
    """
    found = machine()
    content = {
        "name": name,
        "question": question.splitlines()[0],
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": found,
        "versions": {**_versions(), **(versions or {})},
        "page_cache": page_cache,
        "options": options,
        "results": results,
    }
    _refuse_paths(content)
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder) / f"{name}-{slug(found)}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote {path.name}")
    return path


def _commit() -> str:
    """Return the commit measured, with "+" if files of the package differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    commit = git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return "unknown"
    return commit + ("+" if git("status", "--porcelain", "--", "gpuio", "kernels") else "")


def _versions() -> dict[str, str]:
    from gpuio import __version__

    found = {"gpuio": __version__}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _refuse_paths(value: Any, where: str = "") -> None:
    """Raise if a text anywhere in the value holds an absolute path."""
    if isinstance(value, dict):
        for key, one in value.items():
            _refuse_paths(key, f"{where}.{key}")
            _refuse_paths(one, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, one in enumerate(value):
            _refuse_paths(one, f"{where}[{number}]")
    elif isinstance(value, str) and re.search(r"(^|[\s'\"=(:])(/[\w.-]+/|~/|[A-Za-z]:\\)", value):
        raise ValueError(f"result{where}: {value!r} looks like a path of this machine")
