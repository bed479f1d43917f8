"""Measure the way from JPEG to batch on a GPU: each decode engine bare, whole batches, rivals.

    python bench/gpu.py --images FOLDER --out results.json
    python bench/gpu.py --part rates --images FOLDER --faces FOLDER --out results.json
    python bench/gpu.py --toy --cpu

One competitor at a time is open, so that none holds another's memory; all of them are gone through
twice, in the same order, and both passes count: what drifts shows in the quartiles. The most
telling come first, and the JSON file is written after each, so that a run that is cut short leaves
what it measured. "bare" is an engine alone at a share of JPEG hardware: the upper bound; its
pixels' differences from OpenCV's stand in the result. With --cpu the same code runs without a GPU:
engines on the host, the CPU backend. Data comes from memory; a .rec from the page cache.

Parts, for photos and faces:

rates       nvImageCodec bare, by share of hardware and chroma filter
iterators   ImageRecordIter, waits for events that sleep or spin
shares      ImageRecordIter with shares of the host's cores, what "auto" finds among them
pipelines   DALI's own pipeline at its defaults and at our settings, beside ImageRecordIter
dali        DALI's decoder bare, by share of hardware
all         what is above the parts, with photos alone
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from gpu_data import add_data, load_photos, load_sets, machine, save, write_rec
from gpu_engines import Bare
from gpu_overrides import Under, blocking_events, fancy_upsampling
from gpu_rivals import Batches, Dali, Iterator, Torchvision

SHARES = (1.0, 0.8, 0.5, 0.3, 0.0)  # beside 65 %, which is the default
PASSES = 2
HOST_SHARES = ("auto", 0.5, 0.25, 0.75, 0.0, 1.0)
PARTS = ("all", "rates", "iterators", "shares", "pipelines", "dali")


class Field:
    """Who can be measured, as functions that open a competitor.

    Parameters
    ----------
    args : argparse.Namespace
    sets : dict             of the name of a set to its blobs
    folder : Path           for record files
    device : CudaDevice or None
    """

    def __init__(self, args, sets, folder, device):
        self.args, self.sets, self.folder, self.device = args, sets, folder, device
        self.files = {}

    def bare(self, engine, which="photos", size=None, fancy=None, **how):
        """A decode engine alone."""
        size = size or self.args.batch
        contexts = () if fancy is None else (fancy_upsampling(fancy),)
        return lambda: Under(
            lambda: Bare(engine, self.sets[which], size, self.device, **how), *contexts
        )

    def batches(self, **settings):
        """Our backend."""
        blobs, args = self.sets["photos"], self.args
        return lambda: Batches(blobs, args.batch, "float32", args.cpu, **settings)

    def iterator(self, which="photos", blocking=None, **settings):
        """Our ImageRecordIter."""
        contexts = () if blocking is None else (blocking_events(blocking),)
        size, cpu = self.args.batch, self.args.cpu
        return lambda: Under(lambda: Iterator(*self.rec(which), size, cpu, **settings), *contexts)

    def dali(self, share, which="photos", **how):
        """DALI's own pipeline."""
        size, cpu, count = self.args.batch, self.args.cpu, len(self.sets[which])
        return lambda: Dali(*self.rec(which), size, count, cpu, share, **how)

    def rec(self, which):
        """Return the record file of a set, and its index; written when it is first asked for."""
        if which not in self.files:
            self.files[which] = write_rec(self.sets[which], self.folder, which)
        return self.files[which]


def competitors(part, field):
    """Return {name: function that opens it}, the most telling first."""
    parts = {
        "rates": rates,
        "iterators": iterators,
        "shares": shares,
        "pipelines": pipelines,
        "dali": bare_dali,
    }
    return parts.get(part, everybody)(field)


def rates(field):
    """Measure nvImageCodec bare."""
    wanted = {}
    for fancy in (True, False):
        for which in field.sets:
            for share in (0.0,) if field.args.cpu else (0.65, 1.0, 0.0):
                name = f"bare nvimgcodec {which}, {share:.0%} hardware, fancy {_on(fancy)}"
                wanted[name] = field.bare("nvimgcodec", which, fancy=fancy, share=share)
    many = 4 * field.args.batch
    for share in () if field.args.cpu else (0.65, 1.0):
        name = f"bare nvimgcodec faces x {many}, {share:.0%} hardware, fancy on"
        wanted[name] = field.bare("nvimgcodec", "faces", many, share=share)
    return wanted


def iterators(field):
    """ImageRecordIter, waits that sleep or spin."""
    wanted = {}
    engine = {} if field.args.cpu else {"decoder": "nvimgcodec"}
    # CUDA's events are all that differs: there are none without a GPU
    for blocking in (None,) if field.args.cpu else (False, True):
        for which in field.sets:
            name = f"ImageRecordIter {which}"
            name += "" if blocking is None else f", blocking events {_on(blocking)}"
            wanted[name] = field.iterator(which, blocking, **engine)
    return wanted


