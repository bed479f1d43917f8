"""Build the source archive and the wheel, and use them as a stranger would.

    python scripts/release_check.py [--python python3.11 python3.13] [--quick]

The wheel is built from the source archive, which holds what git holds. Each Python gets a new
environment outside of the tree, with the wheel in it: `gpuio doctor`, the demo and the quick tests
of the archive run there. Licences of what the wheel bundles are listed; it bundles nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_QUICK = (
    "tests/order",
    "tests/options",
    "tests/io",
    "tests/parity/test_golden.py",
    "tests/test_api.py",
)
_FOREIGN = (".so", ".a", ".dll", ".dylib", ".pyd", ".o")


def run(*command: str | Path, cwd: Path) -> None:
    """Run a command; stop where it fails."""
    print("+", *command, flush=True)
    subprocess.run([str(part) for part in command], cwd=cwd, check=True)


def tracked() -> set[str]:
    """Return the files that git holds."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(listed.stdout.splitlines())


def built(out: Path) -> tuple[Path, Path]:
    """Build both; return the source archive and the wheel that was built from it."""
    run(sys.executable, "-m", "build", "--outdir", out, ROOT, cwd=out)
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def compare(archive: Path, wheel: Path) -> None:
    """Compare what is in them with the tree."""
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    left_out = {
        name for name in tracked() - names if not name.startswith((".ci/", ".github/", "."))
    } - {"gpuio/kernels"}  # a link; its files are there
    if left_out:
        raise SystemExit(f"the source archive lacks {sorted(left_out)}")
    inside = set(zipfile.ZipFile(wheel).namelist())
    code = {name for name in tracked() if name.endswith((".py", ".cu", ".typed"))}
    expected = {name for name in code if name.startswith("gpuio/")}
    expected |= {f"gpuio/{name}" for name in code if name.startswith("kernels/")}
    if lacking := expected - inside:
        raise SystemExit(f"the wheel lacks {sorted(lacking)}")
    foreign = [name for name in inside if name.endswith(_FOREIGN)]
    if foreign:
        raise SystemExit(f"the wheel bundles {foreign}: name their licences")
    licence = [name for name in inside if name.endswith("LICENSE")]
    print(f"{archive.name}: {len(names)} names; {wheel.name}: {len(inside)} files, {licence}")


def try_out(python: str, archive: Path, wheel: Path, *, quick: bool) -> None:
    """Install the wheel in a new environment and use it from a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="gpuio-release-") as name:
        place = Path(name)
        run(python, "-m", "venv", place / "venv", cwd=place)
        at = place / "venv" / "bin"
        run(at / "pip", "install", "--quiet", f"{wheel}[turbo]", cwd=place)
        run(at / "gpuio", "--version", cwd=place)
        run(at / "gpuio", "doctor", cwd=place)
        run(at / "python", "-m", "gpuio.tools.demo", "--out", "demo-out", cwd=place)
        if quick:
            return
        with tarfile.open(archive) as tar:
            tar.extractall(place, filter="data")
        source = place / archive.name.removesuffix(".tar.gz")
        run(at / "pip", "install", "--quiet", f"{wheel}[test]", cwd=place)
        for folder in ("gpuio", "kernels"):  # only the installed ones are left to import
            (source / folder).rename(source / f"not-{folder}")
        run(at / "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *_QUICK, cwd=source)


def main() -> None:
    """Do all of it."""
    form = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    form.add_argument("--python", nargs="+", default=[sys.executable], help="to try the wheel with")
    form.add_argument("--quick", action="store_true", help="without the tests")
    args = form.parse_args()
    with tempfile.TemporaryDirectory(prefix="gpuio-dist-") as name:
        archive, wheel = built(Path(name))
        compare(archive, wheel)
        for python in args.python:
            try_out(python, archive, wheel, quick=args.quick)
    print("release check: passed")


if __name__ == "__main__":
    main()
