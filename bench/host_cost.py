"""What does an image cost the host's CPU when decoding and kernels cost nothing?

The whole ImageRecordIter over faces of 112x112 (shuffle, mirror, batches of 256) with a backend
that makes no pixels: reading, headers, labels, order, plans, threads and batches are left. The same
with the GPU backend over a device, an engine and host decoders that do nothing: once every image
goes to the engine, once to the host. Beside them a loop that reads the same records with os.pread,
in an order of its own, and nothing else.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

from jobs import JOBS
from peer_no_gpu import ENGINE, HOST
from peers import open_peers
from report import save
from rounds import conclude, interleave, ratio
from workload import parser

NAME = "host_cost"
BARE = "os.pread"


def main() -> None:
    """Measure and write."""
    args = parser(__doc__).parse_args()
    job = JOBS["faces"]._replace(batch=256)
    epochs, rounds = (40, 1) if args.toy else (4, args.rounds)
    options = job.all_options(args.threads, toy=args.toy)
    with job.data(args.images, toy=args.toy) as data:
        work = {"rec": data.rec, "idx": data.idx, "images": data.images}
        work |= {"options": options, "epochs": epochs}
        ways = {f"gpuio, GPU path, {way}": {**work, "way": way} for way in (ENGINE, HOST)}
        wanted = {"gpuio": ("host only", work), BARE: ("pread", work)}
        wanted |= {name: ("host only gpu", given) for name, given in ways.items()}
        peers, absent = open_peers(wanted)
        measured = interleave(peers, rounds)
        for peer in peers:
            peer.close()
    results = {
        "peers": conclude(measured)["peers"],
        "absent": absent,
        "times the bare loop": {
            "cpu": ratio(measured[BARE], measured["gpuio"], cpu=True),
            "wall": ratio(measured[BARE], measured["gpuio"]),
        },
    }
    told = {**options, "rounds": rounds, "epochs per round": epochs, "data": data.about}
    save(args.out, NAME, __doc__, told, results, page_cache="warm")


if __name__ == "__main__":
    main()
