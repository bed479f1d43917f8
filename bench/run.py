"""Run all benchmarks that need no GPU, one after the other, and draw their charts.

Each runs in a process of its own: what one leaves in memory must not slow the next.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from report import machine, slug
from workload import parser

HERE = Path(__file__).resolve().parent
# which options each knows; --out is a folder, or the file itself
FOLDER = ("--images", "--threads", "--rounds")
ALL = {
    "end_to_end": FOLDER,
    "augment": FOLDER,
    "cache": FOLDER,
    "decode": FOLDER,
    "framing": FOLDER,
    "faults": FOLDER,
    "host_cost": FOLDER,
    "large_sets": ("--threads", "--rounds"),
    "start": FOLDER,
    "soak": FOLDER,
    "kernels": ("--rounds",),
    "image_iter": ("--images", "--threads", "--rounds"),
}
_TO_FILE = ("kernels", "image_iter")


def command(name: str, args: argparse.Namespace) -> list[str]:
    """Return the command that runs one benchmark."""
    out = Path(args.out)
    if name in _TO_FILE:
        out /= f"{name}-{slug(machine())}.json"
    words = [sys.executable, str(HERE / f"{name}.py"), "--out", str(out)]
    words += ["--toy"] if args.toy else []
    for option in ALL[name]:
        value = getattr(args, option.removeprefix("--"))
        words += [option, str(value)] if value is not None else []
    return words


def main() -> int:
    """Run what was asked for; return 1 if a benchmark failed."""
    made = parser(__doc__)
    made.set_defaults(rounds=None)  # each benchmark knows how many it needs
    made.add_argument("--only", nargs="+", choices=ALL, default=list(ALL), help="run these alone")
    made.add_argument("--no-charts", action="store_true", help="write JSON only")
    args = made.parse_args()
    Path(args.out).mkdir(parents=True, exist_ok=True)
    failed = []
    for name in args.only:
        print(f"{name} ...", flush=True)
        if subprocess.run(command(name, args), check=False).returncode:
            failed.append(name)
    if not args.no_charts:
        subprocess.run([sys.executable, str(HERE / "plot.py"), args.out], check=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
