"""Install carried wheels and packs, each into a folder of its own, without a network.

    python bench/gpu_install.py SITE PACKS

PACKS holds wheels (*.whl), packs (gpu-*.tar.xz.00 and on, with the install.sh that unpacks them:
source, destination, name), or both. What is installed already stays; one that fails costs only
itself; DALI, the largest, comes last. Ends with 1 if one failed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

_DONE = "installed.txt"  # in a folder that is complete
# another nvidia/ folder further along the path has to stay importable
_SHARED = '__path__ = __import__("pkgutil").extend_path(__path__, __name__)\n'


def search_path(site, with_dali):
    """Return the folders of what is installed, DALI's pack first, or left out."""
    found = sorted(path.parent for path in Path(site).glob(f"*/{_DONE}"))
    large = [str(path) for path in found if _of_dali(path.name)]
    small = [str(path) for path in found if not _of_dali(path.name)]
    return [*(large if with_dali or not small else []), *small]


def install(site, packs):
    """Install everything; return {name: "" or why it failed}."""
    site, packs = Path(site), Path(packs)
    failed = {}
    names = [path.name.removesuffix(".00") for path in packs.glob("gpu-*.tar.xz.00")]
    wheels = sorted(packs.glob("*.whl"))
    if wheels:
        failed |= _wheels(site, wheels)
    for name in sorted(names, key=lambda name: (_of_dali(name), name)):
        command = ["bash", str(packs / "install.sh"), str(packs)]
        folder = site / name.removesuffix(".tar.xz")
        failed[name] = _into(folder, name, lambda there, c=command, n=name: _run(*c, there, n))
    return failed


def _wheels(site, wheels):
    """Install wheels together, which is faster, or one by one if that fails.

    Each set of wheels has a folder of its own, so that the other call's stay.
    """
    text = "\n".join(path.name for path in wheels)
    folder = site / f"wheels-{zlib.crc32(text.encode()):08x}"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
    pip += ["--no-cache-dir", "--disable-pip-version-check", "--upgrade", "--target"]
    if not _into(folder, text, lambda there: _run(*pip, there, *wheels)):
        return {path.name: "" for path in wheels}
    folder.mkdir(parents=True, exist_ok=True)
    failed = {path.name: _run(*pip, folder, path) for path in wheels}
    _finish(folder, "")  # not complete: tried again by the next call
    return failed


def _into(folder, text, fill):
    """Fill a folder unless it is complete; return "" or why it failed."""
    if (folder / _DONE).exists() and (folder / _DONE).read_text() == text:
        return ""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    failed = fill(folder)
    if failed:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        _finish(folder, text)
    return failed


def _finish(folder, text):
    if (folder / "nvidia").is_dir():
        (folder / "nvidia" / "__init__.py").write_text(_SHARED)
    (folder / _DONE).write_text(text)


def _of_dali(name):
    return "dali" in name or name.startswith("gpu-all")


def _run(*command):
    """Run a command; return "" or the end of what it said."""
    done = subprocess.run(
        [os.fspath(word) for word in command], capture_output=True, text=True, check=False
    )
    said = " ".join((done.stdout + done.stderr).split())[-400:]
    return (said or f"exit status {done.returncode}") if done.returncode else ""


def main(site, packs):
    failed = install(site, packs)
    for name, why in failed.items():
        print(f"{name}: {why or 'installed'}")
    if not failed:
        print(f"nothing to install in {packs}")
    return int(any(failed.values()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
