"""The main job on real images: pack them, read them back in batches, draw one batch.

``make demo`` runs this. It exits with an error if any of it failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from os.path import expanduser
from pathlib import Path
from typing import Any

import numpy as np

from gpuio.forking import working
from gpuio.nd import asnumpy
from gpuio.tools import cli, im2rec
from gpuio.tools.arguments import at_least
from gpuio.tools.contact import contact_sheet, write_sheet

__all__ = ["add_arguments", "main", "run"]

EXAMPLES = ("gpuio demo", "gpuio demo --images photos --out demo-out --threads 8")
EXITS = {1: "a photo could not be packed or read"}

_SHAPE = (3, 224, 224)
_BATCH = 64
_SHOWN = 36


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--images", type=expanduser, help="folder of class folders; without it photos are made up"
    )
    parser.add_argument(
        "--out", type=expanduser, default="demo-out", help="folder for everything it writes"
    )
    parser.add_argument("--epochs", type=at_least(1), default=4, help="epochs to read")
    parser.add_argument(
        "--threads", type=at_least(1), default=os.cpu_count() or 1, help="decode threads"
    )
    parser.add_argument("--ctx", default="auto", choices=["auto", "cpu", "gpu"], help="device")
    parser.add_argument("--count", type=at_least(1), default=200, help="photos to make up")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON only")


def run(args: argparse.Namespace) -> int:
    """Run the demo; return 0 if all of it worked, else the exit code of what failed."""
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    folder = Path(args.images) if args.images else _made_up(out, args)
    prefix = str(out / "photos")
    _say(args, f"1. packing {folder} into {prefix}.rec")
    common = [prefix, str(folder), "--progress", "none"]
    code = _quietly([*common, "--list", "--recursive", "--exts", ".jpeg", ".jpg", ".png"])
    code = code or im2rec.main([*common, "--pass-through", "--num-thread", str(args.threads)])
    if code:
        return code
    return _read(prefix, out, args)


def _quietly(argv: list[str]) -> int:
    """Run im2rec without the folder names that it prints."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()):
        return im2rec.main(argv)


def _say(args: argparse.Namespace, line: str) -> None:
    """Print a line, unless JSON is wanted alone."""
    if not args.json:
        print(line)


def _made_up(out: Path, args: argparse.Namespace) -> Path:
    """Make photo-like images."""
    from gpuio.tools.photos import make_photos

    folder, count = out / "images", args.count
    if len(list(folder.glob("*/*.jp*g"))) != count:
        _say(args, f"0. making {count} photo-like images in {folder}")
        make_photos(folder, count)
    return folder


def _read(prefix: str, out: Path, args: argparse.Namespace) -> int:
    """Read epochs, print the rate, draw a batch."""
    from gpuio.io.record import ImageRecordIter

    options: dict[str, Any] = {
        "path_imgrec": f"{prefix}.rec",
        "path_imgidx": f"{prefix}.idx",
        "data_shape": _SHAPE,
        "batch_size": _BATCH,
        "resize": 256,
        "shuffle": True,
        "last_batch": "partial",
        "preprocess_threads": args.threads,
        "ctx": args.ctx,
        "mean_r": 123.68,
        "mean_g": 116.78,
        "mean_b": 103.94,
        "std_r": 58.4,
        "std_g": 57.12,
        "std_b": 57.38,
    }
    _say(
        args,
        "2. reading it with ImageRecordIter(resize=256, data_shape=(3, 224, 224), shuffle=True)",
    )
    begun = time.perf_counter()
    images = 0
    with ImageRecordIter(**options) as it:
        first = next(it)
        opened = time.perf_counter() - begun
        _say(args, f"   first batch after {opened:.2f} s ({_kernels()})")
        it.reset()
        begun = time.perf_counter()
        with working:  # what is measured is every later run
            import gpuio.kernels.cpu.plain  # noqa: F401
        loaded = time.perf_counter() - begun
        _say(args, f"   gpuio's own JPEG decoder after {loaded:.2f} s more ({_kernels()})")
        begun, cpu = time.perf_counter(), time.process_time()
        for _ in range(args.epochs):
            for batch in it:
                images += len(batch.index)
            it.reset()
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    _say(
        args,
        f"   {images} images in {wall:.2f} s: {images / wall:.0f} images/s on {args.threads} "
        f"threads, {1e3 * cpu / images:.2f} ms of CPU per image",
    )
    sheet = out / "batch.png"
    _draw(first, options, sheet)
    _say(args, f"3. one batch, drawn: {sheet}")
    if args.json:
        told = {
            "record": f"{prefix}.rec",
            "sheet": str(sheet),
            "first_batch_s": round(opened, 3),
            "images": images,
            "images_per_s": round(images / wall, 1),
            "cpu_ms_per_image": round(1e3 * cpu / images, 3),
            "threads": args.threads,
        }
        print(json.dumps(told, indent=1))
    return 0


def _kernels() -> str:
    """Say what was done for kernels."""
    from gpuio.kernels.jit import counts

    if not counts.compiled:
        return f"{counts.loaded} kernels loaded"
    again = "once: they are kept" if counts.folder else "in every process: they cannot be kept"
    return f"{counts.compiled} kernels compiled in {counts.seconds:.1f} s, {again}"


def _draw(batch: Any, options: dict[str, Any], path: Path) -> None:
    """Undo the normalisation of a batch and write its contact sheet."""
    mean = np.array([options[f"mean_{c}"] for c in "rgb"])[:, None, None]
    std = np.array([options[f"std_{c}"] for c in "rgb"])[:, None, None]
    data = asnumpy(batch.data[0])[:_SHOWN] * std + mean
    pictures = np.clip(np.rint(data), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    labels = asnumpy(batch.label[0])
    sheet = contact_sheet(
        [picture[::2, ::2] for picture in pictures],
        [f"class {int(label)}" for label in labels[: len(pictures)]],
    )
    write_sheet(path, sheet)


def main(argv: list[str] | None = None) -> int:
    """Run the command; ``python -m gpuio.tools.demo``."""
    return cli.main(["demo", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
