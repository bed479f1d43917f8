"""Libraries that tests compile, kept for the processes after this one: some take half a minute."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["built", "compiler"]


def compiler():
    """Return the path of a C++ compiler, None if there is none."""
    return shutil.which("g++") or shutil.which("c++")


def built(source, flags, name, beside=()):
    """Return a shared library made of a source, from the folder of such libraries if it is there.

    Parameters
    ----------
    source : str            C++
    flags : sequence of str
    name : str              of the file, and of the source without its ending
    beside : sequence of Path
                            files that the source includes
    """
    version = subprocess.run([compiler(), "--version"], check=True, capture_output=True).stdout
    made = hashlib.sha256(version + repr((source, flags)).encode())
    for path in beside:
        made.update(path.read_bytes())
    folder = Path(tempfile.gettempdir()) / f"gpuio-test-builds-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} is somebody else's")
    kept = folder / made.hexdigest()[:24] / name
    if kept.exists():
        return kept
    with tempfile.TemporaryDirectory(dir=folder) as work:
        unit, library = Path(work) / "unit.cpp", Path(work) / name
        unit.write_text(source)
        includes = [f"-I{path.parent}" for path in beside]
        command = [compiler(), *flags, *includes, str(unit), "-o", str(library), "-ldl"]
        subprocess.run(command, check=True, timeout=600)
        kept.parent.mkdir(exist_ok=True)
        library.replace(kept)  # at once: processes may make it at the same time
    return kept
