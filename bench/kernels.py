"""Measure how long the CPU kernels take an image, from decoded pixels to the batch, beside OpenCV.

    python bench/kernels.py --out results.json
    python bench/kernels.py --toy

"opencv" is cv2.resize and NumPy, one thread, IPP as it comes; "copy" reads the source's bytes and
writes the output's once, which is the bound. All take turns on the same images, so that a noisy
machine slows all; the ratio of medians of CPU time is the result. Images are made with NumPy and
lie in memory, outputs in one batch, both larger than the second-level cache; ``--count 1`` is one
image again and again, in cache. Pictures are checked to be the same before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

MEAN = np.array([123.68, 116.779, 103.939], np.float32)
STD = np.array([58.393, 57.12, 57.375], np.float32)
DTYPES = ("float32", "float16", "uint8")


def pictures(count, height, width):
    """Return smooth pictures with some grain: uint8[height, width, 3] each."""
    import cv2

    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        coarse = rng.integers(0, 256, (12, 16, 3), np.uint8)
        smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        made.append(np.clip(smooth + rng.integers(-9, 10, smooth.shape), 0, 255).astype(np.uint8))
    return made


def plans(kind, images, side):
    """Return a plan row for each image: a shorter side of side * 8 / 7, or random resized crops."""
    from gpuio.kernels.plan.layout import BILINEAR, PLAN

    rng = np.random.default_rng(1)
    rows = np.zeros(len(images), PLAN)
    rows["gain"], rows["resize_inter"], rows["crop_inter"] = 1, BILINEAR, BILINEAR
    for number, image in enumerate(images):
        row, (h, w) = rows[number], image.shape[:2]
        row["src_h"], row["src_w"], row["mirror"] = h, w, number % 2
        if kind == "centre crop":
            short = side * 8 // 7
            h, w = (short * h // w, short) if h > w else (short, short * w // h)
            row["resize_h"], row["resize_w"] = h, w
            row["crop_h"] = row["crop_w"] = side
            row["crop_y"], row["crop_x"] = (h - side) // 2, (w - side) // 2
        else:
            area, ratio = rng.uniform(0.08, 1) * h * w, rng.uniform(3 / 4, 4 / 3)
            row["crop_h"] = min(h, max(1, round((area / ratio) ** 0.5)))
            row["crop_w"] = min(w, max(1, round((area * ratio) ** 0.5)))
            row["crop_y"] = rng.integers(0, h - row["crop_h"] + 1)
            row["crop_x"] = rng.integers(0, w - row["crop_w"] + 1)
    return rows


def with_opencv(image, row, dtype, out):
    """Make one image as a careful script would: resize, cut, flip, normalise, write."""
    import cv2

    y, x, h, w = (int(row[f"crop_{part}"]) for part in "yxhw")
    side = out.shape[1]
    if row["resize_h"]:
        made = cv2.resize(image, (int(row["resize_w"]), int(row["resize_h"])))
        made = made[y : y + h, x : x + w]
    else:
        made = cv2.resize(image[y : y + h, x : x + w], (side, side))
    made = made[:, ::-1] if row["mirror"] else made
    made = made[:, :, ::-1].transpose(2, 0, 1)
    if dtype == "uint8":
        out[:] = made
        return
    value = np.subtract(made, MEAN[:, None, None], dtype=np.float32)
    value *= 1 / STD[:, None, None]
    out[:] = value


def contestants(kind, dtype, images, side):
    """Return {name: function that makes all images}, their pictures checked to be the same."""
    from gpuio.kernels.cpu import augment

    rows = plans(kind, images, side)
    how, scratch = augment.Normalisation(dtype, MEAN, STD, 1.0), augment.Scratch()
    out = np.zeros((len(images), 3, side, side), dtype)
    stored, kept = out.view(how.storage), np.zeros_like(out)
    sources, sink = [image.reshape(-1) for image in images], np.empty(images[0].size, np.uint8)

    def gpuio():
        for number, image in enumerate(images):
            augment.augment(image, rows[number : number + 1], how, stored[number], scratch)

    def opencv():
        for number, image in enumerate(images):
            with_opencv(image, rows[number], dtype, out[number])

    def copy():
        for number, source in enumerate(sources):
            sink[:] = source
            out[number] = kept[number]

    gpuio()
    first = out.copy()
    opencv()
    assert np.array_equal(first, out), f"the contestants' pictures differ: {kind}, {dtype}"
    return {"gpuio": gpuio, "opencv": opencv, "copy": copy}


def quartiles(values):
    """Return the quartiles of a list, its one value thrice if there is but one."""
    return statistics.quantiles(values, n=4) if len(values) > 1 else values * 3


def measure(args):
    """Return the results of every case."""
    images = pictures(args.count, args.height, args.width)
    results = {}
    for kind in ("centre crop", "random resized crop"):
        for dtype in DTYPES:
            runs = contestants(kind, dtype, images, args.side)
            spent = {name: [] for name in runs}
            for _ in range(args.rounds):
                for name, run in runs.items():
                    start = time.process_time()
                    run()
                    spent[name].append(1000 * (time.process_time() - start) / len(images))
            case = {}
            for name, times in spent.items():
                low, middle, high = (round(value, 4) for value in quartiles(times))
                case[name] = {"cpu_ms_median": middle, "cpu_ms_quartiles": [low, high]}
            case["opencv / gpuio"] = round(
                statistics.median(spent["opencv"]) / statistics.median(spent["gpuio"]), 2
            )
            results[f"{kind}, {dtype}"] = case
    return results


def machine():
    """Return what the numbers depend on."""
    import cv2
    import numba

    import gpuio

    name, info = platform.processor(), Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].split(":")[1].strip() if lines else name
    command = ["git", "rev-parse", "--short", "HEAD"]
    told = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return {
        "cpu": name,
        "cores": len(os.sched_getaffinity(0)),
        "gpu": None,
        "python": platform.python_version(),
        "numba": numba.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "gpuio": gpuio.__version__,
        "commit": told.stdout.strip(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main(argv=None):
    """Run and print JSON."""
    import cv2

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toy", action="store_true", help="tiny pictures, two rounds")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--count", type=int, default=32, help="pictures")
    parser.add_argument("--height", type=int, default=375)
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--side", type=int, default=224, help="of the output, pixels")
    parser.add_argument("--out", type=Path, help="write the JSON here, too")
    args = parser.parse_args(argv)
    if args.toy:
        args.rounds, args.count, args.height, args.width, args.side = 2, 3, 48, 64, 28
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        results = measure(args)
    finally:
        cv2.setNumThreads(threads)
    options = {key: value for key, value in vars(args).items() if key != "out"}
    text = json.dumps({"options": options, "machine": machine(), "results": results}, indent=1)
    if args.out:
        args.out.write_text(text + "\n")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
