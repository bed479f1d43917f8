"""Measure the way from JPEG to batch on a GPU: each decode engine bare, whole batches, rivals.

    python bench/gpu.py --images FOLDER --out results.json
    python bench/gpu.py --toy --cpu

One competitor at a time is open, so that none holds another's memory; all of them are gone through
twice, in the same order, and both passes count: what drifts shows in the quartiles. The most
telling come first, and the JSON file is written after each, so that a run that is cut short leaves
what it measured. "bare" is an engine alone at a share of JPEG hardware: the upper bound; its
pixels' differences from OpenCV's stand in the result. With --cpu the same code runs without a GPU:
engines on the host, the CPU backend. Data comes from memory; a .rec from the page cache.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from pathlib import Path

from gpu_data import load_photos, machine, write_rec
from gpu_engines import Bare
from gpu_rivals import Batches, Dali, Iterator, Torchvision

SHARES = (1.0, 0.8, 0.5, 0.3, 0.0)  # beside 65 %, which is the default
PASSES = 2


def competitors(args, blobs, rec, idx, device):
    """Return {name: function that opens it}, the most telling first."""
    size, cpu = args.batch, args.cpu

    def bare(name, **how):
        return lambda: Bare(name, blobs, size, device, **how)

    def ours(**settings):
        return lambda: Batches(blobs, size, "float32", cpu, **settings)

    def iterator(**settings):
        return lambda: Iterator(rec, idx, size, cpu, **settings)

    def dali(share):
        return lambda: Dali(rec, idx, size, len(blobs), cpu, share)

    if cpu:
        return {
            "bare nvimgcodec": bare("nvimgcodec"),
            "bare dali": bare("dali"),
            "gpuio batches cpu": ours(),
            "gpuio ImageRecordIter": iterator(),
            "dali pipeline": dali(0),
        }
    wanted = {}
    for name in ("nvimgcodec", "dali"):
        wanted[f"bare {name} 65% hardware"] = bare(name)
        wanted[f"gpuio batches {name}"] = ours(decoder=name)
        wanted[f"gpuio ImageRecordIter {name}"] = iterator(decoder=name)
    wanted["dali pipeline 65% hardware"] = dali(0.65)
    wanted |= {
        f"bare {name} {share:.0%} hardware": bare(name, share=share)
        for share in SHARES
        for name in ("nvimgcodec", "dali")
    }
    wanted["torchvision decode_jpeg cuda"] = lambda: Torchvision(blobs, size)
    wanted["bare nvimgcodec 65% hardware, 1 engine"] = bare("nvimgcodec", engines=1)
    wanted["bare nvimgcodec 65% hardware, 4 engines"] = bare("nvimgcodec", engines=4)
    wanted["gpuio batches nvimgcodec, 4 engines"] = ours(
        decoder="nvimgcodec", decoders=4, workers=4
    )
    wanted["bare dali 65% hardware, preallocated"] = bare("dali", room=(1024, 1024))
    wanted["dali pipeline 12% hardware"] = dali(0.12)
    wanted["gpuio ImageRecordIter nvimgcodec, float16"] = iterator(
        decoder="nvimgcodec", dtype="float16"
    )
    return wanted


class Results:
    """What was measured so far, on disk after every competitor."""

    def __init__(self, args, blobs):
        self.out = args.out
        self.epochs, self.absent, self.pixels = {}, {}, {}
        self.head = {
            "question": __doc__.splitlines()[0],
            "machine": machine(),
            "options": {name: value for name, value in vars(args).items() if name != "out"},
            "mean_image_bytes": round(sum(map(len, blobs)) / len(blobs)),
        }
        self.complete = False

    def take(self, name, epochs, pixels):
        """Add a competitor's epochs: (wall seconds, CPU seconds, images) each."""
        self.epochs.setdefault(name, []).extend(epochs)
        if pixels is not None:
            self.pixels[name] = pixels

    def made(self):
        """Return everything as JSON types."""
        results = {name: summary(runs) for name, runs in self.epochs.items()}
        rates = {name: run["images_per_s_median"] for name, run in results.items()}
        ours = max((rate for name, rate in rates.items() if "batches" in name), default=None)
        return {
            **self.head,
            "complete": self.complete,
            "results": results,
            "pixels_beside_opencv": self.pixels,
            "absent": self.absent,
            "gpuio_batches_ratio_to": {
                name: round(ours / rate, 3) for name, rate in rates.items() if ours
            },
        }

    def save(self):
        """Write the file anew."""
        if self.out:
            Path(self.out).write_text(json.dumps(self.made(), indent=2, default=str) + "\n")


def measure(args, blobs, folder, results):
    """Run everybody, PASSES times, until the time is used up."""
    rec, idx = write_rec(blobs, folder)
    device = None
    if not args.cpu:
        from gpuio.backend.gpu.cuda import CudaDevice

        device = CudaDevice(0)
    ends = time.monotonic() + args.seconds
    for _ in range(PASSES):
        for name, open_it in competitors(args, blobs, rec, idx, device).items():
            if name in results.absent or (args.without and args.without in name):
                continue
            if time.monotonic() > ends:
                return
            try:
                results.take(name, *epochs_of(open_it, args.rounds))
            except Exception as error:  # noqa: BLE001 -- who cannot run is reported as such
                results.absent[name] = " ".join(f"{type(error).__name__}: {error}".split())[:400]
            gc.collect()
            results.save()
    results.complete = True


def epochs_of(open_it, rounds):
    """Open a competitor, warm it up, time its epochs, close it; return them and its pixels."""
    competitor = open_it()
    prepare = getattr(competitor, "prepare", lambda: None)
    epochs, pixels = [], None
    try:
        competitor.run()
        for _ in range(rounds):
            prepare()
            wall, cpu = time.perf_counter(), time.process_time()
            images = competitor.run()
            epochs.append((time.perf_counter() - wall, time.process_time() - cpu, images))
        pixels = getattr(competitor, "pixels", None)
    finally:
        competitor.close()
    return epochs, pixels


def summary(runs):
    """Return rate and CPU time of one competitor's epochs."""
    rates = sorted(images / wall for wall, _, images in runs)
    quartiles = statistics.quantiles(rates, n=4) if len(rates) > 1 else [rates[0]] * 3
    return {
        "images_per_s_median": round(statistics.median(rates), 1),
        "images_per_s_quartiles": [round(rate, 1) for rate in quartiles],
        "cpu_ms_per_image_median": round(
            statistics.median(1000 * cpu / images for _, cpu, images in runs), 3
        ),
        "epochs": len(runs),
    }


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", help="folder of JPEG files, searched recursively")
    parser.add_argument("--cpu", action="store_true", help="run the same code without a GPU")
    parser.add_argument("--toy", action="store_true", help="24 made images, one round a pass")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--images-per-epoch", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3, help="epochs a pass")
    parser.add_argument(
        "--seconds", type=float, default=600, help="begin no competitor after this long"
    )
    parser.add_argument("--without", help="leave out whoever has this in the name")
    parser.add_argument("--out", help="JSON file, written after every competitor")
    args = parser.parse_args(argv)
    if args.toy:
        args.batch, args.images_per_epoch, args.rounds = 8, 24, 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        blobs = load_photos(args.images, folder, args.images_per_epoch)
        results = Results(args, blobs)
        measure(args, blobs, folder, results)
    results.save()
    print(json.dumps(results.made(), indent=2, default=str))
    return results.made()


if __name__ == "__main__":
    main()
