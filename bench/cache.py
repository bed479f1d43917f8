"""How much faster is an epoch whose images were decoded in the one before it?

Photos (shorter edge 256 and centre crop 224; random resized crops), and faces of 112x112. Each peer
is the same job with another cache, in one epoch of a fresh iterator: the first, that fills the
cache, or the second. "half" has room for half of the decoded images. A disk's cache is a file in
the page cache; the slow disk gives as many bytes per second as `--disk-mb-per-s` says, so that
decoding is faster, which the cache has to find out.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import argparse
import contextlib
import tempfile
from typing import Any

import numpy as np
from jobs import JOBS, Job
from peers import Peer, open_peers
from report import save
from rounds import conclude, interleave, ratio
from workload import Packed, parser

NAME = "cache"
OFF, OFF_FIRST = "off", "off, first epoch"
JOBS_OF = ("rrc", "photos", "faces")
RECORDS = 800  # photos: the caches of all ways lie in memory at once
# label: cache, epoch that is timed, share of the decoded images that there is room for
WAYS = {
    "host": ("host", 1, 1.0),
    "host, first epoch": ("host", 0, 1.0),
    "host, half": ("host", 1, 0.5),
    "disk": ("disk", 1, 1.0),
    "disk, slow": ("disk", 1, 1.0),
}


def wanted(data: Packed, options: dict[str, Any], folder: str, args: Any) -> dict[str, Any]:
    """Return the peers to open, for `open_peers`."""
    work = {"rec": data.rec, "idx": data.idx, "images": data.images}
    decoded = decoded_bytes(data)
    made = {
        label: ("cached", {**work, "options": options, "timed": epoch})
        for label, epoch in ((OFF, 1), (OFF_FIRST, 0))
    }
    for label, (kind, epoch, share) in WAYS.items():
        room = {"cache": kind, "cache_size": int(1.2 * decoded if share == 1 else share * decoded)}
        if kind == "disk":
            room["cache_dir"] = tempfile.mkdtemp(dir=folder)
        slow = args.disk_mb_per_s if label == "disk, slow" else None
        told = {"options": options | room, "timed": epoch, "disk_mb_per_s": slow}
        made[label] = ("cached", work | told)
    return made


def decoded_bytes(data: Packed) -> int:
    """Return the bytes of all images of a record file, decoded."""
    from gpuio import recordio
    from gpuio.decode.formats import probe

    total = 0
    with contextlib.closing(recordio.MXRecordIO(data.rec, "r")) as file:
        for _ in range(data.images):
            info = probe(recordio.unpack(file.read())[1])
            total += 3 * info.height * info.width
    return total


def same(peers: list[Peer], count: int) -> bool:
    """Return True; stop if a peer's images are not those without a cache to the bit."""
    by_label = {peer.label: peer for peer in peers}
    for label, peer in by_label.items():
        first = label.endswith("first epoch")
        expected = by_label[OFF_FIRST if first else OFF].images(count, seed_aug=1)
        made = peer.images(count, seed_aug=1)
        assert np.stack(made).tobytes() == np.stack(expected).tobytes(), label
    return True


def ratios(measured: dict[str, Any]) -> dict[str, Any]:
    """Return how many times as fast as without a cache each way is."""
    made = {}
    for label in WAYS:
        beside = measured[OFF_FIRST if label.endswith("first epoch") else OFF]
        took = measured[label]
        made[label] = {"wall": ratio(took, beside), "cpu": ratio(took, beside, cpu=True)}
    return made


def measure(name: str, job: Job, args: argparse.Namespace) -> None:
    """Measure one job and write its result."""
    options = job.all_options(args.threads, toy=args.toy) | {"shuffle": True}
    with job.data(args.images, toy=args.toy) as data, tempfile.TemporaryDirectory() as folder:
        peers, absent = open_peers(wanted(data, options, folder, args))
        assert not absent, absent
        try:
            checked = same(peers, 2 * options["batch_size"])
            measured = interleave(peers, 2 if args.toy else args.rounds)
        finally:
            for peer in peers:
                peer.close()
    results = {
        "over off": ratios(measured),
        "peers": conclude(measured, subject="host")["peers"],
        "equal to the bit": checked,
    }
    for label, found in results["over off"].items():
        print(f"{name}, {label}: {found['wall']['median']:.2f} times")
    told = {**options, "rounds": args.rounds, "data": data.about}
    told["slow disk, MB/s"] = args.disk_mb_per_s
    stem = NAME if name == "rrc" else f"{NAME}_{name}"
    save(args.out, stem, __doc__, told, results, page_cache="warm")


def main() -> None:
    """Measure and write the jobs asked for."""
    made = parser(__doc__)
    made.add_argument("--job", choices=JOBS_OF, nargs="+", default=list(JOBS_OF))
    made.add_argument("--disk-mb-per-s", type=float, default=100.0)
    args = made.parse_args()
    for name in args.job:
        job = JOBS[name]
        measure(name, job if job.side else job._replace(records=RECORDS), args)


if __name__ == "__main__":
    main()
