"""What do a million images cost over threads, storage and caches?

    python bench/scale_model.py --images DIR      # measure this machine's costs and rates
    python bench/scale_model.py --tables FILE     # the tables of docs/performance.md

Costs per image are measured with one thread, stage by stage (`stats()`); rates at one thread and at
as many as there are cores. `rate` predicts rates from these costs alone, and goes on where there
are no cores to measure on. It is a bound: the slowest of five things that have to be done for every
image. The tests compare it with what was measured.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jobs import JOBS
from report import save
from workload import parser

__all__ = ["Costs", "bounds", "rate"]

NAME = "scale_model"
MEASURED = ("photos", "rrc", "faces", "tiny")
# per cent: costs are this quantile of the rounds, and rates the one from the other end: what others
# do on a shared machine makes an image dearer, never cheaper
QUIET = 25
THREADS = (1, 2, 4, 8, 16, 32, 64)
STORAGE = {  # MB/s and reads per second of what lies there; what they are is in the page's text
    "page cache, NVMe": (3000.0, 500_000.0),
    "SSD (SATA)": (500.0, 50_000.0),
    "NFS, 10 Gbit/s": (1000.0, 5_000.0),
    "NFS, 1 Gbit/s": (110.0, 2_000.0),
    "object store, 8 requests at once": (400.0, 160.0),
    "HDD, in order": (180.0, 1e9),
    "HDD, shuffled": (180.0, 120.0),
}


class Costs(NamedTuple):
    """What an image costs, in microseconds of one thread.

    Attributes
    ----------
    reading : float     on the reading thread, of which `file` in the system's calls
    file : float
    decode, kernels : float     in compiled code, on every making thread
    python : float      around these, on the same threads
    handing : float     on the consumer's thread
    record_bytes : float
    decoded_bytes : float
    """

    reading: float
    file: float
    decode: float
    kernels: float
    python: float
    handing: float
    record_bytes: float
    decoded_bytes: float

    @property
    def serial(self) -> float:
        """What holds the interpreter's lock, so that one thread at a time does it."""
        return self.reading - self.file + self.python + self.handing

    @property
    def making(self) -> float:
        """On the making threads."""
        return self.decode + self.kernels + self.python

    @property
    def total(self) -> float:
        """CPU time, of all threads."""
        return self.reading + self.making + self.handing


def bounds(
    costs: Costs,
    threads: int,
    cores: float,
    storage: tuple[float, float] | None = None,
    cached: float = 0.0,
    hit_us: float | None = None,
) -> dict[str, float]:
    """Return images/s that each of five things allows.

    Parameters
    ----------
    costs : Costs
    threads : int           that make batches
    cores : float
    storage : (float, float), optional      MB/s and reads per second; None: the page cache
    cached : float          share of the images whose pixels are kept
    hit_us : float, optional    what a kept image costs a making thread; None: what it costs but for
                            decoding
    """
    hit = costs.making - costs.decode if hit_us is None else hit_us
    making = cached * hit + (1 - cached) * costs.making
    reading = (1 - cached) * costs.reading
    total = reading + making + costs.handing
    found = {
        "threads": 1e6 * threads / making,
        "cores": 1e6 * cores / total,
        "reading": 1e6 / reading if reading else float("inf"),
        "interpreter": 1e6 / costs.serial,
    }
    if storage is not None:
        per_s, reads = storage
        left = max(1 - cached, 1e-9)
        found["storage"] = min(per_s * 1e6 / costs.record_bytes, reads) / left
    return found


def rate(costs: Costs, threads: int, cores: float, **other: Any) -> float:
    """Return images/s: what the slowest of them allows; see `bounds`."""
    return min(bounds(costs, threads, cores, **other).values())


def limit(costs: Costs, threads: int, cores: float, **other: Any) -> str:
    """Return which of them it is."""
    found = bounds(costs, threads, cores, **other)
    return min(found, key=lambda name: found[name])


