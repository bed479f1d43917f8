"""How many images a second are left with augmentation on, beside MXNet and beside the main job?

The main job: shorter edge 256 by bilinear, centre crop 224, float32 normalised. The others keep
size and type and turn augmentation on: crops of random size, rotation and shear before them,
colours behind them, other interpolations. All jobs of all peers take turns within each round.
Records are in page cache.

Random numbers have one seed, so MXNet's images are gpuio's. MXNet stands here twice: by default it
takes at most half the machine's cores, whatever preprocess_threads says; with ctx="cpu" and
OMP_NUM_THREADS it takes as many as the others.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

from typing import Any

import numpy as np
from jobs import COLOUR, GEOMETRY
from peers import Measured, Peer, open_peers
from report import save
from rounds import conclude, interleave, ratio
from workload import main_job, packed, parser

NAME = "augment"
MAIN = "main job"
_SEED = {"seed_aug": 1}
LIBRARIES = ("gpuio", "mxnet", "mxnet on all threads")
JOBS: dict[str, dict[str, Any]] = {
    MAIN: {},
    "random resized crop": {
        name: value
        for name, value in (GEOMETRY | _SEED).items()
        if name not in ("max_rotate_angle", "max_shear_ratio")
    },
    "geometry": GEOMETRY | _SEED,
    "geometry and colour": GEOMETRY | COLOUR | _SEED,
    "resize by bicubic": {"inter_method": 2},
    "resize by area": {"inter_method": 3},
    "resize by Lanczos": {"inter_method": 4},
}
# hue and saturation that end in .5 are rounded otherwise in a row's last pixels; 1 level or 2
_NEAR, _FEW = 3.0, 1e-3


def same_pictures(ours: list[np.ndarray], theirs: list[np.ndarray], job: str, std: float) -> str:
    """Return how MXNet's images compare with ours; stop if they are not the same pictures."""
    a, b = np.stack(ours), np.stack(theirs)
    if a.tobytes() == b.tobytes():
        return "equal to the bit"
    off = np.abs(a - b) * std
    assert "colour" in job, f"{job}: gpuio's images are not MXNet's"
    assert off.max() <= _NEAR, f"{job}: gpuio's images are not MXNet's"
    assert (off > 0).mean() < _FEW, f"{job}: gpuio's images are not MXNet's"
    return f"{(off > 0).mean():.1e} of the values differ, by {off.max():.2g} levels at most"


def by_job(measured: dict[str, list[Measured]]) -> dict[str, Any]:
    """Return what `conclude` concludes of each job, and every job's rate beside the main job's."""
    jobs, of_main_job = {}, {}
    for job in JOBS:
        found = {lib: measured.get(f"{lib}, {job}") for lib in LIBRARIES}
        mine = {lib: rounds for lib, rounds in found.items() if rounds}
        jobs[job] = conclude(mine)
        of_main_job[job] = {
            lib: {
                kind: ratio(rounds, measured[f"{lib}, {MAIN}"], cpu=kind == "cpu")
                for kind in ("wall", "cpu")
            }
            for lib, rounds in mine.items()
        }
    return {"jobs": jobs, "of_main_job": of_main_job}


def main() -> None:
    """Measure and write."""
    args = parser(__doc__, rounds=5).parse_args()
    batch, count, rounds = (8, 24, 1) if args.toy else (64, 640, args.rounds)
    base = main_job(args.threads, batch)
    every_core = {"env": {"OMP_NUM_THREADS": str(args.threads)}}
    with packed(args.images, count) as data:
        wanted = {}
        for job, options in JOBS.items():
            work = {"rec": data.rec, "idx": data.idx, "images": data.images}
            ours = work | {"options": base | options}
            wanted[f"gpuio, {job}"] = ("gpuio", ours)
            wanted[f"mxnet, {job}"] = ("mxnet", ours)
            theirs = work | {"options": base | options | {"ctx": "cpu"}} | every_core
            wanted[f"mxnet on all threads, {job}"] = ("mxnet", theirs)
        peers, absent = open_peers(wanted)
        by_label = {peer.label: peer for peer in peers}
        checked = check(by_label, batch, base)
        measured = interleave(peers, rounds)
        for peer in peers:
            peer.close()
    results = {**by_job(measured), "absent": absent, "checked": checked}
    versions = {name: value for peer in peers for name, value in peer.versions.items()}
    options = {"base": base, "jobs": JOBS, "rounds": rounds, "data": data.about}
    save(args.out, NAME, __doc__, options, results, page_cache="warm", versions=versions)


def check(peers: dict[str, Peer], batch: int, base: dict[str, Any]) -> dict[str, str]:
    """Compare the first images of every job."""
    std = max(base[f"std_{c}"] for c in "rgb")
    return {
        f"{lib}, {job}": same_pictures(
            peers[f"gpuio, {job}"].images(batch), peers[f"{lib}, {job}"].images(batch), job, std
        )
        for job in JOBS
        for lib in LIBRARIES[1:]
        if f"{lib}, {job}" in peers
    }


if __name__ == "__main__":
    main()
