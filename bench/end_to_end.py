"""How many images a second does the main job give, beside MXNet, DALI and bare decoding?

The main job: shorter edge 256, centre crop 224, float32 normalised, NCHW; records in page cache.

MXNet stands here twice: by default it takes at most half the machine's cores, whatever
preprocess_threads says; with ctx="cpu" and OMP_NUM_THREADS it takes as many as the others.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import numpy as np
from peers import open_peers
from report import save
from rounds import conclude, interleave
from workload import main_job, packed, parser

NAME = "end_to_end"
BOUND = "cv2 decode only"


def same_pictures(images: dict[str, list[np.ndarray]], stds: np.ndarray) -> dict[str, float | bool]:
    """Compare every peer's images with gpuio's; stop if they are not the same pictures.

    MXNet's must be equal to the bit. DALI resizes with other arithmetic and may crop one pixel
    beside: the mean of a channel of an image may differ by 2 of 255 levels.
    """
    ours = np.stack(images["gpuio"])
    found: dict[str, float | bool] = {}
    for label, theirs in images.items():
        other = np.stack(theirs)
        if label.startswith("mxnet"):
            found[f"{label} equal to the bit"] = bool(ours.tobytes() == other.tobytes())
            assert found[f"{label} equal to the bit"], "gpuio's images are not MXNet's"
        elif label != "gpuio":
            off = np.abs((ours - other).mean(axis=(2, 3)) * stds).max()
            found[f"{label}: largest difference of a channel's mean, levels"] = round(float(off), 3)
            assert ours.shape == other.shape, label
            assert off < 2, f"gpuio's images are not those of {label}"
    return found


def main() -> None:
    """Measure and write."""
    args = parser(__doc__).parse_args()
    batch, count, rounds = (8, 32, 2) if args.toy else (64, 1600, args.rounds)
    job = main_job(args.threads, batch)
    with packed(args.images, count) as data:
        work = {"rec": data.rec, "idx": data.idx, "images": data.images, "options": job}
        every_core = {
            "options": job | {"ctx": "cpu"},
            "env": {"OMP_NUM_THREADS": str(args.threads)},
        }
        peers, absent = open_peers(
            {
                "gpuio": ("gpuio", work),
                "mxnet": ("mxnet", work),
                "mxnet on all threads": ("mxnet", work | every_core),
                "dali": ("dali", work),
                BOUND: ("cv2", work),
            }
        )
        stds = np.array([job[f"std_{c}"] for c in "rgb"])
        images = {peer.label: peer.images(batch) for peer in peers if peer.label != BOUND}
        checked = same_pictures(images, stds)
        measured = interleave(peers, rounds)
        for peer in peers:
            peer.close()
    results = {**conclude(measured), "absent": absent, "checked": checked, "upper_bound": BOUND}
    versions = {name: value for peer in peers for name, value in peer.versions.items()}
    options = {**job, "rounds": rounds, "data": data.about}
    save(args.out, NAME, __doc__, options, results, page_cache="warm", versions=versions)


if __name__ == "__main__":
    main()