def costs_of(stats: dict[str, Any], facts: dict[str, Any]) -> Costs:
    """Return the costs that one run with one thread measured.

    Stages are measured in seconds that pass. On a busy machine a thread waits for its core in some
    of them: all are scaled so that their sum is the CPU time of the process.
    """
    stages = stats["stages"]

    def per_image(name: str) -> float:
        could = stages[name]["images_per_s"]
        return 1e6 / could if could else 0.0

    passed = sum(per_image(name) for name in ("reading", "making", "hand_over"))
    scale = 1e6 * stats["cores_used"] / stats["images_per_s"] / passed
    return Costs(
        reading=scale * per_image("reading"),
        file=scale * per_image("read"),
        decode=scale * per_image("decode"),
        kernels=scale * per_image("kernels"),
        python=scale * (per_image("making") - per_image("decode") - per_image("kernels")),
        handing=scale * per_image("hand_over"),
        record_bytes=facts["mean_record_bytes"],
        decoded_bytes=3 * facts["mean_pixels"],
    )


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Return costs and rates of every job."""
    from gpuio.tools.measuring import Run, Subject

    found = {}
    counts = sorted({1, args.threads})
    for name in MEASURED[-1:] if args.toy else MEASURED:
        job = JOBS[name]
        options = job.all_options(1, toy=args.toy)
        options = {key: one for key, one in options.items() if key != "preprocess_threads"}
        batch = options.pop("batch_size")
        with job.data(args.images, toy=args.toy) as data:
            subject = Subject(data.rec, data.idx, options, batch)
            rounds, each = (1, 0.3) if args.toy else (args.rounds, 0.7)
            try:
                runs = [
                    subject.runs([Run(n, 4) for n in counts], 1, each, lambda: None)
                    for _ in range(rounds)
                ]
                facts = subject.facts
            finally:
                subject.close()
        told = {
            n: [one["stats"] for run in runs for one in run.values() if one["run"]["threads"] == n]
            for n in counts
        }
        each_round = [costs_of(one, facts) for one in told[1]]
        costs = np.percentile(each_round, QUIET, axis=0)
        # waiting for the interpreter's lock is in it, and is no cost
        costs[Costs._fields.index("python")] = min(one.python for one in each_round)
        found[name] = {
            "what": job.what,
            "costs_us": dict(zip(Costs._fields, np.round(costs, 3).tolist(), strict=True)),
            "rounds": {
                str(n): [
                    {key: round(one[key], 3) for key in ("images_per_s", "cores_used")}
                    for one in stats
                ]
                for n, stats in told.items()
            },
        }
    return found


def ratios(one: dict[str, Any]) -> dict[str, float]:
    """Return measured over predicted, by threads, of the rounds that others disturbed least.

    A round is predicted for the cores that the process got in it.
    """
    costs = Costs(**one["costs_us"])
    return {
        threads: round(
            float(
                np.percentile(
                    [
                        each["images_per_s"] / rate(costs, int(threads), each["cores_used"])
                        for each in rounds
                    ],
                    100 - QUIET,
                )
            ),
            3,
        )
        for threads, rounds in one["rounds"].items()
    }


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def tables(found: dict[str, Any]) -> dict[str, str]:
    """Return the tables of docs/performance.md, by name."""
    costs = {name: Costs(**one["costs_us"]) for name, one in found.items()}
    over_threads = [
        [
            str(n),
            *(f"{_time(1e6 / rate(one, n, n))}, {limit(one, n, n)}" for one in costs.values()),
        ]
        for n in THREADS
    ]
    per_image = [
        [
            name,
            f"{one.reading:.1f}",
            f"{one.decode:.1f}",
            f"{one.kernels:.1f}",
            f"{one.serial:.1f}",
            f"{one.total:.1f}",
            f"{one.total / 3600:.3f}",
            f"{one.record_bytes / 1e3:.0f} GB",
            f"{one.decoded_bytes / 1e3:.0f} GB",
        ]
        for name, one in costs.items()
    ]
    counts = list(next(iter(found.values()))["rounds"])
    checked = [
        [name, *(f"{ratio:.2f}" for ratio in ratios(one).values())] for name, one in found.items()
    ]
    storage = [
        [
            where,
            *(
                f"{1e6 / bounds(one, 64, 64, storage=given)['storage'] / 60:,.1f}"
                for one in costs.values()
            ),
        ]
        for where, given in STORAGE.items()
    ]
    cached = [
        [
            f"{share:.0%}",
            *(f"{rate(one, 8, 8, cached=share) / rate(one, 8, 8):.2f}" for one in costs.values()),
        ]
        for share in (0.25, 0.5, 0.75, 1.0)
    ]
    return {
        "costs": _table(
            [
                *("job", "reading", "decoding", "kernels", "in Python", "all, us of CPU"),
                *("core hours per million", "encoded, per million", "decoded, per million"),
            ],
            per_image,
        ),
        "checked": _table(["measured / predicted", *(f"{n} threads" for n in counts)], checked),
        "threads": _table(["threads, and cores", *costs], over_threads),
        "storage": _table(["minutes per million images", *costs], storage),
        "cached": _table(["kept", *costs], cached),
    }


def main() -> None:
    """Measure and write, or print the tables."""
    made = parser(__doc__, rounds=12)
    made.add_argument("--tables", type=Path, metavar="FILE", help="print those of a result")
    args = made.parse_args()
    if args.tables:
        for name, table in tables(json.loads(args.tables.read_text())["results"]["jobs"]).items():
            print(f"<!-- {name} -->\n{table}\n")
        return
    found = measure(args)
    checked = {name: ratios(one) for name, one in found.items()}
    print(checked)
    results = {"jobs": found, "measured / predicted": checked}
    save(args.out, NAME, __doc__, {"rounds": args.rounds}, results, page_cache="warm")


if __name__ == "__main__":
    main()
