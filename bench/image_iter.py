"""Measure how fast gpuio's ImageIter is beside MXNet 1.9.1's, same records, same options.

    python bench/image_iter.py --images FOLDER --mxnet /path/to/mxnet/python --out results.json
    python bench/image_iter.py --toy

Both make the same batches (checked before anything is timed) and take turns, one epoch each, so
that a noisy machine slows both; the median of the rounds' ratios is the result. "bare decode" is
the upper bound: the same blobs decoded by OpenCV on as many threads, and nothing else. Data comes
from the page cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from peers import mxnet_python

OPTIONS = {"resize": 256}
SHAPE = (3, 224, 224)


def epoch(it, batch_size):
    """Drain one epoch; return (wall seconds, CPU seconds, images)."""
    wall, cpu, images = time.perf_counter(), time.process_time(), 0
    for batch in it:
        batch.data[0].wait_to_read()
        images += batch_size - batch.pad
    spent = time.perf_counter() - wall, time.process_time() - cpu, images
    it.reset()
    return spent


def serve_mxnet(job):
    """Run under MXNet's python: write the first batch, then time an epoch for every line read."""
    import mxnet

    it = mxnet.image.ImageIter(
        job["batch"], SHAPE, path_imgrec=job["rec"], path_imgidx=job["idx"], **job["options"]
    )
    np.save(job["first"], it.next().data[0].asnumpy())
    it.reset()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(epoch(it, job["batch"])), flush=True)


class MXNet:
    """MXNet in a process of its own."""

    def __init__(self, python, job):
        self.process = subprocess.Popen(
            [python, __file__, "--serve", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        while self.process.stdout.readline().strip() != "ready":
            if self.process.poll() is not None:
                raise RuntimeError("MXNet did not start")

    def epoch(self):
        """Return what the function `epoch` returns over there."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def toy_images(folder, count):
    """Write photo-like JPEGs."""
    import cv2

    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        smooth = cv2.resize(coarse, (320, 280), interpolation=cv2.INTER_CUBIC)
        grain = rng.integers(-12, 13, smooth.shape)
        cv2.imwrite(str(folder / f"{number}.jpg"), np.clip(smooth + grain, 0, 255).astype(np.uint8))


def pack(files, folder):
    """Pack image files as they are into a .rec; return its paths and the blobs."""
    from gpuio import recordio

    rec, idx = str(folder / "bench.rec"), str(folder / "bench.idx")
    writer = recordio.MXIndexedRecordIO(idx, rec, "w")
    blobs = [path.read_bytes() for path in files]
    for key, blob in enumerate(blobs):
        writer.write_idx(key, recordio.pack(recordio.IRHeader(0, float(key), key, 0), blob))
    writer.close()
    return rec, idx, blobs


def bare_decode(blobs, threads):
    """Decode every blob on `threads` threads; return what `epoch` returns."""
    import cv2

    from gpuio.pipeline.prefetch import Prefetcher

    wall, cpu = time.perf_counter(), time.process_time()
    arrays = [np.frombuffer(blob, np.uint8) for blob in blobs]
    decode = lambda blob: cv2.imdecode(blob, cv2.IMREAD_COLOR).shape  # noqa: E731
    with Prefetcher(decode, arrays, depth=8, workers=threads) as decoded:
        images = sum(1 for _ in decoded)
    return time.perf_counter() - wall, time.process_time() - cpu, images


def measure(args, folder):
    """Time all competitors in turns; return {name: list of epochs}, and the checked difference."""
    from gpuio.image import ImageIter

    files = sorted(path for path in Path(args.images).rglob("*") if path.is_file())
    rec, idx, blobs = pack(files, folder)
    options = {**OPTIONS, "inter_method": args.inter_method}
    ours = ImageIter(
        args.batch,
        SHAPE,
        path_imgrec=rec,
        path_imgidx=idx,
        preprocess_threads=args.threads,
        **options,
    )
    runs = {
        "gpuio": lambda: epoch(ours, args.batch),
        "bare decode": lambda: bare_decode(blobs, args.threads),
    }
    first, difference = ours.next().data[0].asnumpy(), None
    ours.reset()
    theirs = None
    if args.mxnet:
        job = {"batch": args.batch, "rec": rec, "idx": idx, "options": options}
        theirs = MXNet(args.mxnet, {**job, "first": str(folder / "first.npy")})
        difference = float(np.abs(first - np.load(folder / "first.npy")).max())
        assert difference <= 1, f"the competitors' pictures differ by {difference}"
        runs["mxnet"] = theirs.epoch
    for run in runs.values():
        run()  # warm-up
    epochs = {name: [] for name in runs}
    for _ in range(args.rounds):
        for name, run in runs.items():
            epochs[name].append(run())
    ours.close()
    if theirs is not None:
        theirs.close()
    return epochs, difference, sum(map(len, blobs)) / len(blobs)


def summary(epochs):
    """Return rates and CPU times of each competitor."""
    made = {}
    for name, runs in epochs.items():
        rates = sorted(images / wall for wall, _, images in runs)
        quartiles = statistics.quantiles(rates, n=4) if len(rates) > 1 else [rates[0]] * 3
        made[name] = {
            "images_per_s_median": round(statistics.median(rates), 1),
            "images_per_s_quartiles": [round(rate, 1) for rate in quartiles],
            "cpu_ms_per_image_median": round(
                statistics.median(1000 * cpu / images for _, cpu, images in runs), 3
            ),
        }
    return made


def machine():
    """Return what the numbers depend on."""
    import cv2

    import gpuio

    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "gpuio": gpuio.__version__,
        "commit": commit,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", help="folder of image files, searched recursively")
    found = str(mxnet_python()) if mxnet_python().exists() else None
    parser.add_argument("--mxnet", default=found, help="a Python with MXNet; '' for none")
    parser.add_argument("--toy", action="store_true", help="ten made images, one round")
    parser.add_argument("--batch", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--inter-method", type=int, default=2, help="2 is ImageIter's default")
    parser.add_argument("--out", help="JSON file")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve:
        serve_mxnet(json.loads(args.serve))
        return None
    if not args.images and not args.toy:
        parser.error("give --images or --toy")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.toy:
            args.images, args.batch, args.rounds = folder / "images", 4, 1
            args.images.mkdir()
            toy_images(args.images, 10)
        epochs, difference, size = measure(args, folder)
    result = {
        "question": __doc__.splitlines()[0],
        "machine": machine(),
        "options": {**OPTIONS, "crop": SHAPE[1:], "inter_method": args.inter_method}
        | {"batch": args.batch, "threads": args.threads, "rounds": args.rounds, "toy": args.toy},
        "data": "page cache",
        "mean_image_bytes": round(size),
        "largest_difference_from_mxnet": difference,
        "results": summary(epochs),
    }
    result["ratio_to"] = {
        name: round(
            statistics.median(
                (ours[2] / ours[0]) / (theirs[2] / theirs[0])
                for ours, theirs in zip(epochs["gpuio"], runs, strict=True)
            ),
            3,
        )
        for name, runs in epochs.items()
        if name != "gpuio"
    }
    text = json.dumps(result, indent=2)
    if args.out:
        Path(args.out).write_text(text + "\n")
    print(text)
    return result


if __name__ == "__main__":
    main()
