"""Measure the host's cores decoding into page-locked memory, with one upload per batch.

    python bench/gpu_host.py --images FOLDER --faces FOLDER --out results.json
    python bench/gpu_host.py --toy --cpu

A batch's images are divided among all cores, each of which decodes its part in one call. Two
batches take turns, so that one is copied while the other is decoded. The rate of large copies to
the GPU stands beside. With --cpu nothing is copied.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from gpu_data import add_data, load_sets, save, threads
from gpu_engines import Memory, batches
from gpu_rivals import encoded

_ALIGN = 512  # bytes between images
_COPY = 1 << 28  # bytes
_COPIES = 8


class Place:
    """Page-locked memory, the GPU's memory behind it, and the stream that copies."""

    def __init__(self, device, nbytes):
        self.device = device
        self.host = device.pinned(nbytes) if device else np.empty(nbytes, np.uint8)
        self.there = Memory(device, nbytes)

    def upload(self, nbytes):
        """Queue the copy of a batch."""
        if self.device:
            with self.there.current():
                address = self.there.buffer.address
                self.device.upload(address, self.host[:nbytes], self.there.stream)


def layout(records):
    """Return sizes int64[n, 2], the first byte of each image, and the bytes of all."""
    sizes = np.stack([records.headers["height"], records.headers["width"]], axis=1).astype("i8")
    footprints = -(-sizes.prod(axis=1) * 3 // _ALIGN) * _ALIGN
    ends = np.cumsum(footprints)
    return sizes, ends - footprints, int(ends[-1])


def host_rates(blobs, size, device, seconds):
    """Decode batches on all cores for some seconds; return the rates."""
    from gpuio.backend.gpu.host import HostDecoder

    decoder, cores = HostDecoder(), threads()
    cut = [encoded(some) for some in batches(blobs, size)]
    laid = [layout(records) for records in cut]
    room = max(nbytes for _, _, nbytes in laid)
    places = [Place(device, room) for _ in range(2)]
    with ThreadPoolExecutor(cores) as pool:

        def make(number, upload):
            records, place = cut[number % len(cut)], places[number % 2]
            sizes, starts, nbytes = laid[number % len(cut)]
            place.there.wait()

            def part(rows):
                return decoder.decode(records, rows, sizes[rows], 3, place.host, starts[rows])

            for failed in pool.map(part, np.array_split(np.arange(size), cores)):
                assert not failed, failed
            if upload:
                place.upload(nbytes)

        found = {"rows": size, "cores": cores, "bytes_per_batch": room}
        for upload in (False, True):
            make(0, upload)
            begun, spent, made = time.monotonic(), time.process_time(), 0
            while made < 2 or time.monotonic() < begun + seconds / 2:
                make(made, upload)
                made += 1
            for place in places:
                place.there.wait()
            took = time.monotonic() - begun
            name = "decode_and_upload" if upload else "decode"
            found[f"{name}_images_per_s"] = round(made * size / took, 1)
            found[f"{name}_cpu_us_per_image"] = round(
                1e6 * (time.process_time() - spent) / (made * size), 1
            )
    return found


def copy_rate(device):
    """Return the rate of large copies from page-locked memory to the GPU, GB/s."""
    place, took = Place(device, _COPY), []
    for _ in range(_COPIES):
        begun = time.perf_counter()
        place.upload(_COPY)
        place.there.wait()
        took.append(time.perf_counter() - begun)
    return round(_COPY / statistics.median(took[1:]) / 1e9, 1)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data(parser)
    parser.add_argument("--cpu", action="store_true", help="copy nothing")
    parser.add_argument("--toy", action="store_true", help="small batches, a moment each")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--measured", type=float, default=2.0, help="seconds for each")
    parser.add_argument("--out", help="JSON file, written after every measurement")
    args = parser.parse_args(argv)
    if args.toy:
        args.batch, args.measured = 8, 0.1
    from gpuio.decode import turbojpeg

    device = None
    if not args.cpu:
        from gpuio.backend.gpu.cuda import CudaDevice

        device = CudaDevice(0)
    result = {"question": __doc__.splitlines()[0], "results": {}}
    save(args.out, result)
    result["decoder"] = "OpenCV" if turbojpeg.compiled() is None else "TurboJPEG"

    def note(name, found):
        result["results"][name] = found
        save(args.out, result)
        print(f"{name}: {found}", flush=True)

    if device:
        note("copy to the GPU, GB/s", copy_rate(device))
    with tempfile.TemporaryDirectory() as name:
        sets = load_sets(args, Path(name), 4 * args.batch)
    for name, blobs in sets.items():
        note(name, host_rates(blobs, args.batch, device, args.measured))
    return result


if __name__ == "__main__":
    main()
