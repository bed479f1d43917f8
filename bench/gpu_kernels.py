"""Measure how near the kernels of a batch come to the memory's floor.

    python bench/gpu_kernels.py --images FOLDER --out results.json
    python bench/gpu_kernels.py --toy --cpu

The floor is the bytes that a batch must move (the crops read once, the batch written once) over the
rate of a large copy measured in the same run. Random resized crops, flips, normalisation.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from augment import JOBS
from gpu_data import MEAN, SIDE, STD, add_data, load_photos, machine, plans, save, write_rec

PLAIN = "random resized crop and flip"
TIMED = (
    (PLAIN, "float32"),
    (PLAIN, "float16"),
    ("geometry", "float16"),
    ("geometry and colour", "float16"),
)


class Extent(NamedTuple):
    """How much is timed.

    Attributes
    ----------
    launches : int  timed together, so that the gap before the first one does not count
    warm_ups : int
    repeats : int   for each round
    copied : int    bytes that the copy moves on a GPU
    """

    launches: int
    warm_ups: int
    repeats: int
    copied: int


_WHOLE, _TOY = Extent(20, 2, 5, 1 << 29), Extent(1, 0, 1, 1 << 16)


def drawn(blobs, job, folder):
    """Return the plan that an iterator with the options of one of augment.py's jobs draws."""
    from gpuio.io import ImageRecordIter

    rec, idx = write_rec(blobs, folder)
    with ImageRecordIter(
        path_imgrec=rec, path_imgidx=idx, data_shape=(3, SIDE, SIDE), batch_size=len(blobs),
        ctx="cpu", verbose=False, **JOBS[job],
    ) as it:  # fmt: skip
        return it.next().plan


def kernel_time(blobs, rows, name, dtype, cpu, rounds, extent):
    """Time the kernels alone on decoded images, and the floor: their bytes over a copy's rate.

    The bytes are those of the crops and of the result; what steps in between move is not counted.
    """
    from gpuio.decode.opencv import decode

    pixels = [decode(blob, 3) for blob in blobs]
    values = {"float32": 4, "float16": 2}[dtype]
    moved = int((rows["crop_h"].astype("i8") * rows["crop_w"]).sum() * 3)
    moved += len(blobs) * 3 * SIDE * SIDE * values
    timed = host_kernels if cpu else gpu_kernels
    took, rate = timed(rows, pixels, dtype, rounds, extent)
    return {
        "plans": name,
        "rows": len(rows),
        "dtype": dtype,
        "kernel_us": round(1e6 * took, 1),
        "bytes": moved,
        "copy_gb_per_s": round(rate / 1e9, 1),
        "floor_us": round(1e6 * moved / rate, 1),
        "times_floor": round(took * rate / moved, 2),
    }


def host_kernels(rows, pixels, dtype, rounds, extent):
    """Return (seconds a batch, bytes a second of a copy, read and written) on one CPU thread."""
    from gpuio.kernels import normalise
    from gpuio.kernels.cpu import augment

    how = augment.Normalisation(dtype, MEAN, STD, 1.0)
    out = np.empty((len(rows), 3, SIDE, SIDE), normalise.storage(dtype))
    scratch, block = augment.Scratch(), np.ones(extent.copied // 8, np.uint8)
    there, took, copied = np.empty_like(block), [], []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        for k, image in enumerate(pixels):
            augment.augment(image, rows[k : k + 1], how, out[k], scratch)
        took.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        np.copyto(there, block)
        copied.append(time.perf_counter() - begun)
    return statistics.median(took[1:]), 2 * block.nbytes / statistics.median(copied[1:])


def gpu_kernels(rows, pixels, dtype, rounds, extent):
    """The same on the GPU, by events."""
    import cupy
    from cupyx.profiler import benchmark

    from gpuio.backend.gpu.cuda import CudaDevice
    from gpuio.kernels.cuda.compile import LaunchPlan

    device = CudaDevice(0)
    there = [cupy.asarray(image) for image in pixels]
    addresses = np.array([image.data.ptr for image in there], np.uint64)
    work = LaunchPlan(
        rows, addresses, channels=3, height=SIDE, width=SIDE, dtype=dtype, layout="NCHW",
        mean=MEAN, std=STD, scale=1.0,
    )  # fmt: skip
    out = cupy.empty((len(rows), 3, SIDE, SIDE), dtype)
    tables, scratch = cupy.empty(work.table_bytes, "u1"), cupy.empty(work.scratch_bytes + 1, "u1")
    host, launches = work.bind(tables.data.ptr, scratch.data.ptr, out.data.ptr)
    tables.set(host)
    stream = cupy.cuda.get_current_stream()

    def launch():
        for one in launches * extent.launches:
            device.launch(*one, stream)

    block, copy = cupy.empty(extent.copied, "u1"), cupy.empty(extent.copied, "u1")
    block.data.memset(1, block.nbytes)

    def copied_block():
        copy.data.copy_from_device_async(block.data, block.nbytes)

    times = {"n_warmup": extent.warm_ups, "n_repeat": extent.repeats * rounds}
    took = benchmark(launch, **times).gpu_times / extent.launches
    copied = benchmark(copied_block, **times).gpu_times
    return float(np.median(took)), 2 * block.nbytes / float(np.median(copied))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data(parser)
    parser.add_argument("--cpu", action="store_true", help="the CPU kernels, on one thread")
    parser.add_argument("--toy", action="store_true", help="eight made images, one round")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", help="JSON file, written after every measurement")
    args = parser.parse_args(argv)
    extent = _TOY if args.toy else _WHOLE
    if args.toy:
        args.batch, args.rounds = 8, 1
    result = {
        "question": __doc__.splitlines()[0],
        "machine": machine(),
        "options": {name: value for name, value in vars(args).items() if name != "out"},
        "results": [],
    }
    save(args.out, result)
    with tempfile.TemporaryDirectory() as name:
        blobs = load_photos(args.images, Path(name), args.batch)
        rows = {}
        rows[PLAIN] = plans(blobs, np.random.default_rng(1))
        for job, dtype in TIMED:
            if job in JOBS:
                rows[job] = drawn(blobs, job, Path(name))
            found = kernel_time(blobs, rows[job], job, dtype, args.cpu, args.rounds, extent)
            result["results"].append(found)
            print(f"{job}, {dtype}: {found}", file=sys.stderr, flush=True)
            save(args.out, result)
    print(save(args.out, result))
    return result


if __name__ == "__main__":
    main()
