"""A decode engine alone, on two threads: the upper bound of what whole batches can reach.

Its pixels are compared with OpenCV's before anything is timed. Without a GPU the same code runs on
host memory.
"""

from __future__ import annotations

import contextlib

import numpy as np

WORKERS = 2
_ALIGN = 512  # bytes between images, as in the backend
_COMPARED = 16  # images


def batches(blobs, size):
    """Cut blobs into whole batches."""
    return [blobs[k : k + size] for k in range(0, len(blobs) - size + 1, size)]


def in_turns(work, items, workers=WORKERS):
    """Run `work` over items on some threads; return the number of images."""
    from gpuio.pipeline.prefetch import Prefetcher

    with Prefetcher(work, items, depth=workers, workers=workers, name="bench") as done:
        return sum(done)


class Bare:
    """Engines of one kind, decoding into their own or our memory.

    Parameters
    ----------
    name : {"nvimgcodec", "dali"}
    blobs : list of bytes
    size : int                      images a batch
    device : CudaDevice or None     None decodes on the host
    share : float                   of a batch, for the JPEG engines
    engines : int                   engines, and threads that drive them
    room : (int, int)               DALI's preallocation hint: height, width
    """

    def __init__(self, name, blobs, size, device, *, share=0.65, engines=WORKERS, room=(0, 0)):
        from gpuio.backend.gpu.engines import EnginePool, engine_opener
        from gpuio.decode.formats import probe

        opener = engine_opener(
            name, None if device is None else device.id, engines=engines, hw_decoder_load=share,
            preallocate=room,
        )  # fmt: skip
        self.device, self.batches, self.workers = device, batches(blobs, size), engines
        self.engines = EnginePool(opener, engines)
        self.engines.expect(size)
        self.sizes = [np.array([probe(b)[1:3] for b in some], "i4") for some in self.batches]
        largest = max(int(_footprints(sizes).sum()) for sizes in self.sizes)
        room = largest if self.engines.uses_arena else 0
        self.slots = [Memory(device, room) for _ in range(engines)]
        self.pixels = self.compare()

    def work(self, number):
        """Make one batch; return its number of images."""
        slot = self.slots.pop()
        try:
            slot.wait()
            made = self.decode(slot, number)
            assert not made.errors, made.errors
            return len(made.addresses)
        finally:
            self.slots.append(slot)

    def decode(self, slot, number):
        """Decode one batch into a slot's memory, or into the engine's."""
        sizes = self.sizes[number]
        with slot.current(), self.engines.lend() as engine:
            places = slot.places(sizes) if self.engines.uses_arena else []
            made = engine.decode(self.batches[number], sizes, 3, places, slot.handle)
        slot.keep = made.keep
        return made

    def run(self):
        """Run an epoch; return its number of images."""
        images = in_turns(self.work, range(len(self.batches)), self.workers)
        for slot in self.slots:
            slot.wait()
        return images

    def compare(self):
        """Compare a batch with OpenCV's pixels; refuse another picture, report the differences."""
        from gpuio.decode.opencv import decode

        slot = self.slots[0]
        made = self.decode(slot, 0)
        slot.wait()
        assert not made.errors, made.errors
        largest, total, unequal, values = 0, 0, 0, 0
        for k, blob in enumerate(self.batches[0][:_COMPARED]):
            ours = slot.read(int(made.addresses[k]), (*self.sizes[0][k].tolist(), 3))
            ours = ours[..., ::-1] if made.swapped else ours
            apart = np.abs(ours.astype("i2") - decode(blob, 3))
            largest, total = max(largest, int(apart.max())), total + int(apart.sum())
            unequal, values = unequal + int((apart > 0).sum()), values + apart.size
        assert total < 8 * values, f"another picture: {total / values:.1f} levels apart on average"
        return {
            "largest_difference": largest,
            "mean_difference": round(total / values, 4),
            "unequal_share": round(unequal / values, 4),
        }

    def close(self):
        """Let go of everything."""
        for slot in self.slots:
            slot.wait()
        self.slots.clear()
        self.engines.close()


class Memory:
    """A worker's arena and stream, on the GPU or the host."""

    def __init__(self, device, nbytes):
        from gpuio.decode.engine import Destination

        self.device, self.keep, self.Destination = device, None, Destination
        self.stream = device.new_stream() if device else None
        self.handle = self.stream.ptr if device else 0
        self.buffer = device.alloc(nbytes) if device and nbytes else None
        self.host = None if device else np.empty(nbytes, np.uint8)

    def current(self):
        """Make the stream current, for engines that look."""
        return self.device.current(self.stream) if self.device else contextlib.nullcontext()

    def wait(self):
        """Wait for the last reader."""
        if self.stream is not None:
            self.stream.synchronize()

    def places(self, sizes):
        """Cut the memory into places for images of these sizes."""
        starts = np.concatenate([[0], np.cumsum(_footprints(sizes))]).tolist()
        made = []
        for start, (h, w) in zip(starts, sizes.tolist(), strict=False):
            if self.device:
                memory = self.device.view(self.buffer, start, h * w, 3)
                made.append(self.Destination(self.buffer.address + start, memory))
            else:
                memory = self.host[start : start + 3 * h * w]
                made.append(self.Destination(memory.ctypes.data, memory.reshape(1, -1, 3)))
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


def _footprints(sizes):
    """Return the bytes that each image takes in an arena."""
    return -(-sizes.astype("i8").prod(axis=1) * 3 // _ALIGN) * _ALIGN
