"""What does measuring the stages cost where nobody reads the numbers: stats=True beside False?

Images of 32x32, where an image costs least, in batches of 128 and of 3 (the jobs `tiny` and
`tiny3`). The two take turns in pairs. Above 1 measuring would make it faster: the ratio is off / on
of CPU time per image.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

from jobs import JOBS
from peers import open_peers
from report import save
from rounds import interleave, quartiles, ratio
from workload import parser

NAME = "stats_cost"
OFF, ON = "stats=False", "stats=True"


def main() -> None:
    """Measure and write."""
    made = parser(__doc__, rounds=15)
    made.add_argument("--job", choices=JOBS, nargs="+", default=["tiny", "tiny3"])
    args = made.parse_args()
    rounds = 2 if args.toy else args.rounds
    found = {}
    for name in args.job:
        job = JOBS[name]
        options = job.all_options(args.threads, toy=args.toy)
        with job.data(args.images, toy=args.toy) as data:
            work = {"rec": data.rec, "idx": data.idx, "images": data.images, "epochs": job.epochs}
            ways = {OFF: False, ON: True}
            wanted = {
                label: ("gpuio", work | {"options": options | {"stats": on}})
                for label, on in ways.items()
            }
            peers, _ = open_peers(wanted)
            try:
                measured = interleave(peers, rounds)
            finally:
                for peer in peers:
                    peer.close()
        found[name] = {
            "off / on": {
                "cpu": ratio(measured[ON], measured[OFF], cpu=True),
                "wall": ratio(measured[ON], measured[OFF]),
            },
            "cpu_us_per_image": {
                label: quartiles([1e6 * one.cpu_s / one.images for one in took])
                for label, took in measured.items()
            },
        }
        print(name, found[name]["off / on"])
    save(args.out, NAME, __doc__, {"rounds": rounds}, found, page_cache="warm")


if __name__ == "__main__":
    main()
