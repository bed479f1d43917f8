"""What do 100,000 parts and ten billion records cost a process that reads a share of them?

    python bench/many_parts.py [--parts 100000] [--records 100000] [--out DIR]

One part of 100,000 records is written; the others are links to it, so that the set takes some 12 MB
of disk and each part has an index of 1.6 MB to read. Each measurement runs in a process of its own.
After imports, and batches of one part that make the kernels ready, an ImageRecordIter is made over
the manifest, the plan of its first batch is asked for, and the batches of four parts are read.
Memory is the peak, less the peak before. Of a block shuffle as many records are read; its blocks
are cut as 4 MiB of images of 7 KB would be, so that each lies in a part of its own, and it is
measured with the indexes as text, and with their binaries (FILE.idx.bin) beside them.
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
_RECORD = 104  # bytes of one in the made set
# as 4 MiB of records of 7 KB: 600 of them, each block of a part of its own; 64 blocks in a pool
_BLOCKS = {
    "shuffle": "block",
    "shuffle_block_size": 600 * _RECORD / 2**20,
    "shuffle_pool_size": 64 * 600 * _RECORD / 2**20,
}
KINDS: dict[str, dict[str, Any]] = {
    "in order": {},
    "in order, part 777 of 1,000": {"num_parts": 1000, "part_index": 777},
    "shuffle='block', part 3 of 64": {**_BLOCKS, "num_parts": 64, "part_index": 3},
    "shuffle='block', part 3 of 64, indexes in binary": {
        **_BLOCKS,
        "num_parts": 64,
        "part_index": 3,
        "binary": True,
    },
    "shuffle=True, part 777 of 1,000": {"num_parts": 1000, "part_index": 777, "shuffle": True},
}

_OPEN = """
import json, resource, sys, time
import gpuio as mx
from gpuio.recordio import parts
read, indexes = parts.read_part_index, []
def noted(*given):
    begin = time.process_time()
    made = read(*given)
    indexes.append(time.process_time() - begin)
    return made
parts.read_part_index = noted
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
indexes.clear()
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
rest, rest_cpu = time.perf_counter(), time.process_time()
for _ in range(min(4 * 100_000, it._opened.pipeline.order.n_records) // 256 - 1):
    it.next()
rest, rest_cpu = time.perf_counter() - rest, time.process_time() - rest_cpu
print("MADE", json.dumps({
    "open_s": made - begin, "plan_s": planned - begin, "plan_cpu_s": cpu,
    "first_batch_s": first - begin,
    "mib_at_first_batch": at_first - before, "mib_after_four_parts": peak() - before,
    "mib_of_imports": before, "state_bytes": len(json.dumps(it.state_dict())),
    "four_parts_s": rest, "four_parts_cpu_s": rest_cpu, "indexes_read": len(indexes),
    "index_cpu_ms": 1000 * sum(indexes) / len(indexes),
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
        (folder / name).with_suffix(".idx.bin").symlink_to(f"{idx}.bin")  # leads nowhere yet
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
    from gpuio.recordio import share_index

    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        found = make_parts(Path(folder), parts, records)
        for kind, given in KINDS.items():
            options = dict(given)
            binary = Path(folder, "large.idx.bin")
            binary.unlink(missing_ok=True)
            if options.pop("binary", False):
                share_index(Path(folder, "large.idx"))
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
