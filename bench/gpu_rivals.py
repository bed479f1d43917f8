"""Who makes whole batches: gpuio's backend, its iterator, DALI's own pipeline, torchvision."""

from __future__ import annotations

import numpy as np
from gpu_data import MEAN, SIDE, STD, plans, threads
from gpu_engines import WORKERS, batches, in_turns

_SHARES = {"min_random_area": 0.08, "min_aspect_ratio": 0.75, "max_aspect_ratio": 1.33}


def encoded(blobs):
    """Return images as a reader hands them to a backend."""
    from gpuio.backend.protocol import Encoded
    from gpuio.decode.formats import probe

    made = Encoded.empty(len(blobs))
    for row, blob in enumerate(blobs):
        made.put(row, blob)
        made.headers[row] = probe(blob)
    return made


class Batches:
    """gpuio's backend: decode, random resized crop, flip, normalise."""

    def __init__(self, blobs, size, dtype, cpu, workers=WORKERS, **settings):
        from gpuio.backend import open_backend
        from gpuio.backend.protocol import Output

        self.backend = open_backend("cpu" if cpu else "gpu", **settings)
        self.workers = workers
        rng, cut = np.random.default_rng(0), batches(blobs, size)
        self.rows = [plans(some, rng) for some in cut]
        self.batches = [encoded(some) for some in cut]
        self.output = Output(3, SIDE, SIDE, dtype, "NCHW", MEAN, STD, 1.0)
        self.backend.share(size, workers)

    def work(self, number):
        """Make one batch; return its number of images."""
        blobs, rows = self.batches[number], self.rows[number]
        out = self.backend.allocate(self.output.shape(len(rows)), self.output.dtype)
        assert self.backend.make(blobs, rows, self.output, out) == []
        self.backend.fence([out])
        return len(rows)

    @property
    def pixels(self):
        """Say how many images OpenCV decoded because an engine did not."""
        return None if self.backend.name == "cpu" else {"refused": self.backend.refused}

    def run(self):
        """Run an epoch; return its number of images."""
        return in_turns(self.work, range(len(self.batches)), self.workers)

    def close(self):
        """Let go of everything."""
        self.backend.close()


class Iterator:
    """gpuio's ImageRecordIter over a .rec: reading, order and augmentation included.

    Made anew for every epoch, untimed: one that waits its turn would work ahead meanwhile. What
    host_share="auto" found in the first is kept by the others.
    """

    def __init__(self, rec, idx, size, cpu, **settings):
        names = ("mean_r", "mean_g", "mean_b", "std_r", "std_g", "std_b")
        self.options = {
            "path_imgrec": rec, "path_imgidx": idx, "data_shape": (3, SIDE, SIDE),
            "batch_size": size, "ctx": "cpu" if cpu else "gpu", "random_resized_crop": True,
            "rand_mirror": True, "shuffle": True, "verbose": False,
            **dict(zip(names, [*MEAN.tolist(), *STD.tolist()], strict=True)), **_SHARES, **settings,
        }  # fmt: skip
        self.it = None
        self.prepare()

    def prepare(self):
        """Open an iterator that has made nothing yet."""
        from gpuio.io import ImageRecordIter

        found = {}
        if self.it is not None:
            state = self.it.state_dict()
            found = {name: state[name] for name in ("host_share",) if name in state}
        self.close()
        self.it = ImageRecordIter(**self.options)
        if found:
            self.it.load_state_dict({**self.it.state_dict(), **found})

    def run(self):
        """Run an epoch; return its number of images."""
        images = 0
        for batch in self.it:
            batch.data[0].wait_to_read()
            images += len(batch.data[0])
        return images

    @property
    def pixels(self):
        """Say what the engine and the host's cores did of the last epoch, where both may."""
        if self.it is None:
            return None
        stats = self.it.stats()
        return {
            name: stats[name] for name in stats if name.startswith(("host_", "engine_"))
        } or None

    def close(self):
        """Let go of everything."""
        if self.it is not None:
            self.it.close()


class Dali:
    """DALI alone: readers.mxnet, image_random_crop, resize, crop_mirror_normalize.

    Parameters
    ----------
    rec, idx : str
    size, count : int       images per batch, and in the file
    cpu : bool              without a GPU
    share : float           of the hardware
    defaults : bool         whether all else is left to DALI (executor, chroma filter) or is ours
    """

    def __init__(self, rec, idx, size, count, cpu, share=0.65, *, defaults=False):
        from nvidia.dali import Pipeline, fn, types

        device = "cpu" if cpu else "gpu"
        self.batches, self.cpu = count // size, cpu
        hardware = {} if cpu else {"hw_decoder_load": share}
        hardware |= {} if defaults else {"jpeg_fancy_upsampling": True}
        executor = {} if defaults else {"prefetch_queue_depth": 2, "exec_dynamic": True}
        pipe = Pipeline(
            batch_size=size, num_threads=threads(), device_id=None if cpu else 0, **executor
        )
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
            data, _ = self.pipe.run()  # synchronised with the host
            images += len(data)
        return images

    def close(self):
        """Let go of everything."""
        self.pipe = None


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
        self.batches.clear()
        self.torch.cuda.empty_cache()
