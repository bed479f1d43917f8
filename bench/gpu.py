"""Measure the way from JPEG to batch on a GPU: each decode engine bare, whole batches, rivals.

    python bench/gpu.py --images FOLDER --out results.json
    python bench/gpu.py --toy --cpu

Everything that makes images is run in turns, one epoch each a round; the ratio of medians to
gpuio's batches is the result. "bare" is an engine alone, on two threads, at a share of JPEG
hardware: the upper bound. Before anything is timed its pixels are checked against OpenCV's. With
--cpu the same code runs without a GPU: engines on the host, the CPU backend.
Data comes from memory; a .rec from the page cache.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from gpu_data import MEAN, SIDE, STD, load_photos, machine, plans, threads, write_rec

SHARES = (0.0, 0.3, 0.5, 0.65, 0.8, 1.0)
WORKERS = 2


def batches(blobs, size):
    """Cut blobs into whole batches."""
    return [blobs[k : k + size] for k in range(0, len(blobs) - size + 1, size)]


def in_turns(work, items):
    """Run `work` over items on WORKERS threads; return the number of images."""
    from gpuio.pipeline.ahead import Ahead

    with Ahead(work, items, depth=WORKERS, workers=WORKERS, name="bench") as done:
        return sum(done)


class Bare:
    """One engine alone, decoding into its own or our memory."""

    def __init__(self, name, share, blobs, size, device):
        from gpuio.backend.engines import EnginePool, engine_opener
        from gpuio.decode.imageinfo import probe

        number = None if device is None else device.id
        opener = engine_opener(name, number, engines=WORKERS, hw_decoder_load=share)
        self.device, self.batches = device, batches(blobs, size)
        self.engines = EnginePool(opener, WORKERS)
        self.engines.expect(size)
        self.sizes = [np.array([probe(b)[1:3] for b in some], "i4") for some in self.batches]
        largest = max(int(s.astype("i8").prod(axis=1).max()) for s in self.sizes)
        self.slots = [Memory(device, largest, size) for _ in range(WORKERS)]
        self.check()

    def work(self, number):
        """Make one batch; return its number of images."""
        slot = self.slots.pop()
        try:
            slot.wait()
            places = slot.places(self.sizes[number]) if self.engines.uses_arena else []
            with slot.current(), self.engines.lend() as engine:
                made = engine.decode(
                    self.batches[number], self.sizes[number], 3, places, slot.handle
                )
            slot.keep = made.keep
            assert not made.errors, made.errors
            return len(made.addresses)
        finally:
            self.slots.append(slot)

    def run(self):
        """Run an epoch; return its number of images."""
        images = in_turns(self.work, range(len(self.batches)))
        for slot in self.slots:
            slot.wait()
        return images

    def check(self):
        """Compare a batch with OpenCV's pixels."""
        from gpuio.decode.opencv import decode

        slot = self.slots[0]
        places = slot.places(self.sizes[0]) if self.engines.uses_arena else []
        with slot.current(), self.engines.lend() as engine:
            made = engine.decode(self.batches[0], self.sizes[0], 3, places, slot.handle)
        slot.keep = made.keep
        slot.wait()
        for k in range(min(4, len(self.batches[0]))):
            ours = slot.read(int(made.addresses[k]), (*self.sizes[0][k], 3))
            difference = np.abs(ours.astype(int) - decode(self.batches[0][k], 3))
            assert difference.max() <= 8, f"image {k} differs by {difference.max()}"

    def close(self):
        """Let go of everything."""
        self.engines.close()


