"""What a GPU does in the long run: memory over thousands of batches, iterators left early.

    python bench/gpu_soak.py --images FOLDER --out results.json
    python bench/gpu_soak.py --toy --cpu

The file is written after each part. "memory": thousands of batches, the memory of device and
process beside them. "left early": iterators dropped after one batch.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from pathlib import Path

from gpu_data import SIDE, add_data, load_photos, machine, save, write_rec
from gpu_rivals import Batches
from held import held


def memory(blobs, count, batch, cpu, decoder):
    """Make `count` batches; return memory along the way, in MiB."""
    ours = Batches(blobs, batch, "float16", cpu, **({} if cpu else {"decoder": decoder}))
    some, levels, begun = len(ours.batches), [], time.monotonic()
    for number in range(count):
        ours.work(number % some)
        if number % max(1, count // 40) == 0:
            levels.append({"batch": number, **used(cpu)})
    ours.close()
    settled = levels[len(levels) // 4 :]
    return {
        "batches": count,
        "rows": batch,
        "seconds": round(time.monotonic() - begun, 1),
        "levels": levels,
        "growth_mib": {name: round(settled[-1][name] - settled[0][name], 2) for name in used(cpu)},
    }


def left_early(rec, idx, count, batch, cpu, seconds):
    """Drop iterators after one batch, half of them without close(); return what stayed behind."""
    from gpuio.io import ImageRecordIter

    def one(close):
        it = ImageRecordIter(
            path_imgrec=rec, path_imgidx=idx, data_shape=(3, SIDE, SIDE), batch_size=batch,
            ctx="cpu" if cpu else "gpu", resize=256, verbose=False,
        )  # fmt: skip
        it.next()
        if close:
            it.close()

    for number in range(min(6, count)):
        one(number % 2)
    before, ends, made = {**held(), **used(cpu)}, time.monotonic() + seconds, 0
    while made < count and time.monotonic() < ends:
        one(made % 2)
        made += 1
    return {"iterators": made, "before": before, "after": {**held(), **used(cpu)}}


def used(cpu):
    """Return the memory in use, in MiB: of the process, and of the device."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    found = {"resident_mib": round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)}
    if not cpu:
        import cupy

        cupy.get_default_memory_pool().free_all_blocks()
        free, total = cupy.cuda.Device(0).mem_info
        found["device_mib"] = round((total - free) / 2**20, 1)
    return found


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data(parser)
    parser.add_argument("--cpu", action="store_true", help="memory and iterators of the CPU")
    parser.add_argument("--toy", action="store_true", help="few and small")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--batches", type=int, default=2000)
    parser.add_argument("--iterators", type=int, default=200)
    parser.add_argument(
        "--seconds", type=float, default=600, help="open no further iterator after this long"
    )
    parser.add_argument("--out", help="JSON file, written after every part")
    args = parser.parse_args(argv)
    if args.toy:
        args.batch, args.batches, args.iterators = 2, 24, 4
    result = {
        "question": __doc__.splitlines()[0],
        "machine": machine(),
        "options": {name: value for name, value in vars(args).items() if name != "out"},
    }
    save(args.out, result)
    with tempfile.TemporaryDirectory() as name:
        blobs = load_photos(args.images, Path(name), 8 * args.batch)
        files = write_rec(blobs, Path(name))
        parts = {}
        for decoder in ("cpu",) if args.cpu else ("nvimgcodec", "dali"):
            parts[f"memory {decoder}"] = lambda decoder=decoder: memory(
                blobs, args.batches, args.batch, args.cpu, decoder
            )
        parts["left early"] = lambda: left_early(
            *files, args.iterators, args.batch, args.cpu, args.seconds
        )
        for part, run in parts.items():
            try:
                result[part] = run()
            except Exception as error:  # noqa: BLE001 -- the other parts still count
                result[part] = {"failed": f"{type(error).__name__}: {error}"}
            save(args.out, result)
            print(f"{part} done", file=sys.stderr, flush=True)
    print(save(args.out, result))
    return result


if __name__ == "__main__":
    main()
