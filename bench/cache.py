"""How much faster is an epoch whose images were decoded in the one before it?

Photos (shorter edge 256 and centre crop 224; random resized crops), and faces of 112x112. Each peer
is the same job with another cache, of a fresh iterator: in the first epoch, that fills the cache,
or in the four after it. "half" has room for half of the decoded images. A disk's cache is a file in
the page cache; the slow disk gives as many bytes per second as `--disk-mb-per-s` says, so that
decoding is faster, which the cache has to find out: in the first epoch, whose first batch is timed,
too ("found"), and the epoch after it. "off, again" is a second process without a cache: how far it
is from 1 is what the machine does to a comparison.
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
OFF, OFF_FIRST, OFF_WHOLE = "off", "off, first epoch", "off, whole first epoch"
JOBS_OF = ("rrc", "photos", "faces")
RECORDS = 800  # photos: the caches of all ways lie in memory at once
# label: cache, epoch that is timed, share of the decoded images that there is room for, and what it
# is compared with
WAYS = {
    "host": ("host", 1, 1.0, OFF),
    "host, first epoch": ("host", 0, 1.0, OFF_FIRST),
    "host, half": ("host", 1, 0.5, OFF),
    "disk": ("disk", 1, 1.0, OFF),
    "disk, slow": ("disk", 1, 1.0, OFF),
    "disk, slow, found": ("disk", 0, 1.0, OFF_WHOLE),
    "off, again": ("off", 1, 1.0, OFF),
}


def wanted(data: Packed, options: dict[str, Any], folder: str, args: Any) -> dict[str, Any]:
    """Return the peers to open, for `open_peers`."""
    work = {"rec": data.rec, "idx": data.idx, "images": data.images, "options": options}
    decoded = decoded_bytes(data)
    made = {}
    for label in args.way:
        kind, epoch, share, beside = WAYS[label]
        whole = {"whole": beside == OFF_WHOLE, "timed": epoch}
        made[beside] = ("cached", work | whole)
        room: dict[str, Any] = {}
        if kind != "off":
            room = {"cache": kind, "cache_size": int(decoded * (1.2 if share == 1 else share))}
        if kind == "disk":
            room["cache_dir"] = tempfile.mkdtemp(dir=folder)
        slow = args.disk_mb_per_s if "slow" in label else None
        made[label] = ("cached", work | whole | {"options": options | room, "disk_mb_per_s": slow})
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
    for label, (_, _, _, beside) in WAYS.items():
        if label not in by_label:
            continue
        expected = by_label[beside].images(count, seed_aug=1)
        made = by_label[label].images(count, seed_aug=1)
        assert np.stack(made).tobytes() == np.stack(expected).tobytes(), label
    return True


def ratios(measured: dict[str, Any]) -> dict[str, Any]:
    """Return how many times as fast as without a cache each way is."""
    made = {}
    for label, (_, _, _, compared) in WAYS.items():
        if label not in measured:
            continue
        took, beside = measured[label], measured[compared]
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
        said = "; ".join(
            f"{kind} {one['median']:.3f} ({one['q1']:.3f} to {one['q3']:.3f})"
            for kind, one in found.items()
        )
        print(f"{name}, {label}: times {said}")
    told = {**options, "rounds": args.rounds, "data": data.about}
    told["slow disk, MB/s"] = args.disk_mb_per_s
    stem = NAME if name == "rrc" else f"{NAME}_{name}"
    save(args.out, stem, __doc__, told, results, page_cache="warm")


def main() -> None:
    """Measure and write the jobs asked for."""
    made = parser(__doc__)
    made.add_argument("--job", choices=JOBS_OF, nargs="+", default=list(JOBS_OF))
    made.add_argument("--way", choices=WAYS, nargs="+", default=list(WAYS))
    made.add_argument("--disk-mb-per-s", type=float, default=100.0)
    args = made.parse_args()
    for name in args.job:
        job = JOBS[name]
        measure(name, job if job.side else job._replace(records=RECORDS), args)


if __name__ == "__main__":
    main()