class Memory:
    """A worker's arena and stream, on the GPU or the host."""

    def __init__(self, device, largest, rows):
        from gpuio.decode.engine import Place

        self.device, self.rows, self.keep, self.Place = device, rows, None, Place
        self.pitch = -(-largest * 3 // 512) * 512
        self.stream = device.new_stream() if device else None
        self.handle = self.stream.ptr if device else 0
        self.buffer = device.alloc(self.pitch * rows) if device else None
        self.host = None if device else np.empty(self.pitch * rows, np.uint8)

    def current(self):
        """Make the stream current, for engines that look."""
        return self.device.current(self.stream) if self.device else contextlib.nullcontext()

    def wait(self):
        """Wait for the last reader."""
        if self.stream is not None:
            self.stream.synchronize()

    def places(self, sizes):
        """Cut the memory into places for images of these sizes."""
        made = []
        with self.current():
            for k, (h, w) in enumerate(sizes.tolist()):
                if self.device:
                    memory = self.device.view(self.buffer, k * self.pitch, h * w, 3)
                    made.append(self.Place(self.buffer.address + k * self.pitch, memory))
                else:
                    memory = self.host[k * self.pitch :][: 3 * h * w]
                    made.append(self.Place(memory.ctypes.data, memory.reshape(1, -1, 3)))
        return made

    def read(self, address, shape):
        """Copy an image to the host."""
        size = int(np.prod(shape))
        if self.device is None:
            import ctypes

            return np.frombuffer((ctypes.c_uint8 * size).from_address(address), "u1").reshape(shape)
        import cupy

        memory = cupy.cuda.UnownedMemory(address, size, self, self.device.id)
        return cupy.ndarray(shape, "u1", cupy.cuda.MemoryPointer(memory, 0)).get()


class Batches:
    """gpuio's backend: decode, random resized crop, flip, normalise."""

    def __init__(self, blobs, size, dtype, cpu, decoder="auto"):
        from gpuio.backend import open_backend
        from gpuio.backend.protocol import Output

        settings = {} if cpu else {"decoder": decoder, "decoders": WORKERS}
        self.backend = open_backend("cpu" if cpu else "gpu", **settings)
        self.batches, rng = batches(blobs, size), np.random.default_rng(0)
        self.rows = [plans(some, rng) for some in self.batches]
        self.output = Output(3, SIDE, SIDE, dtype, "NCHW", MEAN, STD, 1.0)
        self.cpu = cpu
        self.backend.share(size, WORKERS)

    def work(self, number):
        """Make one batch; return its number of images."""
        blobs, rows = self.batches[number], self.rows[number]
        out = self.backend.allocate(self.output.shape(len(rows)), self.output.dtype)
        pixels = self.backend.decode(blobs, rows, 3)
        assert self.backend.augment(pixels, rows, self.output, out) == []
        if not self.cpu:
            self.backend.fence([out])
        return len(rows)

    def run(self):
        """Run an epoch; return its number of images."""
        return in_turns(self.work, range(len(self.batches)))

    def close(self):
        """Let go of everything."""
        self.backend.close()


class Iterator:
    """gpuio's ImageRecordIter over a .rec: reading, order and augmentation included.

    Made anew for every epoch, untimed: one that waits its turn would work ahead meanwhile.
    """

    def __init__(self, rec, idx, size, cpu):
        self.options = {
            "path_imgrec": rec, "path_imgidx": idx, "data_shape": (3, SIDE, SIDE),
            "batch_size": size, "ctx": "cpu" if cpu else "gpu", "random_resized_crop": True,
            "min_random_area": 0.08, "min_aspect_ratio": 0.75, "max_aspect_ratio": 1.33,
            "rand_mirror": True, "shuffle": True, "mean_r": MEAN[0], "mean_g": MEAN[1],
            "mean_b": MEAN[2], "std_r": STD[0], "std_g": STD[1], "std_b": STD[2],
            "preprocess_threads": WORKERS, "verbose": False,
        }  # fmt: skip
        self.it = None
        self.prepare()

    def prepare(self):
        """Open an iterator that has made nothing yet."""
        from gpuio.io import ImageRecordIter

        self.close()
        self.it = ImageRecordIter(**self.options)

    def run(self):
        """Run an epoch; return its number of images."""
        images = 0
        for batch in self.it:
            batch.data[0].wait_to_read()
            images += len(batch.data[0])
        return images

    def close(self):
        """Let go of everything."""
        if self.it is not None:
            self.it.close()


class Dali:
    """DALI alone: readers.mxnet, image_random_crop, resize, crop_mirror_normalize."""

    def __init__(self, rec, idx, size, count, cpu, share=0.65):
        from nvidia.dali import Pipeline, fn, types

        device = "cpu" if cpu else "gpu"
        self.batches = count // size
        hardware = {} if cpu else {"hw_decoder_load": share}
        pipe = Pipeline(
            batch_size=size, num_threads=threads(), device_id=None if cpu else 0,
            prefetch_queue_depth=2, exec_dynamic=True,
        )  # fmt: skip
        with pipe:
            jpegs, labels = fn.readers.mxnet(path=[rec], index_path=[idx], random_shuffle=True)
            images = fn.decoders.image_random_crop(
                jpegs, device="cpu" if cpu else "mixed", output_type=types.RGB, **hardware
            )
            images = fn.resize(images, device=device, resize_x=SIDE, resize_y=SIDE)
            images = fn.crop_mirror_normalize(
                images, device=device, dtype=types.FLOAT, output_layout="CHW",
                mirror=fn.random.coin_flip(), mean=MEAN.tolist(), std=STD.tolist(),
            )  # fmt: skip
            pipe.set_outputs(images, labels)
        pipe.build()
        self.pipe = pipe

    def run(self):
        """Run an epoch; return its number of images."""
        images = 0
        for _ in range(self.batches):
            images += len(self.pipe.run()[0])
        return images

    def close(self):
        """Let go of everything."""
        del self.pipe


class Torchvision:
    """torchvision.io.decode_jpeg on the GPU, a batch a call; decoding only."""

    def __init__(self, blobs, size):
        import torch
        from torchvision.io import decode_jpeg

        self.torch, self.decode = torch, decode_jpeg
        tensors = [torch.frombuffer(bytearray(blob), dtype=torch.uint8) for blob in blobs]
        self.batches = batches(tensors, size)

    def run(self):
        """Run an epoch; return its number of images."""
        for some in self.batches:
            self.decode(some, device="cuda")
        self.torch.cuda.synchronize()
        return sum(map(len, self.batches))

    def close(self):
        """Let go of everything."""


def competitors(args, blobs, rec, idx, device):
    """Open everything that can be opened; return {name: competitor} and {name: why not}."""
    size, cpu = args.batch, args.cpu
    shares = (0.0,) if cpu else SHARES
    wanted = {
        f"bare {name}" + ("" if cpu else f" {share:.0%} hardware"): (
            lambda name=name, share=share: Bare(name, share, blobs, size, device)
        )
        for name in ("nvimgcodec", "dali")
        for share in shares
    }
    for decoder in ("cpu",) if cpu else ("nvimgcodec", "dali"):
        wanted[f"gpuio batches {decoder}"] = lambda decoder=decoder: Batches(
            blobs, size, "float32", cpu, decoder
        )
    wanted["gpuio ImageRecordIter"] = lambda: Iterator(rec, idx, size, cpu)
    wanted["dali pipeline"] = lambda: Dali(rec, idx, size, len(blobs), cpu)
    if not cpu:
        wanted["torchvision decode_jpeg cuda"] = lambda: Torchvision(blobs, size)
    opened, absent = {}, {}
    for name, open_it in wanted.items():
        try:
            opened[name] = open_it()
            opened[name].run()  # warm-up
        except Exception as error:  # noqa: BLE001 -- a rival that cannot run is reported as such
            opened.pop(name, None)
            absent[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return opened, absent


def measure(args, blobs, folder):
    """Run everybody in turns; return {name: rates}, and who could not run and why."""
    rec, idx = write_rec(blobs, folder)
    device = None
    if not args.cpu:
        from gpuio.backend.cuda import CudaDevice

        device = CudaDevice(0)
    opened, absent = competitors(args, blobs, rec, idx, device)
    epochs = {name: [] for name in opened}
    for _ in range(args.rounds):
        for name, competitor in opened.items():
            getattr(competitor, "prepare", lambda: None)()
            wall, cpu = time.perf_counter(), time.process_time()
            images = competitor.run()
            epochs[name].append((time.perf_counter() - wall, time.process_time() - cpu, images))
    for competitor in opened.values():
        competitor.close()
    return {name: summary(runs) for name, runs in epochs.items()}, absent


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
    }


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", help="folder of JPEG files, searched recursively")
    parser.add_argument("--cpu", action="store_true", help="run the same code without a GPU")
    parser.add_argument("--toy", action="store_true", help="24 made images, one round")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--images-per-epoch", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", help="JSON file")
    args = parser.parse_args(argv)
    if args.toy:
        args.batch, args.images_per_epoch, args.rounds = 8, 24, 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        blobs = load_photos(args.images, folder, args.images_per_epoch)
        results, absent = measure(args, blobs, folder)
    rates = {name: run["images_per_s_median"] for name, run in results.items()}
    ours = max((rate for name, rate in rates.items() if "batches" in name), default=None)
    result = {
        "question": __doc__.splitlines()[0],
        "machine": machine(),
        "options": {name: value for name, value in vars(args).items() if name != "out"},
        "mean_image_bytes": round(sum(map(len, blobs)) / len(blobs)),
        "results": results,
        "absent": absent,
        "gpuio_batches_ratio_to": {
            name: round(ours / rate, 3) for name, rate in rates.items() if ours
        },
    }
    text = json.dumps(result, indent=2, default=str)
    if args.out:
        Path(args.out).write_text(text + "\n")
    print(text)
    return result


if __name__ == "__main__":
    main()
