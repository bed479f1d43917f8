"""Run both calls of gpu_session.sh without a GPU, in a fresh copy of the tree, and check them.

    python bench/gpu_dry_run.py [--out FOLDER] [--packs FOLDER] [first] [second] [short]

Nothing is compiled in the copy, as on a machine that has just been given. A call passes if it ends
inside its budget, every step was begun, and the archive has every step's file.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from gpu_steps import BUDGETS, Setting, steps_of

ROOT = Path(__file__).resolve().parents[1]
_LATE = 60  # seconds after the budget at which a call that hangs is killed


def copy_tree(there):
    """Copy what git would carry: tracked files, and new ones that it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (there / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, there / name, follow_symlinks=False)


def files_of(step):
    """Return the files that a step leaves in the archive."""
    found = [f"{step.name}.txt"]
    if "--out" in step.command:
        found.append(Path(step.command[step.command.index("--out") + 1]).name)
    return found


def faults(call, out, steps, took):
    """Return what is wrong with what a call left."""
    found = []
    if took > BUDGETS[call]:
        found.append(f"{took:.0f} s of {BUDGETS[call]}")
    lines = (out / "steps.txt").read_text().splitlines()[2:-1]
    noted = {line.split()[0]: line.split()[1] for line in lines}
    found += [
        f"{step.name}: {noted.get(step.name, 'no line')}"
        for step in steps
        if noted.get(step.name, "not-begun") in ("not-begun", "running")
    ]
    with tarfile.open(out / f"{call}.tar.gz") as archive:
        there = set(archive.getnames())
    wanted = {f"{call}/{name}" for step in steps for name in files_of(step)}
    return found + [f"no {name} in the archive" for name in sorted(wanted - there)]


def rehearse(call, tree, data, packs, out):
    """Run a call in the copy; return what is wrong with it."""
    out = out / call
    shutil.rmtree(out, ignore_errors=True)
    environment = {**os.environ, "GPU": "0", "OUT": str(out), "PYTHON": sys.executable}
    environment.pop("BUDGET", None)
    begun = time.monotonic()
    done = subprocess.run(
        ["bench/gpu_session.sh", call, packs or "", str(data)],
        cwd=tree, env=environment, stdout=subprocess.DEVNULL, timeout=BUDGETS[call] + _LATE,
        check=False,
    )  # fmt: skip
    took = time.monotonic() - begun
    print((out / "steps.txt").read_text(), end="")
    print(f"{call}: {took:.0f} s of {BUDGETS[call]}, exit status {done.returncode}", flush=True)
    at = Setting(sys.executable, Path(), Path(), Path(packs) if packs else None, data, gpu=False)
    return faults(call, out, steps_of(call, at), took)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("calls", nargs="*", choices=[*BUDGETS, []], help="default: first second")
    parser.add_argument("--packs", help="folder of wheels and packs")
    parser.add_argument("--out", help="keep what the calls leave in this folder")
    args = parser.parse_args(argv)
    wrong = []
    with tempfile.TemporaryDirectory(prefix="gpu-dry-run-") as name:
        tree = Path(name) / "tree"
        copy_tree(tree)
        data = Path(name) / "data"
        carry = [sys.executable, "bench/gpu_carry.py", data]
        subprocess.run(carry, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        out = Path(args.out).resolve() if args.out else Path(name)
        packs = str(Path(args.packs).resolve()) if args.packs else None
        for call in args.calls or ("first", "second"):
            wrong += [f"{call}: {one}" for one in rehearse(call, tree, data, packs, out)]
    print(*wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
