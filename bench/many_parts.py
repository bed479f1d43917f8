"""What do 100,000 parts and ten billion records cost a process that reads a share of them?

    python bench/many_parts.py [--parts 100000] [--records 100000] [--out DIR]

One part of 100,000 records is written; the others are links to it, so that the set takes some 12 MB
of disk and each part has an index of 1.6 MB to read. Each measurement runs in a process of its own.
After imports, and batches of one part that make the kernels ready, an ImageRecordIter is made over
the manifest, the plan of its first batch is asked for, and the batches of four parts are read.
Memory is the peak, less the peak before.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from large_sets import make_set
from report import save

NAME = "many_parts"
KINDS: dict[str, dict[str, Any]] = {
    "in order": {},
    "in order, part 777 of 1,000": {"num_parts": 1000, "part_index": 777},
    "shuffle='block', part 777 of 1,000": {
        "num_parts": 1000,
        "part_index": 777,
        "shuffle": "block",
        "shuffle_pool_size": 64000,
    },
    "shuffle=True, part 777 of 1,000": {"num_parts": 1000, "part_index": 777, "shuffle": True},
}

_OPEN = """
import json, resource, sys, time
import gpuio as mx
one, many, options = sys.argv[1:]
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def opened(path, **options):
    return mx.io.ImageRecordIter(
        path_imgrec=path, data_shape=(3, 1, 1), batch_size=256, ctx="cpu", preprocess_threads=1,
        prefetch_buffer=1, verbose=False, **options)
with opened(one) as it:  # imports and kernels
    for _ in range(100):
        it.next()
before = peak()
begin, cpu = time.perf_counter(), time.process_time()
it = opened(many, **json.loads(options))
made = time.perf_counter()
order = it._opened.pipeline.order.batch(0, 0, 0)
table = it._opened.table
rows = table.offset[order.position], table.length[order.position]
planned, cpu = time.perf_counter(), time.process_time() - cpu
it.next().data[0].wait_to_read()
first = time.perf_counter()
at_first = peak()
for _ in range(min(4 * 100_000, it._opened.pipeline.order.n_records) // 256 - 1):
    it.next()
print("MADE", json.dumps({
    "open_s": made - begin, "plan_s": planned - begin, "plan_cpu_s": cpu,
    "first_batch_s": first - begin,
    "mib_at_first_batch": at_first - before, "mib_after_four_parts": peak() - before,
    "mib_of_imports": before, "state_bytes": len(json.dumps(it.state_dict())),
    "records": len(table), "parts": len(table.paths),
}))
"""


def make_parts(folder: Path, parts: int, records: int) -> dict[str, Path]:
    """Write a set of parts that are links to one; return its manifest, and that of one part."""
    from gpuio.recordio.described import describe_part
    from gpuio.recordio.manifest import Part, write_manifest

    rec, idx = make_set(folder, records)
    one, payload = describe_part(rec, Path(rec).name)
    names = [f"part-{number:06d}.rec" for number in range(parts)]
    for name in names:
        (folder / name).symlink_to(rec)
        (folder / name).with_suffix(".idx").symlink_to(idx)
    listed = [Part(name, one.records, one.size, one.index_crc, one.tag) for name in names]
    found = {"many": folder / "many.json", "one": folder / "one.json"}
    write_manifest(found["many"], listed, payload)
    write_manifest(found["one"], [one], payload)
    return found


def measure(found: dict[str, Path], options: dict[str, Any]) -> dict[str, Any]:
    """Open a manifest in a process of its own; return what it took."""
    paths = str(found["one"]), str(found["many"])
    command = [sys.executable, "-c", _OPEN, *paths, json.dumps(options)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    line = next(line for line in said.splitlines() if line.startswith("MADE "))
    made: dict[str, Any] = json.loads(line.removeprefix("MADE "))
    return made


def run(parts: int, records: int, rounds: int) -> dict[str, Any]:
    """Measure each kind of order several times; medians."""
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        found = make_parts(Path(folder), parts, records)
        for kind, options in KINDS.items():
            made = [measure(found, options) for _ in range(rounds)]
            rows[kind] = {name: float(np.median([one[name] for one in made])) for name in made[0]}
        rows["manifest_bytes"] = found["many"].stat().st_size
    return rows


def main() -> None:
    """Measure, print and save."""
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("--parts", type=int, default=100_000)
    options.add_argument("--records", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--out", help="folder of the result; none is written without")
    args = options.parse_args()
    rows = run(args.parts, args.records, args.rounds)
    print(json.dumps(rows, indent=1))
    if args.out:
        asked = {"parts": args.parts, "records": args.records, "rounds": args.rounds}
        question = (__doc__ or "").split("\n", 1)[0]
        print(save(args.out, NAME, question, asked, rows, page_cache="warm"))


if __name__ == "__main__":
    main()
