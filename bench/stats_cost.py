"""What does measuring the stages cost where nobody reads the numbers: stats=True beside False?

Images of 32x32, where an image costs least, in batches of 128 and of 3 (the jobs `tiny` and
`tiny3`). One iterator measures in one epoch and not in the next, in pairs: two iterators, or two
processes, differ by where their memory lies, and that is more than what is looked for. After each
epoch it is waited for until no thread works. Above 1 measuring would make it faster: the ratio is
off / on of CPU time per image.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import time
from typing import Any

import numpy as np
from jobs import JOBS
from peers import Measured
from report import save
from rounds import quartiles, ratio
from workload import parser

NAME = "stats_cost"
WAYS = {"stats=False": False, "stats=True": True}
IDLE_S, IDLE_CPU_S = (
    0.01,
    5e-4,
)  # in so many seconds a process at rest takes less CPU time than this


def epoch(it: Any) -> Measured:
    """Measure an epoch of an iterator, and what it makes ahead of the next one."""
    images, cpu_s, begun = 0, time.process_time(), time.perf_counter()
    for batch in it:
        images += batch.data[0].shape[0] - batch.pad
    wall_s = time.perf_counter() - begun
    it.reset()
    before = -1.0
    while time.process_time() - before > IDLE_CPU_S:
        before = time.process_time()
        time.sleep(IDLE_S)
    return Measured(images, wall_s, time.process_time() - cpu_s)


def main() -> None:
    """Measure and write."""
    from gpuio.io import ImageRecordIter

    made = parser(__doc__, rounds=100)
    made.add_argument("--job", choices=JOBS, nargs="+", default=["tiny", "tiny3"])
    args = made.parse_args()
    rounds = 2 if args.toy else args.rounds
    found = {}
    for name in args.job:
        job, rng = JOBS[name], np.random.default_rng(0)
        options = job.all_options(args.threads, toy=args.toy) | {"ctx": "cpu"}
        measured: dict[str, list[Measured]] = {label: [] for label in WAYS}
        with job.data(args.images, toy=args.toy) as data:
            options |= {"path_imgrec": data.rec, "path_imgidx": data.idx}
            with ImageRecordIter(**options) as it:
                for number in range(rounds + 2):
                    for label in rng.permutation(list(WAYS)).tolist():
                        it._machine().pipeline.stats.timed = WAYS[label]  # noqa: SLF001
                        took = epoch(it)
                        if number > 1:
                            measured[label].append(took)
        on, off = measured["stats=True"], measured["stats=False"]
        found[name] = {
            "off / on": {"cpu": ratio(on, off, cpu=True), "wall": ratio(on, off)},
            "cpu_us_per_image": {
                label: quartiles([1e6 * one.cpu_s / one.images for one in took])
                for label, took in measured.items()
            },
        }
        print(name, found[name]["off / on"])
    save(args.out, NAME, __doc__, {"rounds": rounds}, found, page_cache="warm")


if __name__ == "__main__":
    main()
