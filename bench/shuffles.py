"""What does an image cost with shard="even" and other shuffles, beside MXNet's parts and shuffle?

    python bench/shuffles.py [--images DIR] [--job photos] [--pairs 15] [--threads 2]

One job of bench/jobs.py, in processes of one source tree that take turns in an order drawn anew:
MXNet's parts with shuffle=True, and shard="even" with "full" and with "block" (in blocks of 1 MiB
and pools of 8, so that an epoch has several). There is one part, so that all have the same images:
MXNet's first of two parts has the first half of them, an even one any half. The first batch of a
round is not timed, as elsewhere; for "block" that is the reading of a pool.

Printed: MXNet's / ours of CPU time per image and of wall time, median and quartiles over the pairs;
above 1, ours is faster.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from jobs import JOBS, Job
from peers import Measured, Peer
from rounds import quartiles, ratio
from workload import parser

MXNET = "mxnet"
WAYS: dict[str, dict[str, Any]] = {
    MXNET: {"shuffle": True},
    "full": {"shard": "even", "shuffle": "full"},
    "block": {"shard": "even", "shuffle": "block", "shuffle_block_size": 1},
}
WAYS["block"]["shuffle_pool_size"] = 8


def in_turns(peers: list[Peer], pairs: int) -> dict[str, list[Measured]]:
    """Run one warm-up round and `pairs` measured ones, each with a seed of its own.

    With one seed the images before the clock and behind it are the same ones in every round, other
    ones for each order, and may be smaller or larger than most.
    """
    rng = np.random.default_rng(0)
    measured: dict[str, list[Measured]] = {peer.label: [] for peer in peers}
    for number in range(pairs + 1):
        for place in rng.permutation(len(peers)):
            took = peers[place].round(seed=number)
            if number:
                measured[peers[place].label].append(took)
    return measured


def measure(job: Job, args: argparse.Namespace) -> dict[str, Any]:
    """Return the ratios of one job, and what an image costs each way."""
    options = job.all_options(args.threads, toy=args.toy)
    with job.data(args.images, toy=args.toy) as data:
        work = {"rec": data.rec, "idx": data.idx, "images": data.images, "epochs": job.epochs}
        peers = [
            Peer(name, "gpuio", work | {"options": options | WAYS[name]})
            for name in (MXNET, *args.way)
        ]
        try:
            for peer in peers:
                assert not peer.absent, f"gpuio cannot be imported: {peer.absent}"
            measured = in_turns(peers, args.pairs)
        finally:
            for peer in peers:
                peer.close()
    found: dict[str, Any] = {
        "cpu_us_per_image": {
            name: quartiles([1e6 * one.cpu_s / one.images for one in rounds])
            for name, rounds in measured.items()
        }
    }
    for name in args.way:
        ours, theirs = measured[name], measured[MXNET]
        found[name] = {"cpu": ratio(ours, theirs, cpu=True), "wall": ratio(ours, theirs)}
    return found


def main() -> None:
    """Measure and print."""
    made = parser(__doc__)
    made.add_argument("--job", choices=list(JOBS), action="append", help="default: photos, faces")
    made.add_argument("--way", choices=["full", "block"], nargs="+", default=["full", "block"])
    made.add_argument("--pairs", type=int, default=15)
    made.add_argument("--json", type=Path, metavar="FILE", help="write what was found")
    args = made.parse_args()
    if args.toy:
        args.pairs = 2
    told = {}
    for name in args.job or ["photos", "faces"]:
        told[name] = found = measure(JOBS[name], args)
        print(f"{name}: {JOBS[name].what}; {args.threads} threads, {args.pairs} pairs")
        for way, cost in found["cpu_us_per_image"].items():
            print(
                "  {}: {median:.1f} us of CPU per image ({q1:.1f} to {q3:.1f})".format(way, **cost)
            )
        for way in args.way:
            for kind in ("cpu", "wall"):
                print(
                    "  {} / {}, {}: {median:.3f} ({q1:.3f} to {q3:.3f})".format(
                        MXNET, way, kind, **found[way][kind]
                    )
                )
    if args.json:
        args.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
