"""How many images a second does a job give, beside MXNet, DALI, torchvision and bare decoding?

The jobs are those of jobs.py: photos (shorter edge 256, centre crop 224), random resized crops,
faces of 112x112, images of 32x32, and those in batches of 3; float32 normalised, NCHW; records in
page cache. Each job is a run and a result of its own.

MXNet stands here twice: by default it takes at most half the machine's cores, whatever
preprocess_threads says; with ctx="cpu" and OMP_NUM_THREADS it takes as many as the others.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from jobs import JOBS, STILL, Job
from peers import Measured, Peer, open_peers
from report import save
from rounds import conclude, interleave, ratio
from workload import Packed, parser

NAME = "end_to_end"
BOUND = "cv2 decode only"
ON_ONE = " on 1 thread"
SCALED = ("photos", "faces")  # jobs at which one thread is measured, too
_LEVELS = 2.0  # a channel's mean of an image may be off by so much: resizes round otherwise
_CHANCE_LEVELS, _CHANCE_SPREAD = 16.0, 0.25  # and of many images with crops drawn by each peer


def same_as_mxnet(ours: list[np.ndarray], theirs: list[np.ndarray]) -> bool:
    """Return True; stop if MXNet's images are not gpuio's to the bit."""
    assert np.stack(ours).tobytes() == np.stack(theirs).tobytes(), "gpuio's images are not MXNet's"
    return True


def same_pictures(
    ours: list[np.ndarray], theirs: list[np.ndarray], stds: np.ndarray, label: str
) -> float:
    """Return how far a channel's mean of an image is off, in levels; stop if it is another picture.

    DALI and torchvision resize with other arithmetic and may crop one pixel beside.
    """
    a, b = np.stack(ours), np.stack(theirs)
    assert a.shape == b.shape, label
    off = float(np.abs((a - b).mean(axis=(2, 3)) * stds).max())
    assert off < _LEVELS, f"gpuio's images are not those of {label}"
    return round(off, 3)


def same_kind(
    ours: list[np.ndarray], theirs: list[np.ndarray], stds: np.ndarray, label: str
) -> float:
    """Return how far the mean of all images is off, in levels; stop if they are of another kind.

    For crops that each peer draws itself: all their values have the same mean and spread.
    """
    a, b = (np.stack(some).transpose(1, 0, 2, 3).reshape(3, -1) for some in (ours, theirs))
    assert a.shape == b.shape, label
    off = float(np.abs((a.mean(axis=1) - b.mean(axis=1)) * stds).max())
    spread = float(np.abs(a.std(axis=1) / b.std(axis=1) - 1).max())
    assert off < _CHANCE_LEVELS, f"gpuio's images are not of the kind of {label}"
    assert spread < _CHANCE_SPREAD, f"gpuio's images are not of the kind of {label}"
    return round(off, 3)


def check(peers: list[Peer], job: Job, options: dict[str, Any]) -> dict[str, float | bool]:
    """Compare the images of all peers with gpuio's before anything is timed."""
    by_label = {
        p.label: p for p in peers if not p.label.startswith(BOUND) and ON_ONE not in p.label
    }
    ours, stds = by_label.pop("gpuio"), np.array([options[f"std_{c}"] for c in "rgb"])
    batch = options["batch_size"]
    seeded = ours.images(batch, seed_aug=1)
    count = 4 * batch if job.random_crops else batch
    still = ours.images(count, **STILL)
    found: dict[str, float | bool] = {}
    for label, peer in by_label.items():
        if label.startswith("mxnet"):
            same = same_as_mxnet(seeded, peer.images(batch, seed_aug=1))
            found[f"{label} equal to the bit"] = same
        elif job.random_crops:
            off = same_kind(still, peer.images(count, **STILL), stds, label)
            found[f"{label}: difference of the mean of {count} random crops, levels"] = off
        else:
            off = same_pictures(still, peer.images(count, **STILL), stds, label)
            found[f"{label}: largest difference of a channel's mean, levels"] = off
    return found


def wanted(
    data: Packed, job: Job, options: dict[str, Any], *, one_thread: bool
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the peers to open, for `open_peers`."""
    work = {"rec": data.rec, "idx": data.idx, "images": data.images}
    work |= {"options": options, "epochs": job.epochs}
    threads = options["preprocess_threads"]
    every_core = {
        "options": options | {"ctx": "cpu"},
        "env": {"OMP_NUM_THREADS": str(threads)},
    }
    made = {
        "gpuio": ("gpuio", work),
        "mxnet": ("mxnet", work),
        "mxnet on all threads": ("mxnet", work | every_core),
        "dali": ("dali", work),
        "torchvision": ("torchvision", work),
        BOUND: ("cv2", work),
    }
    if one_thread:
        alone = work | {"options": options | {"preprocess_threads": 1}}
        made["gpuio" + ON_ONE] = ("gpuio", alone)
        made[BOUND + ON_ONE] = ("cv2", alone)
    return made


def scaling(measured: dict[str, list[Measured]]) -> dict[str, dict[str, float]]:
    """Return how many times as fast as one thread all threads are, of gpuio and bare decoding."""
    return {
        label: ratio(measured[label], measured[label + ON_ONE])
        for label in ("gpuio", BOUND)
        if label + ON_ONE in measured
    }


def measure(name: str, args: argparse.Namespace) -> None:
    """Measure one job and write its result."""
    job = JOBS[name]
    rounds = 2 if args.toy else args.rounds
    options = job.all_options(args.threads, toy=args.toy)
    one_thread = name in SCALED and args.threads > 1
    with job.data(args.images, toy=args.toy) as data:
        peers, absent = open_peers(wanted(data, job, options, one_thread=one_thread))
        try:
            checked = check(peers, job, options)
            measured = interleave(peers, rounds)
        finally:
            for peer in peers:
                peer.close()
    results = conclude({label: took for label, took in measured.items() if ON_ONE not in label})
    if one_thread:
        results["scaling"] = {f"{args.threads} threads over 1": scaling(measured)}
        alone = {label: took for label, took in measured.items() if ON_ONE in label}
        results["on 1 thread"] = conclude(alone, subject="gpuio" + ON_ONE)["peers"]
    results |= {"absent": absent, "checked": checked, "upper_bound": BOUND}
    versions = {name: value for peer in peers for name, value in peer.versions.items()}
    told = {**options, "rounds": rounds, "epochs per round": job.epochs, "data": data.about}
    question = f"How many images a second does this job give, beside its peers: {job.what}?"
    stem = NAME if name == "photos" else f"{NAME}_{name}"
    save(args.out, stem, question, told, results, page_cache="warm", versions=versions)


def main() -> None:
    """Measure and write the jobs asked for."""
    made = parser(__doc__)
    made.add_argument("--job", choices=JOBS, nargs="+", default=list(JOBS), help="default: all")
    args = made.parse_args()
    for name in args.job:
        measure(name, args)


if __name__ == "__main__":
    main()
