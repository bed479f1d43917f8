"""How much CPU time does an image cost in one source tree, beside another?

    python bench/pairs.py OLD_TREE NEW_TREE JOB [--images DIR] [--pairs 15] [--threads 2]

A tree is a folder with `gpuio/` in it, such as a clone of another commit. JOB is one of
bench/jobs.py (photos, rrc, faces, tiny, tiny3, faces-rotated, faces-colour, ...), several with
commas between, or `all`. Each tree has a process of its own, run by this Python with that tree on
its path. They take turns in pairs, in an order drawn anew, after one untimed pair in which kernels
are compiled. Before that the first images of both are compared: without shuffle and mirror, and
with one seed.

Printed per job: old / new of CPU time per image and of wall time, median and quartiles over the
pairs; above 1, the new tree is faster. The CPU ratio is the steadier one. Judge by the quartiles:
where they hold 1, the trees are not told apart. `--json FILE` writes every pair.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from jobs import JOBS, STILL, VARIANTS, Job
from peers import Measured, Peer
from rounds import interleave, quartiles, ratio
from workload import parser

OLD, NEW = "old", "new"
ALL = JOBS | VARIANTS


def compared(old: list[np.ndarray], new: list[np.ndarray]) -> str:
    """Return how two lists of images differ; stop if they cannot be compared."""
    a, b = np.stack(old), np.stack(new)
    assert (a.shape, a.dtype) == (b.shape, b.dtype), f"{a.dtype}{a.shape}, {b.dtype}{b.shape}"
    if a.tobytes() == b.tobytes():
        return "equal to the bit"
    off = np.abs(a.astype(np.float64) - b)
    share = np.count_nonzero(off) / off.size
    return f"NOT EQUAL: {share:.2%} of the values differ, by {off.max():.3g} at most"


def measure(
    trees: dict[str, Path], job: Job, args: argparse.Namespace
) -> tuple[dict[str, str], dict[str, list[Measured]]]:
    """Return how the images of two trees compare, and the pairs measured."""
    options = job.all_options(args.threads, toy=args.toy)
    with job.data(args.images, toy=args.toy) as data:
        work = {"rec": data.rec, "idx": data.idx, "images": data.images, "options": options}
        work["epochs"] = job.epochs
        peers = [Peer(label, "gpuio", work, root=tree) for label, tree in trees.items()]
        try:
            for peer in peers:
                tree = trees[peer.label]
                assert not peer.absent, f"{tree}: gpuio cannot be imported, {peer.absent}"
                assert Path(peer.file).is_relative_to(tree), f"{tree}: Python imports {peer.file}"
            pictures = {
                "without chance": compared(
                    *(p.images(options["batch_size"], **STILL) for p in peers)
                ),
                "seeded": compared(*(p.images(options["batch_size"], seed_aug=1) for p in peers)),
            }
            return pictures, interleave(peers, args.pairs)
        finally:
            for peer in peers:
                peer.close()


def conclude(measured: dict[str, list[Measured]]) -> dict[str, Any]:
    """Return the ratios old / new, and what an image costs in each tree."""
    old, new = measured[OLD], measured[NEW]
    cost = {
        f"cpu_us_per_image, {label}": quartiles([1e6 * one.cpu_s / one.images for one in rounds])
        for label, rounds in measured.items()
    }
    return {"cpu": ratio(new, old, cpu=True), "wall": ratio(new, old), **cost}


def main() -> None:
    """Measure and print."""
    made = parser(__doc__)
    made.add_argument("old", type=Path, metavar="OLD_TREE")
    made.add_argument("new", type=Path, metavar="NEW_TREE")
    made.add_argument("job", help=f"{', '.join(ALL)}, or all")
    made.add_argument("--pairs", type=int, default=15)
    made.add_argument("--json", type=Path, metavar="FILE", help="write every pair")
    args = made.parse_args()
    if args.toy:
        args.pairs = 2
    names = list(ALL) if args.job == "all" else args.job.split(",")
    unknown = [name for name in names if name not in ALL]
    if unknown:
        made.error(f"no job {unknown[0]!r}; there are {', '.join(ALL)}")
    trees = {OLD: args.old.resolve(), NEW: args.new.resolve()}
    for tree in trees.values():
        if not (tree / "gpuio" / "__init__.py").exists():
            made.error(f"{tree}: no gpuio/__init__.py in it")
    told = {}
    for name in names:
        pictures, measured = measure(trees, ALL[name], args)
        found = conclude(measured)
        told[name] = {
            "pictures": pictures,
            **found,
            "pairs": {
                label: [one._asdict() for one in rounds] for label, rounds in measured.items()
            },
        }
        print(f"{name}: {ALL[name].what}; {args.threads} threads, {args.pairs} pairs")
        print("  pictures: " + "; ".join(f"{how}: {what}" for how, what in pictures.items()))
        for kind in ("cpu", "wall"):
            print(
                "  old / new, {}: {median:.3f} ({q1:.3f} to {q3:.3f})".format(kind, **found[kind])
            )
        for label in (OLD, NEW):
            cost = found[f"cpu_us_per_image, {label}"]
            print(
                "  {}: {median:.1f} us of CPU per image ({q1:.1f} to {q3:.1f})".format(
                    label, **cost
                )
            )
    if args.json:
        args.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
