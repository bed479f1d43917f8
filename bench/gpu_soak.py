"""What a GPU does in the long run: order of hardware decodes, memory, iterators left early.

    python bench/gpu_soak.py --images FOLDER --out results.json
    python bench/gpu_soak.py --toy --cpu

Three parts, the file written after each. "order": a kernel that reads a buffer is queued behind a
long one, then the JPEG hardware is told to decode into that buffer; how often the reader saw the
decoder's bytes, without and with a wait on the host in between. "memory": thousands of batches, the
memory of device and process beside them. "left early": iterators dropped after one batch.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from gpu_data import SIDE, load_photos, machine, write_rec
from gpu_engines import Memory
from gpu_rivals import Batches

_CYCLES = 60_000_000  # of the kernel that holds the reader back: some 35 ms
_ROWS = 8
SPIN = r"""
extern "C" __global__ void spin(long long cycles) {
  long long begun = clock64();
  while (clock64() - begun < cycles) {}
}"""


def order(blobs, rounds):
    """Return how many of the rounds' readers saw bytes written after them."""
    import cupy

    from gpuio.backend.gpu.cuda import CudaDevice
    from gpuio.decode.formats import HEADER, engine_takes, probe
    from gpuio.decode.nvimgcodec import NvImageCodecEngine

    headers = np.array([tuple(probe(blob)) for blob in blobs], HEADER)
    blobs = [blob for blob, takes in zip(blobs, engine_takes(headers), strict=True) if takes]
    blobs = blobs[:_ROWS]
    sizes = np.array([probe(blob)[1:3] for blob in blobs], "i4")
    device, spin = CudaDevice(0), cupy.RawKernel(SPIN, "spin")
    engine = NvImageCodecEngine(0, 1, hw_decoder_load=1.0)
    engine.warm_up(blobs[0], len(blobs))
    memory = Memory(device, int(sizes.astype("i8").prod(axis=1).sum()) * 3 + 512 * _ROWS)
    seen = {"rounds": rounds, "reader_disturbed": 0, "reader_disturbed_after_host_wait": 0}
    with memory.current():
        places = memory.places(sizes)
        arena = cupy.ndarray(memory.buffer.nbytes, "u1", places[0].memory.data)
        read = cupy.empty_like(arena)
        for wait in (False, True):
            name = "reader_disturbed_after_host_wait" if wait else "reader_disturbed"
            for _ in range(rounds):
                arena.data.memset(7, arena.nbytes)
                memory.wait()
                spin((1,), (1,), (np.int64(_CYCLES),))
                read.data.copy_from_device_async(arena.data, arena.nbytes)
                if wait:
                    memory.wait()
                made = engine.decode(blobs, sizes, 3, places, memory.handle)
                assert not made.errors, made.errors
                memory.wait()
                seen[name] += not bool((read.get() == 7).all())
    engine.close()
    return seen


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


def held():
    """Return the threads and open files of this process."""
    gc.collect()
    return {
        "python_threads": threading.active_count(),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "files": len(list(Path("/proc/self/fd").iterdir())),
    }


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
    parser.add_argument("--images", help="folder of JPEG files, searched recursively")
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
    with tempfile.TemporaryDirectory() as name:
        blobs = load_photos(args.images, Path(name), 8 * args.batch)
        files = write_rec(blobs, Path(name))
        parts = {} if args.cpu else {"order": lambda: order(blobs, 20)}
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
            if args.out:
                Path(args.out).write_text(json.dumps(result, indent=2, default=str) + "\n")
    print(json.dumps(result, indent=2, default=str))
    return result


if __name__ == "__main__":
    main()