def shares(field):
    """ImageRecordIter with the host's cores beside the engine; faces are small, so all or none."""
    wanted = {}
    for which in field.sets:
        for share in HOST_SHARES if which == "photos" else (1.0, 0.0):
            # without a GPU the same iterators run, which have nothing to divide
            settings = {} if field.args.cpu else {"decoder": "nvimgcodec", "host_share": share}
            name = f"ImageRecordIter {which}, host_share={share}"
            wanted[name] = field.iterator(which, **settings)
    return wanted


def pipelines(field):
    """DALI's own pipeline, and our iterator with each engine."""
    wanted = {}
    for which in field.sets:
        wanted[f"dali pipeline {which}, its defaults"] = field.dali(0.65, which, defaults=True)
        wanted[f"dali pipeline {which}, our settings"] = field.dali(0.65, which)
    for which in field.sets:
        for engine in (None,) if field.args.cpu else ("dali", "nvimgcodec"):
            settings = {"decoder": engine} if engine else {}
            wanted[f"ImageRecordIter {which} {engine or ''}".strip()] = field.iterator(
                which, **settings
            )
    return wanted


def bare_dali(field):
    """Measure DALI's decoder bare."""
    return {
        f"bare dali {which}, {share:.0%} hardware": field.bare("dali", which, share=share)
        for which in field.sets
        for share in ((0.0,) if field.args.cpu else (0.65, 1.0, 0.0))
    }


def _on(setting):
    return "on" if setting else "off"


def everybody(field):
    """All of them, with photos."""
    bare, ours, iterator, dali = field.bare, field.batches, field.iterator, field.dali
    if field.args.cpu:
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
    wanted["torchvision decode_jpeg cuda"] = lambda: Torchvision(
        field.sets["photos"], field.args.batch
    )
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

    def __init__(self, args, sets):
        self.out = args.out
        self.epochs, self.absent, self.pixels = {}, {}, {}
        self.head = {
            "question": __doc__.splitlines()[0],
            "machine": machine(),
            "options": {name: value for name, value in vars(args).items() if name != "out"},
            "mean_image_bytes": {
                name: round(sum(map(len, blobs)) / len(blobs)) for name, blobs in sets.items()
            },
        }
        self.complete = False

    def take(self, name, epochs, pixels):
        """Add a competitor's epochs: (wall seconds, CPU seconds, images) each."""
        self.epochs.setdefault(name, []).extend(epochs)
        if pixels is not None:
            self.pixels[name] = pixels

    def of(self, name):
        """Say in a line how fast a competitor was."""
        if name in self.absent:
            return self.absent[name]
        run = summary(self.epochs[name])
        cpu = 1000 * run["cpu_ms_per_image_median"]
        return f"{run['images_per_s_median']:.0f} images/s, {cpu:.0f} us of CPU per image"

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

    def write(self):
        """Write the file anew."""
        save(self.out, self.made())


def measure(args, sets, folder, results):
    """Run everybody, PASSES times, until the time is used up."""
    device = None
    if not args.cpu:
        from gpuio.backend.gpu.cuda import CudaDevice

        device = CudaDevice(0)
    ends = time.monotonic() + args.seconds
    field = Field(args, sets, folder, device)
    for _ in range(1 if args.toy else PASSES):
        for name, open_it in competitors(args.part, field).items():
            if name in results.absent or (args.without and args.without in name):
                continue
            if time.monotonic() > ends:
                return
            try:
                results.take(name, *epochs_of(open_it, args.rounds))
            except Exception as error:  # noqa: BLE001 -- who cannot run is reported as such
                results.absent[name] = " ".join(f"{type(error).__name__}: {error}".split())[:400]
            print(f"{name}: {results.of(name)}", file=sys.stderr, flush=True)
            gc.collect()
            results.write()
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
    parser.add_argument("--part", choices=PARTS, default="all")
    add_data(parser)
    parser.add_argument("--cpu", action="store_true", help="run the same code without a GPU")
    parser.add_argument("--toy", action="store_true", help="24 made images, one pass of one round")
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
        if args.part == "all":
            sets = {"photos": load_photos(args.images, folder, args.images_per_epoch)}
        else:
            sets = load_sets(args, folder, args.images_per_epoch)
        results = Results(args, sets)
        results.write()
        measure(args, sets, folder, results)
    results.write()
    print(json.dumps(results.made(), indent=2, default=str))
    return results.made()


if __name__ == "__main__":
    main()
