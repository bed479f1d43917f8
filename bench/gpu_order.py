"""Count how often the JPEG hardware writes into memory whose reader is still queued.

    python bench/gpu_order.py --images FOLDER --out results.json
    python bench/gpu_order.py --toy --cpu

A kernel that reads a buffer is queued behind a long one, then the JPEG hardware is told to decode
into that buffer; how often the reader saw the decoder's bytes, without and with a wait on the host
in between. With --cpu the same code runs on host memory, where nothing is queued.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from gpu_data import add_data, load_photos, save
from gpu_engines import Memory

ROUNDS = 20
_CYCLES = 60_000_000  # of the kernel that holds the reader back: some 35 ms
_ROWS = 8
_OLD = 7  # what the buffer holds before
SPIN = r"""
extern "C" __global__ void spin(long long cycles) {
  long long begun = clock64();
  while (clock64() - begun < cycles) {}
}"""


class OnGpu:
    """A reader that comes late."""

    def __init__(self, memory, places):
        import cupy

        self.memory, self.spin = memory, cupy.RawKernel(SPIN, "spin")
        self.arena = cupy.ndarray(memory.buffer.nbytes, "u1", places[0].memory.data)
        self.copy = cupy.empty_like(self.arena)

    def fill(self):
        """Fill the buffer."""
        self.arena.data.memset(_OLD, self.arena.nbytes)
        self.memory.wait()

    def queue(self):
        """Queue the reader behind the long kernel."""
        self.spin((1,), (1,), (np.int64(_CYCLES),))
        self.copy.data.copy_from_device_async(self.arena.data, self.arena.nbytes)

    def read(self):
        """Return what the reader saw, and what is there now."""
        return self.copy.get(), self.arena.get()


class OnHost:
    """A reader that is at once done."""

    def __init__(self, memory, _):
        self.arena, self.copy = memory.host, None

    def fill(self):
        """Fill the buffer."""
        self.arena[:] = _OLD

    def queue(self):
        """Read it."""
        self.copy = self.arena.copy()

    def read(self):
        """Return what the reader saw, and what is there now."""
        return self.copy, self.arena


def order(blobs, rounds, cpu):
    """Return how many of the rounds' readers saw bytes written after them."""
    from gpuio.decode.formats import HEADER, engine_takes, probe
    from gpuio.decode.nvimgcodec import NvImageCodecEngine

    device = None
    if not cpu:
        from gpuio.backend.gpu.cuda import CudaDevice

        device = CudaDevice(0)
    headers = np.array([tuple(probe(blob)) for blob in blobs], HEADER)
    blobs = [blob for blob, takes in zip(blobs, engine_takes(headers), strict=True) if takes]
    blobs = blobs[:_ROWS]
    sizes = np.array([probe(blob)[1:3] for blob in blobs], "i4")
    seen = {"rounds": rounds, "reader_disturbed": 0, "reader_disturbed_after_host_wait": 0}
    memory = Memory(device, int(sizes.astype("i8").prod(axis=1).sum()) * 3 + 512 * _ROWS)
    with memory.current():
        engine = NvImageCodecEngine(None if cpu else 0, 1, hw_decoder_load=1.0)
        engine.warm_up(blobs[0], len(blobs))
        places = memory.places(sizes)
        reader = (OnHost if cpu else OnGpu)(memory, places)
        for wait in (False, True):
            name = "reader_disturbed_after_host_wait" if wait else "reader_disturbed"
            for _ in range(rounds):
                reader.fill()
                reader.queue()
                if wait:
                    memory.wait()
                made = engine.decode(blobs, sizes, 3, places, memory.handle)
                assert not made.errors, made.errors
                memory.wait()
                saw, now = reader.read()
                assert (now != _OLD).any(), "nothing was decoded"
                seen[name] += not bool((saw == _OLD).all())
        engine.close()
    return seen


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data(parser)
    parser.add_argument("--cpu", action="store_true", help="on host memory")
    parser.add_argument("--toy", action="store_true", help="two rounds")
    parser.add_argument("--out", help="JSON file")
    args = parser.parse_args(argv)
    result = {"question": __doc__.splitlines()[0]}
    save(args.out, result)
    with tempfile.TemporaryDirectory() as name:
        blobs = load_photos(args.images, Path(name), 4 * _ROWS)
    result["order"] = order(blobs, 2 if args.toy else ROUNDS, args.cpu)
    print(save(args.out, result))
    return result


if __name__ == "__main__":
    main()
