"""Is what `gpuio bench` advises as good as the best of a full grid of threads and batches ahead?

Two hundred photos. The command measures and advises; then every pair of preprocess_threads and
prefetch_buffer is run in turns, in twenty rounds. The top group are the pairs whose quartiles
overlap those of the pair with the best median: of three rounds they are so narrow that pairs which
are equally fast leave the group by chance.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from report import save
from workload import packed, parser

NAME = "advice"
AHEAD = (1, 2, 4, 8)


def top_group(grid: dict[str, dict[str, Any]]) -> list[str]:
    """Return the names whose quartiles overlap those of the best median."""
    rates = {name: one["images_per_s"] for name, one in grid.items()}
    best = max(rates.values(), key=lambda rate: rate["median"])
    return [name for name, rate in rates.items() if rate["q3"] >= best["q1"]]


def measure(rec: str, idx: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return the command's advice, the grid, and its top group."""
    from gpuio.tools.measuring import Run, Subject

    seconds = "2" if args.toy else str(args.seconds)
    words = [sys.executable, "-m", "gpuio", "bench", rec, "--idx", idx, "--json"]
    words += ["--seconds", seconds, "--progress", "none"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    advised = Run(told["advice"]["preprocess_threads"], told["advice"]["prefetch_buffer"]).name
    most = max(args.threads, 2)
    wanted = [Run(threads, ahead) for threads in range(1, 2 * most + 1) for ahead in AHEAD]
    rounds, each = (1, 0.05) if args.toy else (args.rounds, 0.5)
    subject = Subject(rec, idx, {})
    try:
        grid = subject.runs(wanted, rounds, each, lambda: None)
    finally:
        subject.close()
    for one in grid.values():
        del one["stats"]
    top = top_group(grid)
    return {
        "advice": told["advice"],
        "advised": advised,
        "seconds of the command": told["seconds"],
        "in the top group": advised in top,
        "top group": top,
        "grid": grid,
    }


def main() -> None:
    """Measure and write."""
    made = parser(__doc__, rounds=20)
    made.add_argument("--seconds", type=int, default=40, help="of gpuio bench")
    args = made.parse_args()
    with packed(args.images, 24 if args.toy else 200) as data:
        results = measure(data.rec, data.idx, args)
    print(f"advised: {results['advised']}; in the top group: {results['in the top group']}")
    save(args.out, NAME, __doc__, {"data": data.about}, results, page_cache="warm")


if __name__ == "__main__":
    main()
